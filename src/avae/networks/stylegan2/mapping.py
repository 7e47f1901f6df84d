"""The mapping network (StyleGAN, section 2)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from avae.networks.stylegan2.equalized import Linear, leaky
from avae.networks.stylegan2.precision import full_precision

DEPTH = 8
MULTIPLIER = 0.01
"""Of the learning rate (StyleGAN, appendix C)."""


class Mapping(nn.Module):
    """z and xi, (N, ...) of `inputs` features in all, joined end to end -> the style w (N, width).

    The paper divides its input by its root mean square, for there only its direction says anything. Here it
    is taken as it is: how long z is is part of what the code says, and of a code of one dimension nothing but
    a sign would be left. What matters of the division is the scale it sets, and codes have that already: z
    and xi are N(0, I) by construction, 1 in mean square.
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
