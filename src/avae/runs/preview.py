"""Pictures of what a model draws: reconstructions beside their originals, and samples."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import DataSet, as_images, as_tensor, spread
from avae.data.grids import grid, save_png, sheet
from avae.data.scatter import save_scatter
from avae.model import Model

ROW = 10
"""Test images in a grid of reconstructions."""


def save_preview(model: Model, data: DataSet, folder: Path, prefix: str) -> dict[str, Path]:
    """Draw reconstructions of test items, and samples, to `folder`; return the files by what they show."""
    if not data.holds_images:
        path = folder / f"{prefix}points.png"
        save_scatter(_point_panels(model, data), path)
        return {"points": path}
    paths = {kind: folder / f"{prefix}{kind}.png" for kind in ("reconstructions", "samples")}
    labels, rows = zip(*reconstruction_rows(model, spread(data.test, ROW)).items(), strict=True)
    save_png(grid(rows, labels), paths["reconstructions"])
    save_png(sheet(as_images(model.sample(64))), paths["samples"])
    return paths


def reconstruction_rows(
    model: Model, images: NDArray[np.uint8], seed: int = 0
) -> dict[str, NDArray[np.uint8]]:
    """Return uint8 rows (N, H, W, C) by label: the originals, then each network's reconstructions."""
    rows = {"original": images}
    for drawer, realism in model.framework.drawers.items():
        rows[drawer] = as_images(model.reconstruct(as_tensor(images), realism=realism, seed=seed))
    return rows


def _point_panels(model: Model, data: DataSet) -> dict[str, dict[str, NDArray[np.float32]]]:
    points = data.test[:3000]
    drawn = {
        f"{drawer}'s reconstructions": model.reconstruct(points, realism=realism).numpy()
        for drawer, realism in model.framework.drawers.items()
    }
    return {
        "reconstructions": {"data": points, **drawn},
        "samples": {"data": points, "samples": model.sample(len(points)).numpy()},
    }
