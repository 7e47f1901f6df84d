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
from avae.frameworks.base import LABELS
from avae.model import Model, Rows
from avae.recipes.frameworks import FRAMEWORKS, with_article
from avae.rng import row_chunks
from avae.training.previews import reconstruction_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = 32
"""Number of draws of xi; the standard deviation of a pixel over them has an error of about one eighth."""

COLOURS = "magma"

_BATCH = 16


def map_unavailable_reason(model: Model) -> str | None:
    """Return the reason why a model has no map; None if it has one."""
    if not model.is_image_model:
        return "it needs pictures, and this model is of points"
    if not _has_xi(model) and len(model.framework.image_networks) < 2:
        title = FRAMEWORKS[model.config.framework].title
        return f"it needs xi, or two networks that draw from one code, and {with_article(title)} has neither"
    return None


def map_description(model: Model) -> str:
    """Return a description of the values of the map."""
    if _has_xi(model):
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

    With xi it is the standard deviation of G(z, xi) over xi at the image's code (n - 1 in the denominator),
    without xi it is |D - G| at that code. Both are means over channels.

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
    for rows in row_chunks(len(images), _BATCH):
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
    map_rows = _std_over_xi if _has_xi(model) else _decoder_generator_difference
    return map_rows(model, codes, rows, seed)


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
    rows = reconstruction_rows(model, images, seed=seed, keys=keys) | {"invented": colourise(maps, top)}
    title = "std over ξ" if _has_xi(model) else "|decoder − generator|"
    return grid_figure(list(rows.values()), list(rows), scale=Scale(top or 1.0, title, COLOURS))


def map_figure(model: Model, images: NDArray[np.uint8], seed: int = 0) -> tuple["Figure", float]:
    """Return the figure of these images with their maps, and the largest value of the maps."""
    maps = uncertainty_map(model, as_tensor(images), seed)
    top = float(maps.max())
    return draw_map_figure(model, images, maps, top, seed), top


def _has_xi(model: Model) -> bool:
    return "xi" in model.framework.noise_shapes(1)


def _std_over_xi(model: Model, mu: Tensor, rows: Rows, seed: int) -> Tensor:
    noise = model.noise(rows, seed)
    draws = []
    for numbers in row_chunks(DRAWS, max(1, _BATCH // len(mu))):  # of few codes, several draws at once
        repeated = {name: t.repeat(len(numbers), 1) for name, t in noise.items() if name != LABELS}
        xi = torch.cat([model.noise(rows, seed + number)["xi"] for number in numbers])
        drawn = model.framework.decode(mu.repeat(len(numbers), 1), repeated | {"xi": xi})
        draws.append(drawn.reshape(len(numbers), len(mu), *drawn.shape[1:]))
    return torch.cat(draws).float().std(0).mean(1)


def _decoder_generator_difference(model: Model, mu: Tensor, rows: Rows, seed: int) -> Tensor:
    noise = model.noise(rows, seed)
    decoder, generator = (model.framework.decode(mu, noise, realism).float() for realism in (0.0, 1.0))
    return (decoder - generator).abs().mean(1)
