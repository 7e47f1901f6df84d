"""Curves of a run's losses, as a picture."""

import io
from collections.abc import Sequence
from typing import Any

from avae.figures.style import COLOURS, plot_style

NOT_DRAWN = frozenset(
    {"step", "images", "images_per_second", "learning_rate_factor", "symptoms", "collapsed"}
)


def curves_png(stats: Sequence[dict[str, Any]]) -> bytes:
    """Draw every term of stats.jsonl over steps, a panel each, to a PNG."""
    from matplotlib.figure import Figure

    stats = [line for line in stats if "event" not in line]
    # Of all lines: some terms are due every few steps only, so that the last may lack them.
    terms = [name for name in dict.fromkeys(name for line in stats for name in line) if name not in NOT_DRAWN]
    columns = 3
    rows = max(1, -(-len(terms) // columns))
    with plot_style():
        figure = Figure(figsize=(2.4 * columns, 1.5 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for axis, name in zip(axes, terms, strict=False):
            lines = [line for line in stats if line.get(name) is not None]
            axis.plot([line["step"] for line in lines], [line[name] for line in lines], color=COLOURS[0])
            axis.set_title(name)
        for axis in axes[len(terms) :]:
            axis.set_axis_off()
        if terms:
            figure.supxlabel("step", fontsize=8)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=160)
    return file.getvalue()
