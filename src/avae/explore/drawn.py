"""Draw what a visitor looks at: the original, and each network's picture of the code."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from avae.data.dataset import as_images
from avae.explore.explored import Explored, Pictures
from avae.explore.shown import Shown
from avae.figures.uncertainty_map import colourise, map_of_codes
from avae.model import Model

FULL_SCALE = 0.25
"""Value of the map that has its lightest colour, in pixels on [-1, 1]: the same for all pictures."""

FULL_WIDTH = 1.0
"""The same where the map is half the width of calibrated intervals."""


@dataclass(frozen=True)
class Panel:
    """A picture, uint8 (H, W, C), with its label."""

    label: str
    picture: Pictures


def draw(explored: Explored, shown: Shown) -> list[Panel]:
    """Return the panels of the page: the original, if there is one, and what the networks draw.

    With two networks, the last panel mixes both at the visitor's realism.
    """
    code = shown.moved_code(explored)
    drawn = {
        network: explored.model.decode(code, realism=realism, seed=shown.seed)
        for network, realism in explored.model.framework.image_networks.items()
    }
    names, items = list(drawn), list(drawn.values())
    labels = [name.capitalize() for name in names]
    if explored.has_realism:
        decoder, generator = items
        items[1] = decoder.lerp(generator, shown.realism)
        labels[1] = _label_of_mixture(shown.realism)
    pictures = [as_images(item)[0] for item in items]
    if shown.shows_map:
        values = invented_map(explored, shown, code)
        pictures[-1] = with_map(pictures[-1], values, full_scale(explored.model))
    if explored.has_xi and shown.seed:
        labels[-1] += f", guess {shown.seed + 1}"
    panels = [Panel(label, picture) for label, picture in zip(labels, pictures, strict=True)]
    return panels if shown.original is None else [Panel("Original", shown.original), *panels]


def invented_map(explored: Explored, shown: Shown, code: Tensor) -> Tensor:
    """Return the map (H, W) of what the generator invents at a code (d,)."""
    codes = code[None].to(explored.model.device)
    return map_of_codes(explored.model, codes, range(1), shown.seed)[0].cpu()


def full_scale(model: Model) -> float:
    """Return the value of the map that has its lightest colour."""
    return FULL_WIDTH if model.calibration else FULL_SCALE


def with_map(picture: Pictures, values: Tensor, top: float) -> Pictures:
    """Lay a map (H, W), bright at `top`, over a picture (H, W, C) in grey; return uint8 (H, W, 3)."""
    shares = np.clip(values.numpy() / top, 0, 1)[..., None]
    grey = np.repeat(picture.mean(-1, keepdims=True), 3, -1)
    opacity = np.sqrt(shares)
    mixed = (1 - opacity) * grey + opacity * colourise(values[None], top)[0]
    laid: Pictures = mixed.round().astype(np.uint8)
    return laid


def _label_of_mixture(realism: float) -> str:
    if realism == 1:
        return "Generator"
    return "Decoder again" if realism == 0 else f"{realism:.0%} generator, {1 - realism:.0%} decoder"
