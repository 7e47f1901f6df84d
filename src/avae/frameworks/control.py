"""Coefficients of a loss: constants, or moved while training, by plan or to hold a term at a target."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Course:
    """How a control moves its value, on a log scale.

    Attributes:
        start, lowest, highest: the value's first, smallest and largest; a start beyond widens them.
        integral_gain: share of the error that the integral moves by, a step; negative for a term that grows
            with the value.
        proportional_gain: share of the error that is added to the integral, to damp the approach; of the same
            sign.
    """

    start: float
    lowest: float
    highest: float
    integral_gain: float
    proportional_gain: float = 0.0


class Moving(ABC):
    """A coefficient that moves after every step.

    Attributes:
        state: all it remembers; saved in checkpoints.
    """

    state: Tensor

    @property
    @abstractmethod
    def value(self) -> Tensor:
        """The coefficient, a scalar."""

    @abstractmethod
    def update(self, terms: Mapping[str, Tensor]) -> None:
        """Move the value after a step, given the step's terms."""


class Annealed(Moving):
    """Falls exponentially.

    Args:
        first, last: value at the first step and after `steps`.
        steps: of the run.

    Attributes:
        state: steps done.
    """

    def __init__(self, first: float, last: float, steps: int) -> None:
        self.first, self.last, self.steps = first, last, steps
        self.state = torch.tensor(0.0)

    @property
    def value(self) -> Tensor:
        return self.first * (self.last / self.first) ** (self.state / self.steps)

    def update(self, terms: Mapping[str, Tensor]) -> None:
        self.state = self.state + 1


class Control(Moving):
    """Holds a term of the log at a target by moving a coefficient of the losses (a PI controller).

    With e = log(term / target), cut to [-1, 1], the integral grows by `integral_gain` e a step and the value
    is exp(integral + `proportional_gain` e).

    Args:
        term: the term's name.
        target: for it; both are positive.
        course: how.

    Attributes:
        state: (2,) the integral and the value.
    """

    def __init__(self, term: str, target: float, course: Course) -> None:
        self.term, self.target, self.course = term, target, course
        self.state = torch.tensor([math.log(course.start), course.start])

    @property
    def value(self) -> Tensor:
        return self.state[1]

    @torch.no_grad()
    def update(self, terms: Mapping[str, Tensor]) -> None:
        course = self.course
        lowest = math.log(min(course.lowest, course.start))
        highest = math.log(max(course.highest, course.start))
        error = _log_ratio(terms[self.term], self.target).to(self.state)
        integral = (self.state[0] + course.integral_gain * error).clamp(lowest, highest)
        value = (integral + course.proportional_gain * error).clamp(lowest, highest).exp()
        self.state = torch.stack([integral, value])


def _log_ratio(term: Tensor, target: float) -> Tensor:
    """Return log(term / target), cut to [-1, 1]; a target of zero counts as small."""
    tiny = torch.finfo(term.dtype).tiny
    return (term.clamp(min=tiny) / torch.as_tensor(target).clamp(min=tiny)).log().clamp(-1, 1)


Coefficient = float | Moving


def value_of(coefficient: Coefficient) -> float | Tensor:
    """Return a coefficient's present value."""
    return coefficient.value if isinstance(coefficient, Moving) else coefficient
