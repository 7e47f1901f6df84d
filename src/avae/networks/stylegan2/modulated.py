"""Convolutions whose input channels are scaled by a style (StyleGAN2, section 2.2).

The paper scales a copy of the weights for every image (Eqs. 1 and 3) and uses a grouped convolution. Scaling
the input and output channels instead computes the same sum, with factors in a different order. It takes one
ordinary convolution for the batch and needs no copies.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from avae.networks.stylegan2.equalized import Linear
from avae.networks.stylegan2.fir import Blur
from avae.networks.stylegan2.precision import full_precision

EPSILON = 1e-8


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """Return the divisor of Eq. 3 as a factor: inputs of unit variance give outputs of unit variance.

    Args:
        weight: (O, I, k, k).
        style: (N, I), s of Eq. 1.

    Returns:
        (N, O) 1 / sqrt(sum over i and k of (s_i w_oik)^2 + epsilon).
    """
    return (style.square() @ weight.square().sum((2, 3)).t() + EPSILON).rsqrt()


class _Modulated(nn.Module):
    """The weights of a convolution, and the style of its input channels, a linear function of w.

    The bias of the style starts at 1 (StyleGAN, appendix C).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, style_width: int) -> None:
        super().__init__()
        self.style = Linear(style_width, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.scale = 1 / math.sqrt(inputs * kernel**2)


class ModulatedConv(_Modulated):
    """A 3x3 convolution: x (N, inputs, H, W), w (N, style_width) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, style_width: int) -> None:
        super().__init__(inputs, outputs, 3, style_width)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight = self.scale * self.weight
        with full_precision(w):
            style = self.style(w)
            factor = demodulation(weight, style)
        x = self.convolve(x * _per_pixel(style, x), weight)
        return x * _per_pixel(factor, x)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """Apply the convolution without styles."""
        return conv2d(x, weight, padding=1)


class UpModulatedConv(ModulatedConv):
    """A `ModulatedConv` after filtered up-sampling: (N, outputs, 2H, 2W).

    Convolutions commute, so the transposed convolution comes before the filter: a quarter of the work. Its
    kernel is mirrored, which makes no difference to learned weights.
    """

    def __init__(self, inputs: int, outputs: int, style_width: int) -> None:
        super().__init__(inputs, outputs, style_width)
        self.blur = Blur(padding=1, gain=4.0)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        blurred: Tensor = self.blur(conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        return blurred


class ToImage(_Modulated):
    """x (N, inputs, H, W), w -> a term of the image (N, channels, H, W): 1x1, with bias, not demodulated."""

    def __init__(self, inputs: int, channels: int, style_width: int) -> None:
        super().__init__(inputs, channels, 1, style_width)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        with full_precision(w):
            style = self.style(w)
        # In the dtype of w, like the sum over all resolutions.
        return conv2d(x * _per_pixel(style, x), self.scale * self.weight, self.bias).to(w.dtype)


def _per_pixel(factors: Tensor, x: Tensor) -> Tensor:
    """Reshape factors (N, C) to multiply maps x, in the dtype of x, which autocast may have lowered."""
    return factors.to(x.dtype)[:, :, None, None]
