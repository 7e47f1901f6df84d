"""Convolutions whose input channels a style scales (StyleGAN2, section 2.2).

The paper scales a copy of the weights for every image (Eqs. 1 and 3), and convolves in groups. Scaling the
input channels instead, and what comes out, is the same sum with its factors in another order; it takes one
plain convolution for the batch, and needs no copies.
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
    """Eq. 3's divisor, as a factor: it gives inputs of unit variance outputs of unit variance.

    Args:
        weight: (O, I, k, k).
        style: (N, I), Eq. 1's s.

    Returns:
        (N, O) 1 / sqrt(sum over i and k of (s_i w_oik)^2 + epsilon).
    """
    return (style.square() @ weight.square().sum((2, 3)).t() + EPSILON).rsqrt()


class _Modulated(nn.Module):
    """The weights of a convolution, and the style of its input channels, a linear function of w.

    Styles are 1 at the start but for what w adds (StyleGAN, appendix C: biases start at 1).
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
        """Convolve as if there were no styles."""
        return conv2d(x, weight, padding=1)


class UpModulatedConv(ModulatedConv):
    """The same after filtered up-sampling: (N, outputs, 2H, 2W).

    Convolutions commute: the transposed one first, then the filter, is the filter first at a quarter of the
    work. Its kernel is applied mirrored, which to weights that are learned is all the same.
    """

    def __init__(self, inputs: int, outputs: int, style_width: int) -> None:
        super().__init__(inputs, outputs, style_width)
        self.blur = Blur(padding=1, gain=4.0)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        blurred: Tensor = self.blur(conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        return blurred


class ToImage(_Modulated):
    """x (N, inputs, H, W), w -> an image's share (N, channels, H, W): 1x1, with a bias, not demodulated."""

    def __init__(self, inputs: int, channels: int, style_width: int) -> None:
        super().__init__(inputs, channels, 1, style_width)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        with full_precision(w):
            style = self.style(w)
        # In w's dtype, for so is the sum of all resolutions.
        return conv2d(x * _per_pixel(style, x), self.scale * self.weight, self.bias).to(w.dtype)


def _per_pixel(factors: Tensor, x: Tensor) -> Tensor:
    """Shape (N, C) factors for maps like x, in its dtype, which autocast may have lowered."""
    return factors.to(x.dtype)[:, :, None, None]
