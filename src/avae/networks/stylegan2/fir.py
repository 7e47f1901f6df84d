"""Bilinear up- and down-sampling by two: the taps [1, 3, 3, 1] in both directions (StyleGAN2, appendix B).

The filter preserves constants and removes the highest frequency, which prevents aliasing. Images keep their
centres; the padding is zero.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

TAPS = (1.0, 3.0, 3.0, 1.0)


class _Filter(nn.Module):
    """A kernel with sum `gain`, for one convolution per channel."""

    kernel: Tensor

    def __init__(self, gain: float) -> None:
        super().__init__()
        kernel = torch.tensor([[gain * a * b / sum(TAPS) ** 2 for b in TAPS] for a in TAPS])
        # Constant, so not saved.
        self.register_buffer("kernel", kernel[None, None], persistent=False)

    def per_channel(self, x: Tensor) -> Tensor:
        """Return the kernel once per channel of x, (C, 1, 4, 4)."""
        return self.kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1)


class Upsample(_Filter):
    """x (N, C, H, W) -> (N, C, 2H, 2W): zeros between pixels, then the filter."""

    def __init__(self) -> None:
        # Three of four pixels are zero.
        super().__init__(gain=4.0)

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose2d(x, self.per_channel(x), stride=2, padding=1, groups=x.shape[1])


class Downsample(_Filter):
    """x (N, C, H, W) -> (N, C, H/2, W/2): the filter, then every second pixel."""

    def __init__(self) -> None:
        super().__init__(gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.per_channel(x), stride=2, padding=1, groups=x.shape[1])


class Blur(_Filter):
    """x (N, C, H, W) -> (N, C, H + 2 padding - 3, W + 2 padding - 3): the filter alone.

    Before a convolution of stride 2, or after a transposed one, it makes the sampling a filtered one.
    """

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__(gain)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.per_channel(x), padding=self.padding, groups=x.shape[1])
