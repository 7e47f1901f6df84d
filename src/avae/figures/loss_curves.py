"""Draw the loss curves of a run."""

import io
from collections.abc import Sequence
from typing import Any

from avae.figures.style import COLOURS, plot_style

_NOT_DRAWN = frozenset(
    {"step", "images", "images_per_second", "learning_rate_factor", "symptoms", "collapsed"}
)


def curves_png(stats: Sequence[dict[str, Any]]) -> bytes:
    """Draw each term of stats.jsonl over steps, in a panel of its own. Return the bytes of a PNG."""
    from matplotlib.figure import Figure

    stats = [line for line in stats if "event" not in line]
    # Collect the terms of all lines: some are logged only every few steps, so the last line may lack them.
    terms = [
        name for name in dict.fromkeys(name for line in stats for name in line) if name not in _NOT_DRAWN
    ]
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
