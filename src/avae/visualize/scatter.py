"""Draw scatter plots of points, for the toy example."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avae.files import write_atomically

Panels = Mapping[str, Mapping[str, NDArray[np.floating]]]


def scatter_png(panels: Panels, limit: int = 3000) -> bytes:
    """Draw panels side by side, each with named sets of points (N, 2). Return the bytes of a PNG.

    At most `limit` points of each set are drawn.
    """
    from matplotlib.figure import Figure  # slow to import, and used for points only

    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axis, (title, sets) in zip(axes, panels.items(), strict=True):
        for name, points in sets.items():
            axis.scatter(points[:limit, 0], points[:limit, 1], s=3, alpha=0.5, linewidths=0, label=name)
        axis.set_title(title)
        axis.legend(markerscale=4, loc="upper right")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def save_scatter(panels: Panels, path: Path) -> None:
    """Draw panels as `scatter_png` does, and write the PNG to a file."""
    write_atomically(path, scatter_png(panels))
