"""The paper's convolutional networks (Fig. 5, after DCGAN) for 16, 32, 64, 128 and 256 pixels.

All convolutions are 5x5 with 'same' padding. Down: widths w, 2w, 4w, 8w (and 8w again from 128 px on) to 4x4
pixels, batch norm except in the first block, leaky ReLU 0.2, one linear layer. Up: the reverse, with ReLU and
tanh. Weights start at N(0, 0.02) and batch-norm scales at N(1, 0.02).
"""

import math

import torch
from torch import Tensor, nn

from avae.networks.family import NetworkFamily

STRIDES = {16: (2, 1, 1, 2), 32: (2, 2, 1, 2), 64: (2, 2, 2, 2), 128: (2,) * 5, 256: (2,) * 6}
"""Strides of the down blocks, by image size in pixels; the up blocks use them in reverse order."""

_FEATURES = {
    16: (4, 1.0),
    32: (4, 1.0),
    64: (3, math.sqrt(0.5)),
    128: (4, math.sqrt(0.5)),
    256: (5, math.sqrt(0.5)),
}
"""By size: down blocks before VAE/GAN's features (4x4 pixels, 8x8 from 64 px on), and a factor of these."""

_MULTIPLES = (1, 2, 4, 8, 8, 8)
_LAST = 4  # pixels across at the linear layer


class Down(nn.Module):
    """Encoder or critic: images (N, channels, size, size) in [-1, 1] -> (N, outputs).

    `feature_count` is the number of features of an image in `with_features`.
    """

    def __init__(self, size: int, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        widths = _widths(size, width)
        blocks: list[nn.Module] = []
        features, self.feature_factor = _FEATURES[size]
        for i, stride in enumerate(STRIDES[size]):
            first = i == 0
            inputs = channels if first else widths[i - 1]
            blocks.append(nn.Conv2d(inputs, widths[i], 5, stride, padding=2, bias=first))
            if not first:
                blocks.append(nn.BatchNorm2d(widths[i]))
            blocks.append(nn.LeakyReLU(0.2, inplace=True))
            if i + 1 == features:
                self.feature_layers = len(blocks)
        self.blocks = nn.Sequential(*blocks)
        pixels = size // math.prod(STRIDES[size][:features])
        self.feature_count = widths[features - 1] * pixels**2
        self.linear = nn.Linear(widths[-1] * _LAST**2, outputs)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        # Under autocast the layers compute in bf16; the output has the dtype of the input.
        out: Tensor = self.linear(self.blocks(x).flatten(1)).to(x.dtype)
        return out

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result of `forward`, and VAE/GAN's features (N, channels, 4 or 8, 4 or 8)."""
        maps = self.blocks[: self.feature_layers](x)
        out: Tensor = self.linear(self.blocks[self.feature_layers :](maps).flatten(1)).to(x.dtype)
        return out, self.feature_factor * maps.to(x.dtype)


class Up(nn.Module):
    """Decoder or generator: codes with `inputs` features in total -> (N, channels, size, size) in [-1, 1].

    Several inputs (z and xi) are concatenated.
    """

    def __init__(self, size: int, channels: int, width: int, inputs: int) -> None:
        super().__init__()
        widths = (*reversed(_widths(size, width)), channels)
        self.linear = nn.Linear(inputs, widths[0] * _LAST**2, bias=False)
        blocks: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for i, stride in enumerate(reversed(STRIDES[size])):
            last = i == len(STRIDES[size]) - 1
            blocks.append(
                nn.ConvTranspose2d(
                    widths[i], widths[i + 1], 5, stride, padding=2, output_padding=stride - 1, bias=last
                )
            )
            blocks.extend([nn.Tanh()] if last else [nn.BatchNorm2d(widths[i + 1]), nn.ReLU(inplace=True)])
        self.blocks = nn.Sequential(*blocks)
        self.apply(_initialise)

    def forward(self, *parts: Tensor) -> Tensor:
        code = torch.cat(parts, 1)
        out: Tensor = self.blocks(self.linear(code).unflatten(1, (-1, _LAST, _LAST))).to(code.dtype)
        return out


def _widths(size: int, width: int) -> tuple[int, ...]:
    if size not in STRIDES:
        raise ValueError(f"no layers for {size} px images: choose one of {', '.join(map(str, STRIDES))}")
    return tuple(multiple * width for multiple in _MULTIPLES[: len(STRIDES[size])])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)


def _down(item: tuple[int, ...], width: int, outputs: int) -> nn.Module:
    channels, size, _ = item
    return Down(size, channels, width, outputs)


def _up(item: tuple[int, ...], width: int, inputs: int) -> nn.Module:
    channels, size, _ = item
    return Up(size, channels, width, inputs)


FAMILY = NetworkFamily(encoder=_down, decoder=_up, generator=_up, critic=_down, joint_features=8)
