"""Random augmentation of the critic's inputs, so that the critic cannot memorise a small data set.

Real and generated items are augmented in the same way, and gradients pass through the augmentation to the
generating network. Encoders and decoders never get augmented items.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

TRANSLATED = 1 / 8
"""Largest shift, as a share of the width and height (as in the paper)."""

CUT = 1 / 2
"""Side of the square that is cut out, as a share of the width and height."""


class Augmentation(Protocol):
    """Interface of an augmentation.

    Attributes:
        columns: number of standard normal numbers per item.
    """

    columns: int

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return items (N, ...), each changed by its noise (N, columns), in a differentiable way."""


class DiffAugment:
    """DiffAugment of images (Zhao et al., 2020, arXiv 2006.10738): colour, then translation, then cutout.

    Brightness changes by up to 0.5 in either direction, for values in [-1, 1]; saturation is multiplied by 0
    to 2, contrast by 0.5 to 1.5. Pixels shifted in or cut out are 0, a middle grey.
    """

    columns = 7

    def __call__(self, x: Tensor, noise: Tensor) -> Tensor:
        share = (1 + torch.erf(noise.to(x.dtype) / math.sqrt(2))) / 2  # uniform in [0, 1]
        brightness, saturation, contrast = (s.view(-1, 1, 1, 1) for s in share[:, :3].unbind(1))
        x = x + (brightness - 0.5)
        x = _scale_deviation(x, 2 * saturation, (1,))
        x = _scale_deviation(x, 0.5 + contrast, (1, 2, 3))
        return _cut_out(_translate(x, share[:, 3:5]), share[:, 5:])


def _scale_deviation(x: Tensor, factor: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Scale the deviation from the mean over some dimensions."""
    mean = x.mean(dims, keepdim=True)
    return (x - mean) * factor + mean


def _to_index(count: int, share: Tensor) -> Tensor:
    """Map shares (N,) in [0, 1] to the integers 0 to count - 1."""
    return (share * count).floor().clamp(max=count - 1).long()


def _translate(x: Tensor, share: Tensor) -> Tensor:
    """Shift each image by whole pixels, given by its shares (N, 2)."""
    for dim, position in zip((2, 3), share.unbind(1), strict=True):
        side = x.shape[dim]
        most = round(side * TRANSLATED)
        shift = _to_index(2 * most + 1, position) - most
        source = torch.arange(side, device=x.device) - shift[:, None]
        shape = (len(x), 1, side, 1) if dim == 2 else (len(x), 1, 1, side)
        inside = ((source >= 0) & (source < side)).view(shape)
        # Indices wrap around outside: every pixel is read once, so that no gradients collide.
        x = x.gather(dim, (source % side).view(shape).expand_as(x)) * inside
    return x


def _cut_out(x: Tensor, share: Tensor) -> Tensor:
    """Set a square of each image to 0; its centre is anywhere in the image, so it may lie partly outside."""
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    for dim, position in zip((2, 3), share.unbind(1), strict=True):
        side = x.shape[dim]
        half = round(side * CUT) / 2
        distance = torch.arange(side, device=x.device) + 0.5 - _to_index(side + 1, position)[:, None]
        shape = (len(x), 1, side, 1) if dim == 2 else (len(x), 1, 1, side)
        inside = inside & (distance.abs() < half).view(shape)
    return x * ~inside
