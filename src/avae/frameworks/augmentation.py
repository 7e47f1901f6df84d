"""What the critic sees, changed at random, so that a small set cannot be learned by heart: a value handed to
frameworks with a critic.

Real and drawn items are changed alike, and gradients pass through, so that the drawer is judged on what it
drew; encoders and decoders never see any of it.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

TRANSLATED = 1 / 8
"""Farthest shift, as a share of the width and height (the paper's)."""

CUT = 1 / 2
"""Sides of the square that is cut out, likewise."""


class Augmentation(Protocol):
    """What frameworks ask of an augmentation.

    Attributes:
        columns: standard normal numbers that an item takes.
    """

    columns: int

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return items (N, ...), each changed as its noise (N, columns) says, in a differentiable way."""


class DiffAugment:
    """DiffAugment of images (Zhao et al., 2020, arXiv 2006.10738): colour, then translation, then cutout.

    Brightness moves by up to 0.5 either way in [-1, 1], saturation is multiplied by 0 to 2, contrast by 0.5
    to 1.5; what is shifted in, or cut out, is 0, a middle grey.
    """

    columns = 7

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        share = _uniform(noise.to(x.dtype))
        brightness, saturation, contrast = (s.view(-1, 1, 1, 1) for s in share[:, :3].unbind(1))
        x = x + (brightness - 0.5)
        x = _spread(x, 2 * saturation, (1,))
        x = _spread(x, 0.5 + contrast, (1, 2, 3))
        return _cut(_translated(x, share[:, 3:5]), share[:, 5:])


def _uniform(noise: Tensor) -> Tensor:
    """Turn standard normal numbers into uniform ones in [0, 1]."""
    return (1 + torch.erf(noise / math.sqrt(2))) / 2


def _spread(x: Tensor, factor: Tensor, over: tuple[int, ...]) -> Tensor:
    """Scale the distance from the mean over some dimensions."""
    mean = x.mean(over, keepdim=True)
    return (x - mean) * factor + mean


def _places(sides: int, share: Tensor) -> Tensor:
    """Return the whole numbers 0 to sides - 1 that shares (N,) in [0, 1] stand for."""
    return (share * sides).floor().clamp(max=sides - 1).long()


def _translated(x: Tensor, share: Tensor) -> Tensor:
    """Shift each image by whole pixels, as its shares (N, 2) say."""
    for dim, own in zip((2, 3), share.unbind(1), strict=True):
        sides = x.shape[dim]
        most = round(sides * TRANSLATED)
        shift = _places(2 * most + 1, own) - most
        came_from = torch.arange(sides, device=x.device) - shift[:, None]
        shape = (len(x), 1, sides, 1) if dim == 2 else (len(x), 1, 1, sides)
        inside = ((came_from >= 0) & (came_from < sides)).view(shape)
        # Round the border, where it is not inside: every pixel is read once, so that no gradients collide.
        x = x.gather(dim, (came_from % sides).view(shape).expand_as(x)) * inside
    return x


def _cut(x: Tensor, share: Tensor) -> Tensor:
    """Set a square of each image to 0; its centre is anywhere, so that it may lie partly outside."""
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    for dim, own in zip((2, 3), share.unbind(1), strict=True):
        sides = x.shape[dim]
        half = round(sides * CUT) / 2
        distance = torch.arange(sides, device=x.device) + 0.5 - _places(sides + 1, own)[:, None]
        shape = (len(x), 1, sides, 1) if dim == 2 else (len(x), 1, 1, sides)
        inside = inside & (distance.abs() < half).view(shape)
    return x * ~inside
