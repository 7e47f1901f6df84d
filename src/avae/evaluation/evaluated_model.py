"""A model under evaluation, as plain callables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from avae.data.batch_size import batch_size
from avae.evaluation.unavailable import Unavailable

Reconstruct = Callable[[Tensor, range], Tensor]

NO_XI = Unavailable("the model has no xi")
NO_CODES = Unavailable("the model has no codes of items")

Metric = tuple[str, float | Unavailable]
"""Name and value of a metric."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A model under evaluation. `rows` are row numbers; its noise is a function of them.

    Attributes:
        reconstruct: (items, rows) -> items, by the name of the reconstruction ("decoder",
            "generator_calibrated", ...).
        default: name of the model's default reconstruction.
        encode: items -> mean codes (N, d).
        drawing_codes: (items, rows) -> codes (N, d) of the kind that `draw` was trained to draw from; those
            of a conditional model have the number of the class that it reads from them as a further column.
        draw: (codes, rows, xi_seed) -> items drawn from codes, (N, d) or as `drawing_codes` returns them.
            Without the column, a conditional model draws the classes that its prior has in these rows.
        prior: rows -> codes (N, d) from N(0, I), or from the learned prior if codes of items are not N(0, I).
        learned_prior: rows -> codes (N, d) from the prior fitted to codes of training items; None if samples
            are drawn from N(0, I).
        code_scale: (d,) s; an item drawn from z should have the mean code s z.
        sigma: (d,) posterior scale.
        code_parts: the dimensions of each part of a code by name; empty if a code has no parts.
        has_xi: True if its samples depend on more than z.
        redraw: (items, rows, xi_seed) -> the default reconstructions of items; xi alone depends on xi_seed.
        device: device of all tensors that it takes and returns.
        batch: number of items that it takes at once; the last ones may be almost twice as many.
    """

    reconstruct: Mapping[str, Reconstruct | Unavailable]
    default: str
    encode: Callable[[Tensor], Tensor] | Unavailable
    draw: Callable[[Tensor, range, int], Tensor]
    prior: Callable[[range], Tensor]
    code_scale: Tensor
    sigma: Tensor | Unavailable
    has_xi: bool
    redraw: Callable[[Tensor, range, int], Tensor] | Unavailable = NO_XI
    drawing_codes: Callable[[Tensor, range], Tensor] | Unavailable = NO_CODES
    learned_prior: Callable[[range], Tensor] | None = None
    code_parts: Mapping[str, slice] = field(default_factory=dict)
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - a value
    batch: int = batch_size()
