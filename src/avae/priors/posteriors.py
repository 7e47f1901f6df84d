"""Posteriors of items, for a prior that is a mixture of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Posteriors:
    """Gaussians N(mean(x), factor factor^T) of codes, given items x.

    Attributes:
        items: numbers of codes (K,) int64 -> the items (K, ...) that have these codes.
        mean: items (K, ...) -> (K, k), differentiable.
        factor: (k, k), lower-triangular, the same for all items.
    """

    items: Callable[[Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    factor: Tensor

    def of_rows(self, rows: Tensor) -> "Posteriors":
        """Return the same for the codes of some rows (N,) int64, in this order."""
        return replace(self, items=lambda numbers: self.items(rows[numbers]))

    def whitened(self, informative: Tensor, mean: Tensor, factor: Tensor) -> "Posteriors":
        """Return the posteriors of u, where the informative dimensions (d,) of a code are mean + factor u."""

        def whiten(columns: Tensor) -> Tensor:
            whitened: Tensor = torch.linalg.solve_triangular(factor.to(columns), columns, upper=False)
            return whitened

        return Posteriors(
            self.items,
            lambda x: whiten((self.mean(x)[:, informative] - mean.float()).T).T,
            whiten(self.factor[informative][:, informative]),
        )
