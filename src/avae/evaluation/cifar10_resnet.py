"""The bundled features: the last hidden layer of a small CIFAR-10 classifier.

It stands in for Inception where those weights are not available. Distances in its features compare with each
other only: write `fid[cifar10-resnet]`, never FID.

The weights beside this file were trained on the 50,000 training images of CIFAR-10 (A. Krizhevsky, 2009), as
JPEG files; the classifier gets 85.5 % of the test images right.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

NAME = "cifar10-resnet"
"""Name in `--features` and in result files."""

SIZE = 32
"""Side of the images that it was trained on, in pixels."""

_WEIGHTS = Path(__file__).with_suffix(".safetensors")
_WIDTH = 24
_PIXEL_MEAN = (125.3, 123.0, 113.9)
_PIXEL_STD = (63.0, 62.1, 66.7)


class Cifar10ResNet(nn.Module):
    """A residual network from images (N, 3, H, W) in [-1, 1] to features (N, 192).

    Images of other sizes are resized to 32 px, by antialiased bilinear interpolation.
    """

    def __init__(self) -> None:
        super().__init__()
        width = _WIDTH
        self.body = nn.Sequential(
            _block(3, width),
            _block(width, 2 * width, pool=True),
            _Residual(2 * width),
            _block(2 * width, 4 * width, pool=True),
            _block(4 * width, 8 * width, pool=True),
            _Residual(8 * width),
        )
        self.head = nn.Linear(8 * width, 10, bias=False)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_PIXEL_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != (SIZE, SIZE):
            images = nn.functional.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)
        pixels = ((images + 1) * 127.5 - self.mean) / self.std
        # On a processor, convolutions and pooling take a third less time in this order of memory.
        features: Tensor = self.body(pixels.contiguous(memory_format=torch.channels_last)).amax((2, 3))
        return features

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits (N, 10) of CIFAR-10's classes, in alphabetical order."""
        logits: Tensor = self.head(self(images)) * 0.125
        return logits


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.f = nn.Sequential(_block(channels, channels), _block(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.f(x)
        return y


class _CELU(nn.Module):
    """The activation max(x, 0) + a (exp(min(x, 0) / a) - 1) with a = 0.3: nn.CELU, but vectorised."""

    def forward(self, x: Tensor) -> Tensor:
        below = x.clamp(max=0).div_(0.3).exp_().sub_(1).mul_(0.3)
        return below.add_(x.clamp(min=0))


def _block(inputs: int, outputs: int, pool: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), _CELU())


def load_cifar10_resnet() -> Cifar10ResNet:
    """Return the network with the bundled weights."""
    network = Cifar10ResNet()
    network.load_state_dict(load_file(_WEIGHTS))
    return network.to(memory_format=torch.channels_last)
