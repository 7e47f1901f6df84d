"""Resize-convolution networks without transposed convolutions, for 16, 32, 64, 128 and 256 pixels.

All convolutions are 3x3. Up: one linear layer to 4x4 pixels, then for every doubling a convolution to fewer
channels, bilinear interpolation and a residual block (transposed convolutions would draw a grid: Odena,
Dumoulin, Olah, 2016). Down: for every halving the mean of 2x2 pixels and a convolution. Widths are w, 2w, 4w,
8w (and 8w again from 64 px on), from the largest image to 4x4 pixels.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, leaky_relu

from avae.networks.family import NetworkFamily

SIZES = (16, 32, 64, 128, 256)

R1_PER_PIXEL = 1e-4
"""Weight of R1 over the number of pixels: 0.1 at 32 px, without which a critic without batch norm wins."""

_FIRST, _MOST = 4, 8  # pixels across at the linear layer; largest multiple of the width
_SLOPE = 0.2


class Down(nn.Module):
    """Encoder or critic: images (N, channels, size, size) in [-1, 1] -> (N, outputs).

    `feature_count` is the number of features of an image in `with_features`.
    """

    def __init__(self, size: int, channels: int, width: int, outputs: int, normalise: bool) -> None:
        super().__init__()
        widths = _widths(size, width)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(_Convolution(a, b, normalise) for a, b in pairwise(widths))
        self.feature_count = widths[-1] * _FIRST**2
        self.linear = nn.Linear(self.feature_count, outputs)
        _initialise(self, normalise)
        nn.init.normal_(self.linear.weight, 0, self.linear.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self._maps(x).flatten(1)).to(x.dtype)
        return out

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result of `forward`, and VAE/GAN's features (N, channels, 4, 4)."""
        maps = self._maps(x)
        out: Tensor = self.linear(maps.flatten(1)).to(x.dtype)
        return out, maps.to(x.dtype)

    def _maps(self, x: Tensor) -> Tensor:
        maps = leaky_relu(self.stem(x), _SLOPE)
        for block in self.blocks:
            maps = block(avg_pool2d(maps, 2))
        return maps


class Up(nn.Module):
    """Decoder or generator: codes with `inputs` features in total -> (N, channels, size, size) in [-1, 1].

    Several inputs (z and xi) are concatenated.
    """

    def __init__(self, size: int, channels: int, width: int, inputs: int) -> None:
        super().__init__()
        widths = _widths(size, width)[::-1]
        self.linear = nn.Linear(inputs, widths[0] * _FIRST**2)
        self.norm = nn.BatchNorm2d(widths[0])
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    _Convolution(a, b, normalise=True),
                    nn.Upsample(scale_factor=2, mode="bilinear"),
                    Residual(b),
                )
                for a, b in pairwise(widths)
            )
        )
        self.out = nn.Conv2d(widths[-1], channels, 3, padding=1)
        _initialise(self, normalise=True)

    def forward(self, *parts: Tensor) -> Tensor:
        code = torch.cat(parts, 1)
        maps = leaky_relu(self.norm(self.linear(code).unflatten(1, (-1, _FIRST, _FIRST))), _SLOPE)
        return torch.tanh(self.out(self.blocks(maps)).to(code.dtype))


class _Convolution(nn.Module):
    """A 3x3 convolution, batch norm if asked for, and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, normalise: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not normalise)
        self.norm = nn.BatchNorm2d(outputs) if normalise else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(self.norm(self.conv(x)), _SLOPE)


class Residual(nn.Module):
    """x + f(x) of two convolutions; f starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = _Convolution(channels, channels, normalise=True)
        self.last = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.last(self.inner(leaky_relu(x, _SLOPE)))
        return out


def _widths(size: int, width: int) -> tuple[int, ...]:
    if size not in SIZES:
        raise ValueError(f"no layers for {size} px images: choose one of {', '.join(map(str, SIZES))}")
    return tuple(width * min(2**i, _MOST) for i in range(int(math.log2(size // _FIRST)) + 1))


def _initialise(network: nn.Module, normalise: bool) -> None:
    """Draw initial weights; biases and the ends of residual blocks start at 0.

    With batch norm, whose outputs do not depend on the scale of weights, all are N(0, 0.02), as in DCGAN:
    small weights learn faster. Without it they keep the variance of activations (He et al., 2015).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if normalise:
                nn.init.normal_(module.weight, 0, 0.02)
            else:
                nn.init.kaiming_normal_(module.weight, _SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, Residual):
            nn.init.zeros_(module.last.weight)


def _encoder(item: tuple[int, ...], width: int, outputs: int) -> nn.Module:
    channels, size, _ = item
    return Down(size, channels, width, outputs, normalise=True)


def _critic(item: tuple[int, ...], width: int, outputs: int) -> nn.Module:
    channels, size, _ = item
    return Down(size, channels, width, outputs, normalise=False)


def _up(item: tuple[int, ...], width: int, inputs: int) -> nn.Module:
    channels, size, _ = item
    return Up(size, channels, width, inputs)


FAMILY = NetworkFamily(
    encoder=_encoder,
    decoder=_up,
    generator=_up,
    critic=_critic,
    joint_features=8,
    defaults={
        "learning_rate": 1e-3,
        "adam_beta1": 0.5,
        "adam_beta2": 0.99,
        "ema_half_life": 0,
        "penalty_every": 8,
    },
    regularizers=lambda size, batch_size: {"r1": R1_PER_PIXEL * size**2},
)
