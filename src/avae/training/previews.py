"""Preview images of a model: reconstructions beside their originals, and samples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import Dataset, as_images, evenly_spaced
from avae.model import Model
from avae.shown_text import printable
from avae.visualize.grid import grid, png, sheet
from avae.visualize.scatter import scatter_png

ROW = 10
"""Number of test images in a grid of reconstructions."""

LONGEST = 24
"""Maximum number of characters of a class's name that a sheet shows."""

ORIGINAL = "original"
"""Label of the images that are reconstructed."""


def previews(model: Model, data: Dataset) -> dict[str, bytes]:
    """Draw reconstructions of test items, and samples; return PNG files by name."""
    if not data.is_image_data:
        return {"points": scatter_png(_point_panels(model, data))}
    samples = {"samples": sample_sheet(model)}
    if not model.framework.has_encoder:
        return samples
    labels, rows = zip(*reconstruction_rows(model, evenly_spaced(data.test, ROW)).items(), strict=True)
    return {"reconstructions": png(grid(rows, labels))} | samples


def sample_sheet(model: Model) -> bytes:
    """Draw samples of an image model on a sheet, in rows of up to 8 classes if it has any; return a PNG."""
    if not model.classes:
        return png(sheet(as_images(model.sample(64))))
    shown = evenly_spaced(np.array(model.classes), 8).tolist()
    images = as_images(model.sample(8 * len(shown), classes=[name for name in shown for _ in range(8)]))
    return png(grid(np.split(images, len(shown)), [printable(name)[:LONGEST] for name in shown]))


def reconstruction_rows(
    model: Model, images: NDArray[np.uint8], seed: int = 0, keys: Sequence[str] | None = None
) -> dict[str, NDArray[np.uint8]]:
    """Return uint8 rows (N, H, W, C) by label: the originals, then the reconstructions of each network.

    Args:
        seed, keys: as for `Model.reconstruct`.
    """
    rows = {ORIGINAL: images}
    for network, realism in model.framework.image_networks.items():
        rows[network] = as_images(model.reconstruct(images, realism=realism, seed=seed, keys=keys))
    return rows


def _point_panels(model: Model, data: Dataset) -> dict[str, dict[str, NDArray[np.float32]]]:
    points = data.test[:3000]
    samples = {"data": points, "samples": model.sample(len(points)).numpy()}
    if not model.framework.has_encoder:
        return {"samples": samples}
    drawn = {
        f"{network}'s reconstructions": model.reconstruct(points, realism=realism).numpy()
        for network, realism in model.framework.image_networks.items()
    }
    return {"reconstructions": {"data": points, **drawn}, "samples": samples}
