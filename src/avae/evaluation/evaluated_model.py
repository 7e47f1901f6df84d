"""What is measured: a model as plain callables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from avae.evaluation.unavailable import Unavailable

Reconstruct = Callable[[Tensor, range], Tensor]

Metric = tuple[str, float | Unavailable]
"""A metric's name and its value."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model to be measured; `rows` are row numbers, to which its noise is keyed.

    Attributes:
        reconstruct: by name of the reconstruction ("decoder", "generator_calibrated", ...):
            (items, rows) -> items.
        default: the name of the reconstruction it makes unless told otherwise.
        encode: items -> mean codes (N, d).
        draw: (z, rows, xi_seed) -> items drawn from prior codes z (N, d).
        prior: rows -> prior codes (N, d).
        code_scale: (d,) s: an item drawn from z should have the mean code s z.
        sigma: (d,) posterior scale.
        has_xi: whether what it draws depends on more than z.
        device: where all tensors lie, those it takes and those it returns.
    """

    reconstruct: Mapping[str, Reconstruct | Unavailable]
    default: str
    encode: Callable[[Tensor], Tensor] | Unavailable
    draw: Callable[[Tensor, range, int], Tensor]
    prior: Callable[[range], Tensor]
    code_scale: Tensor
    sigma: Tensor | Unavailable
    has_xi: bool
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a value
