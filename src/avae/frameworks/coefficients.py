"""Loss coefficients: constants, or scheduled ones, which change during training."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class ScheduledCoefficient(nn.Module, ABC):
    """A loss coefficient that changes after every step.

    It is a module whose only buffer holds all that it remembers. So it is moved, saved, copied and handed to
    compiled steps as networks are.

    Args:
        state: at the start.

    Attributes:
        state: the buffer. Changed in place only, for compiled steps hold on to it.
    """

    state: Tensor

    def __init__(self, state: Tensor) -> None:
        super().__init__()
        self.register_buffer("state", state)

    @property
    @abstractmethod
    def value(self) -> Tensor:
        """The coefficient, a scalar."""

    @abstractmethod
    def update(self, terms: Mapping[str, Tensor]) -> None:
        """Change the value after a step, given the step's terms, which are the same in every process."""


class ExponentialDecay(ScheduledCoefficient):
    """Falls exponentially; the state is the number of steps done.

    Args:
        first, last: value at the first step and after `steps`.
        steps: of the run.
    """

    def __init__(self, first: float, last: float, steps: int) -> None:
        super().__init__(torch.tensor(0.0))
        self.first, self.last, self.steps = first, last, steps

    @property
    def value(self) -> Tensor:
        return self.first * (self.last / self.first) ** (self.state / self.steps)

    def update(self, terms: Mapping[str, Tensor]) -> None:
        self.state.add_(1)


@dataclass(frozen=True)
class ControllerSettings:
    """How a controller moves its value, on a log scale.

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


class PIController(ScheduledCoefficient):
    """Holds a term of the log at a target by moving a coefficient of the losses.

    With e = log(term / target), cut to [-1, 1], the integral grows by `integral_gain` e a step and the value
    is exp(integral + `proportional_gain` e). The state (2,) is the integral and the value.

    Args:
        term: the term's name.
        target: for it; both are positive.
        settings: gains and bounds.
    """

    def __init__(self, term: str, target: float, settings: ControllerSettings) -> None:
        super().__init__(torch.tensor([math.log(settings.start), settings.start]))
        self.term, self.target, self.settings = term, target, settings

    @property
    def value(self) -> Tensor:
        return self.state[1]

    @torch.no_grad()
    def update(self, terms: Mapping[str, Tensor]) -> None:
        settings = self.settings
        lowest = math.log(min(settings.lowest, settings.start))
        highest = math.log(max(settings.highest, settings.start))
        error = _log_ratio(terms[self.term], self.target).to(self.state)
        integral = (self.state[0] + settings.integral_gain * error).clamp(lowest, highest)
        value = (integral + settings.proportional_gain * error).clamp(lowest, highest).exp()
        self.state.copy_(torch.stack([integral, value]))


def _log_ratio(term: Tensor, target: float) -> Tensor:
    """Return log(term / target), cut to [-1, 1]; a target of zero counts as small."""
    tiny = torch.finfo(term.dtype).tiny
    return (term.clamp(min=tiny) / torch.as_tensor(target).clamp(min=tiny)).log().clamp(-1, 1)


Coefficient = float | ScheduledCoefficient


def current_value(coefficient: Coefficient) -> float | Tensor:
    """Return a coefficient's present value."""
    return coefficient.value if isinstance(coefficient, ScheduledCoefficient) else coefficient
