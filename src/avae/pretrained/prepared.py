"""A network with the preparation of its pictures: one module, in evaluation mode for good."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from avae.errors import UserError

MAX_SIZE = 2048
"""Limit of the side of prepared pictures, in pixels."""


@dataclass(frozen=True)
class Preparation:
    """How pictures are prepared for a network, as plain data.

    Attributes:
        size: pixels per side that the network takes; None for the pictures' own size.
        mean: mean of each channel, on the scale [0, 1]; one value for a network that takes grey pictures.
        std: standard deviation of each channel.
        interpolation: "bilinear" or "bicubic"; with antialiasing, as the libraries do.
    """

    size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.size is not None and not 1 <= self.size <= MAX_SIZE:
            raise ValueError(f"size {self.size} is not from 1 to {MAX_SIZE}")
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError(f"mean and std have {len(self.mean)} and {len(self.std)} channels, not 1 or 3")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation {self.interpolation!r} is neither bilinear nor bicubic")


class Prepared(nn.Module):
    """Pictures (N, C, H, W) in [-1, 1] -> features (N, F) in float32, differentiable in the pictures.

    It stays in evaluation mode: no dropout, and no buffer moves. It computes in float32 under autocast too.
    In bfloat16, whitened features move as far as under the 8-bit noise of pictures (1.1 times as far, the
    bundled classifier on CIFAR-10), and it is such noise that gives codes their scale.

    Args:
        network: takes pictures as `preparation` makes them.
        preparation: None hands pictures to the network as they are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preparation: Preparation | None) -> None:
        super().__init__()
        self.network = network
        self.preparation = preparation
        if preparation is not None:
            self.register_buffer("mean", torch.tensor(preparation.mean).view(-1, 1, 1), persistent=False)
            self.register_buffer("std", torch.tensor(preparation.std).view(-1, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            features: Any = self.network(self.prepare(x.to(torch.promote_types(x.dtype, torch.float32))))
            return flattened(features)

    def prepare(self, x: Tensor) -> Tensor:
        """Return pictures at the size, with the channels and on the scale of the network."""
        if self.preparation is None:
            return x
        size = self.preparation.size
        if size is not None and x.shape[-2:] != (size, size):
            x = interpolate(x, (size, size), mode=self.preparation.interpolation, antialias=True)
        if x.shape[1] != len(self.mean):
            if x.shape[1] != 1:
                raise UserError(
                    f"it takes pictures of {len(self.mean)} channels, and these have {x.shape[1]}: "
                    "use another network"
                )
            x = x.expand(-1, len(self.mean), -1, -1)
        return ((x + 1) / 2 - self.mean) / self.std


def flattened(features: object) -> Tensor:
    """Return what a network has returned as (N, F), at least in float32, or raise UserError."""
    if not isinstance(features, Tensor):
        raise UserError(f"it returns a {type(features).__name__}, not a tensor of features")
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    return features.flatten(1) if features.ndim > 1 else features
