"""Layers with an equalised learning rate (Karras et al., 2018, arXiv 1710.10196, section 4.1).

Weights are stored with unit variance and scaled at every use to the variance of He initialisation. Adam moves
all parameters at the same rate, so all layers learn at one speed, whatever their number of inputs.
"""

import math

import torch
from torch import Tensor, nn

SLOPE, GAIN = 0.2, math.sqrt(2)


def leaky(x: Tensor) -> Tensor:
    """Apply leaky ReLU, times sqrt(2) to keep the mean square of inputs with zero mean (to 2 %)."""
    return GAIN * nn.functional.leaky_relu(x, SLOPE)


class Linear(nn.Module):
    """x (N, inputs) -> x W^T + b, (N, outputs).

    Args:
        bias: initial value of b.
        multiplier: factor of the learning rate of W and b (StyleGAN, appendix C).
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, multiplier: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs).div_(multiplier))
        self.bias = nn.Parameter(torch.full((outputs,), bias / multiplier))
        self.scale = multiplier / math.sqrt(inputs)
        self.multiplier = multiplier

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.scale * self.weight, self.multiplier * self.bias)


class Conv(nn.Module):
    """x (N, inputs, H, W) -> (N, outputs, H', W').

    Args:
        kernel: kernel size in pixels.
        stride, padding: as for `conv2d`; by default H' = H.
        bias: True to add a bias, which starts at 0.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride = stride
        self.padding = kernel // 2 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.scale * self.weight, self.bias, self.stride, self.padding)
