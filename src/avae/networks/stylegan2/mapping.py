"""The mapping network (StyleGAN, section 2)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from avae.networks.stylegan2.equalized import Linear, leaky
from avae.networks.stylegan2.precision import full_precision

DEPTH = 8
MULTIPLIER = 0.01
"""Factor of the learning rate (StyleGAN, appendix C)."""


class Mapping(nn.Module):
    """z and xi, (N, ...) with `inputs` features in total, concatenated -> the style w (N, width).

    The paper divides the input by its root mean square, because there only its direction carries information.
    Here the input is not normalised: the length of z is part of the code, and a code of one dimension would
    be reduced to its sign. The division is needed only for its scale, which codes already have: z and xi are
    N(0, I) by construction, with mean square 1.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        sizes = (inputs, *(width,) * DEPTH)
        self.layers = nn.ModuleList(Linear(a, b, multiplier=MULTIPLIER) for a, b in pairwise(sizes))

    def forward(self, *parts: Tensor) -> Tensor:
        w = torch.cat(parts, 1)
        with full_precision(w):
            for layer in self.layers:
                w = leaky(layer(w))
        return w
