"""Map, for each image, how much of its reconstruction is invented rather than known from the code."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor
from avae.errors import UserError
from avae.figures.image_grid import Scale, grid_figure
from avae.guarantees.centre_and_spread import BATCH, has_spread, has_xi
from avae.guarantees.defaults import DRAWS
from avae.guarantees.intervals import intervals
from avae.model import Model, Rows
from avae.recipes.frameworks import FRAMEWORKS, with_article
from avae.rng import row_chunks
from avae.training.previews import reconstruction_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "magma"


def map_unavailable_reason(model: Model) -> str | None:
    """Return the reason why a model has no map; None if it has one."""
    if not model.is_image_model:
        return "it needs pictures, and this model is of points"
    if not has_spread(model.framework):
        title = FRAMEWORKS[model.config.framework].title
        return f"it needs xi, or two networks that draw from one code, and {with_article(title)} has neither"
    return None


def map_description(model: Model) -> str:
    """Return a description of the values of the map, and what it promises if it is calibrated."""
    if model.calibration:
        return f"half the width of calibrated intervals, mean over channels: {model.calibration.promise}"
    if has_xi(model.framework):
        return f"standard deviation over {DRAWS} draws of xi at one code, mean over channels"
    return "difference of decoder and generator at one code, absolute, mean over channels"


@torch.inference_mode()
def uncertainty_map(
    model: Model,
    images: Tensor,
    seed: int = 0,
    progress: Progress = SILENT,
    keys: Sequence[str] | None = None,
) -> Tensor:
    """Return the uncertain part of each pixel's value, (N, H, W), in units of pixels on [-1, 1].

    It is the spread of `centre_and_spread` at the image's code: with xi the standard deviation of G(z, xi)
    over xi, without xi |D - G|. For a calibrated model it is half the width of `Model.intervals`, the mean
    over channels.

    Args:
        images: (N, C, H, W) in [-1, 1].
        seed: seed of the first draw of xi, as in `Model.reconstruct`; the others use the seeds that follow.
        progress: counts the images.
        keys: names by which xi is drawn, as in `Model.reconstruct`; None for the number of the row.

    Raises:
        UserError: the model is of points, or has neither xi nor two networks that draw.
    """
    reason = map_unavailable_reason(model)
    if reason is not None:
        raise UserError(f"there is no map of what is invented: {reason}")
    parts = []
    for rows in row_chunks(len(images), BATCH):
        codes = model.framework.encode(images[rows.start : rows.stop].to(model.device))
        which = rows if keys is None else keys[rows.start : rows.stop]
        parts.append(map_of_codes(model, codes, which, seed).cpu())
        progress.update(rows.stop, len(images))
    return torch.cat(parts)


@torch.inference_mode()
def map_of_codes(model: Model, codes: Tensor, rows: Rows, seed: int = 0) -> Tensor:
    """Return the map (N, H, W) of mean codes (N, d) on the model's device; see `uncertainty_map`.

    Args:
        rows: numbers or names of the codes, by which xi is drawn.
        seed: seed of the first draw of xi.
    """
    calibration = model.calibration
    centre, spread = model.centre_and_spread(codes, rows, seed, calibration.draws if calibration else DRAWS)
    if calibration is None:
        return spread
    lower, upper = intervals(centre, spread, calibration.scale, calibration.floor)
    return (upper - lower).mean(1) / 2


def colourise(maps: Tensor, top: float) -> NDArray[np.uint8]:
    """Return maps (N, H, W) as colour images, uint8 (N, H, W, 3), from black at 0 to light at `top`."""
    from matplotlib import colormaps

    shades = colormaps[COLOURS](np.asarray(maps) / (top or 1.0), bytes=True)
    rgb: NDArray[np.uint8] = shades[..., :3]
    return rgb


def draw_map_figure(
    model: Model,
    images: NDArray[np.uint8],
    maps: Tensor,
    top: float,
    seed: int = 0,
    keys: Sequence[str] | None = None,
) -> "Figure":
    """Draw originals, decoder, generator and maps, in a row each, with the colour scale of the maps.

    Args:
        images: uint8 (N, H, W, C).
        maps: (N, H, W), the maps of these images.
        top: value at the light end of the scale.
        seed: seed of xi.
        keys: names by which xi is drawn; None for the number of the row.
    """
    label, title = "invented", "std over ξ" if has_xi(model.framework) else "|decoder − generator|"
    caption = ""
    if model.calibration:
        label, title = "± interval", "half the width"
        caption = f"Calibrated intervals: {model.calibration.promise}."
    rows = reconstruction_rows(model, images, seed=seed, keys=keys) | {label: colourise(maps, top)}
    return grid_figure(
        list(rows.values()), list(rows), scale=Scale(top or 1.0, title, COLOURS), caption=caption
    )


def centre_name(model: Model) -> str:
    """Return the name of what calibrated intervals are about."""
    return "decoder's picture" if len(model.framework.image_networks) > 1 else "mean over ξ"


def map_figure(model: Model, images: NDArray[np.uint8], seed: int = 0) -> tuple["Figure", float]:
    """Return the figure of these images with their maps, and the largest value of the maps."""
    maps = uncertainty_map(model, as_tensor(images), seed)
    top = float(maps.max())
    return draw_map_figure(model, images, maps, top, seed), top
