"""What the engine asks of a coefficient of the losses that moves."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


class Moving(Protocol):
    """A coefficient that moves after every step.

    Attributes:
        state: all it remembers; saved in checkpoints.
    """

    state: Tensor

    def update(self, terms: Mapping[str, Tensor]) -> None:
        """Move it after a step, given the step's terms, which are the same in every process."""
