"""Loss coefficients: constants, or scheduled coefficients, which change during training."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class ScheduledCoefficient(nn.Module, ABC):
    """A loss coefficient that changes after every step.

    It is a module, and a buffer holds its whole state. So it is moved, saved, copied and passed to compiled
    steps in the same way as networks.

    Args:
        state: initial state.

    Attributes:
        state: the buffer. Change it in place only, because compiled steps keep a reference to it.
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
        """Change the value after a step, given its log terms, which are the same in every process."""


class ExponentialDecay(ScheduledCoefficient):
    """Exponential decay; the state is the number of steps done.

    Args:
        first, last: value at the first step and after the last one.
        steps: number of steps of the decay.
        delay: number of steps before it begins.
    """

    def __init__(self, first: float, last: float, steps: int, delay: int = 0) -> None:
        super().__init__(torch.tensor(0.0))
        self.first, self.last, self.steps, self.delay = first, last, steps, delay

    @property
    def value(self) -> Tensor:
        done = (self.state - self.delay).clamp(min=0)
        return self.first * (self.last / self.first) ** (done / self.steps)

    def update(self, terms: Mapping[str, Tensor]) -> None:
        self.state.add_(1)


@dataclass(frozen=True)
class ControllerSettings:
    """Settings of a `PIController`. Gains apply on a log scale.

    Attributes:
        start: initial value.
        lowest, highest: range of the value, extended to include `start`.
        integral_gain: change of the integral per step, relative to the error; negative for a term that grows
            with the value.
        proportional_gain: share of the error that is added to the integral, for damping; has the same sign.
    """

    start: float
    lowest: float
    highest: float
    integral_gain: float
    proportional_gain: float = 0.0


class PIController(ScheduledCoefficient):
    """PI controller: changes a loss coefficient to keep a term of the log at a target.

    With e = log(term / target), clipped to [-1, 1], the integral grows by `integral_gain` e per step, and the
    value is exp(integral + `proportional_gain` e). The state (2,) is the integral and the value. A step
    without the term, such as one of a warm start, changes nothing.

    Args:
        term: name of the term; its values must be positive.
        target: target of the term, or name of the term that it should equal; positive. Zero counts as small.
        settings: gains and range.
    """

    def __init__(self, term: str, target: float | str, settings: ControllerSettings) -> None:
        super().__init__(torch.tensor([math.log(settings.start), settings.start]))
        self.term, self.target, self.settings = term, target, settings

    @property
    def value(self) -> Tensor:
        return self.state[1]

    @torch.no_grad()
    def update(self, terms: Mapping[str, Tensor]) -> None:
        if self.term not in terms:
            return
        settings = self.settings
        lowest = math.log(min(settings.lowest, settings.start))
        highest = math.log(max(settings.highest, settings.start))
        term = terms[self.term]
        tiny = torch.finfo(term.dtype).tiny
        target = terms[self.target] if isinstance(self.target, str) else torch.as_tensor(self.target)
        ratio = term.clamp(min=tiny) / target.clamp(min=tiny)
        error = ratio.log().clamp(-1, 1).to(self.state)
        integral = (self.state[0] + settings.integral_gain * error).clamp(lowest, highest)
        value = (integral + settings.proportional_gain * error).clamp(lowest, highest).exp()
        self.state.copy_(torch.stack([integral, value]))


class DecoderVariance(ScheduledCoefficient):
    """The variance of a Gaussian decoder, as beta of a VAE: a running mean of its squared error per value.

    With a decoder N(D(z), beta I) of n values, L_R + beta L_P + (n / 2) beta log beta is beta times the
    ELBO's opposite. So a step on L_R + beta L_P is one on the ELBO, at a scale of its own, and the best beta
    is the mean squared error (Rybkin et al., 2021, arXiv 2006.13202). It is gamma^2 of the two-stage VAE
    (Dai, Wipf, 2019, arXiv 1903.05789). The state is beta.

    Args:
        start: initial variance; with a high one codes would stay empty.
        memory: share of the variance that a step keeps.
        least: minimum of the variance.
    """

    def __init__(self, start: float = 0.1, memory: float = 0.99, least: float = 1e-4) -> None:
        super().__init__(torch.tensor(start))
        self.memory, self.least = memory, least

    @property
    def value(self) -> Tensor:
        return self.state

    @torch.no_grad()
    def update(self, terms: Mapping[str, Tensor]) -> None:
        if "mse" in terms:
            error = terms["mse"].to(self.state)
            self.state.copy_(torch.lerp(error, self.state, self.memory).clamp(min=self.least))


Coefficient = float | ScheduledCoefficient


def current_value(coefficient: Coefficient) -> float | Tensor:
    """Return the current value of a coefficient, a scalar."""
    return coefficient.value if isinstance(coefficient, ScheduledCoefficient) else coefficient
