"""One training step (Fig. 4): all gradients of a phase from one shared forward pass, then all optimizers."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from avae.distributed import processes
from avae.engine.optimizers import set_learning_rate
from avae.engine.tf32 import tf32_convolutions
from avae.frameworks.base import Noise, NoiseShapes
from avae.frameworks.coefficients import ScheduledCoefficient

Grads = tuple[Tensor | None, ...]
"""Gradients of one network, in the order of its parameters that learn."""

Gradients = dict[str, Grads]
Terms = dict[str, Tensor]
LossFn = Callable[[Tensor, Noise], tuple[dict[str, Tensor], Terms]]
Batches = Sequence[tuple[Tensor, Noise]]
GradientsAndTerms = tuple[Gradients, Terms]
GradientHook = Callable[[str, Grads], None]
Optimizers = Mapping[str, torch.optim.Optimizer]
NamesAndTerms = tuple[tuple[str, ...], Terms]
Average = Callable[[Sequence[Tensor]], Callable[[], Sequence[Tensor]]]
"""Starts averaging tensors over all processes; returns a function that waits for the means."""


def no_preparation() -> None:
    """Do nothing before the first step of a phase."""


@dataclass(frozen=True)
class Phase:
    """A loss function and its interval.

    Attributes:
        name: "main" for the framework; each regularizer is a further phase.
        losses: (x, noise) -> (a scalar loss per network, scalar terms for the log).
        networks: all networks, by name.
        every: the phase is due at steps divisible by this.
        first: first step at which the phase is due.
        end: step from which on it is due no more; None for never.
        begin: called once, before the first step of the phase, to prepare its networks.
        noise_shapes: number of items -> shape of every noise tensor, by name.
        coefficients: further modules whose buffers the losses read.
        tf32: True if convolutions in fp32 may be rounded to 10 bits on a GPU.
    """

    name: str
    losses: LossFn
    networks: Mapping[str, nn.Module]
    every: int = 1
    first: int = 0
    end: int | None = None
    begin: Callable[[], None] = no_preparation
    noise_shapes: Callable[[int], NoiseShapes] = lambda n: {}
    coefficients: Collection[nn.Module] = ()
    tf32: bool = True

    def due(self, step: int) -> bool:
        """Return True if the phase is due at a step."""
        return step >= self.first and (self.end is None or step < self.end) and step % self.every == 0

    def frequency(self, steps: int) -> float:
        """Return how often the phase is due per step, averaged over a run."""
        end = steps if self.end is None else self.end
        return (end - self.first) / steps / self.every


class GradientFn(Protocol):
    """The type of `gradients` and of `compile.CompiledGradients`."""

    def __call__(self, phase: Phase, x: Tensor, noise: Noise, ready: GradientHook) -> GradientsAndTerms: ...


class UpdateFn(Protocol):
    """The type of `update_networks` and of `graphed_updates.GraphedUpdates`."""

    def __call__(self, phase: Phase, batches: Batches, optimizers: Optimizers) -> NamesAndTerms: ...


def gradients(
    phase: Phase, x: Tensor, noise: Noise, ready: GradientHook = lambda name, grads: None
) -> GradientsAndTerms:
    """Differentiate the loss of each network with respect to that network only.

    Eager autograd skips the weight gradients of all other networks, so neither `detach` nor `requires_grad`
    switches are needed, and each gradient equals that of a separate, detached pass.

    Args:
        phase: has the losses and the networks.
        x: (N, ...) items.
        noise: noise tensors by name.
        ready: called with the gradients of each network once they are computed, in the order of the losses.

    Returns:
        Gradients by network, in the order of its parameters that learn, and copies of the terms.
    """
    by_network, terms = phase.losses(x, noise)
    result: Gradients = {}
    groups = _group_by_loss(by_network)
    for i, (loss, names) in enumerate(groups):
        parameters = [p for name in names for p in learning_parameters(phase.networks[name])]
        flat = iter(
            torch.autograd.grad(
                loss, parameters, retain_graph=i < len(groups) - 1, allow_unused=phase.name != "main"
            )
        )
        for name in names:
            result[name] = tuple(next(flat) for _ in learning_parameters(phase.networks[name]))
            ready(name, result[name])
    return result, {name: term.detach().clone() for name, term in terms.items()}


def learning_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a network, without those of frozen parts."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def mean_gradients(
    phase: Phase,
    batches: Batches,
    differentiate: GradientFn = gradients,
    average: Average = processes.all_reduce_mean_async,
) -> GradientsAndTerms:
    """Return the mean gradients and terms of the micro-batches, of equal size, of all processes."""
    mean = _AsyncMean(len(batches), average)
    with tf32_convolutions(phase.tf32):
        for x, noise in batches:
            _, terms = differentiate(phase, x, noise, mean.add)
            mean.add(_TERMS, tuple(terms.values()))
    means = mean.wait()
    logged = zip(terms, means.pop(_TERMS), strict=True)
    return means, {name: term for name, term in logged if term is not None}


_TERMS = ""
"""Name of the terms in `_AsyncMean`, beside the names of networks."""


class _AsyncMean:
    """Means over micro-batches and processes; averaging over processes starts with the last micro-batch.

    So the gradients of one network are sent while those of the next are still being computed.
    """

    def __init__(self, parts: int, average: Average) -> None:
        self._parts, self._average = parts, average
        self._seen: Counter[str] = Counter()
        self._sums: Gradients = {}
        self._pending: dict[str, Callable[[], Sequence[Tensor]]] = {}

    def add(self, name: str, grads: Grads) -> None:
        """Add the tensors of one micro-batch under a name."""
        self._seen[name] += 1
        if name in self._sums:
            # Not in place: two parameters may share one gradient tensor.
            pairs = zip(self._sums[name], grads, strict=True)
            grads = tuple(a if a is None or b is None else a + b for a, b in pairs)
        elif self._parts > 1:  # a compiled step may overwrite them with those of the next micro-batch
            grads = tuple(None if grad is None else grad.clone() for grad in grads)
        self._sums[name] = grads
        if self._seen[name] == self._parts:
            tensors = [grad for grad in self._sums[name] if grad is not None]
            if self._parts > 1:
                torch._foreach_div_(tensors, self._parts)
            self._pending[name] = self._average(tensors)

    def wait(self) -> Gradients:
        """Wait for all means and return them by name."""
        means: Gradients = {}
        for name, wait in self._pending.items():
            each = iter(wait())
            means[name] = tuple(None if grad is None else next(each) for grad in self._sums[name])
        return means


def apply_gradients(by_network: Gradients, networks: Mapping[str, nn.Module], optimizers: Optimizers) -> None:
    """Step the optimizer of every network that has gradients; skip parameters without a gradient."""
    for name, grads in by_network.items():
        for parameter, grad in zip(learning_parameters(networks[name]), grads, strict=True):
            if grad is not None and grad.stride() != parameter.stride():
                # Fused Adam assumes that both have the same strides.
                grad = torch.empty_like(parameter).copy_(grad)
            parameter.grad = grad
        optimizers[name].step()
        optimizers[name].zero_grad(set_to_none=True)


def update_networks(
    phase: Phase,
    batches: Batches,
    optimizers: Optimizers,
    differentiate: GradientFn = gradients,
    average: Average = processes.all_reduce_mean_async,
) -> NamesAndTerms:
    """Take one step of the optimizers of a phase.

    Args:
        phase: has the losses and the networks.
        batches: micro-batches (x, noise) of this process.
        optimizers: optimizer of each network, by name.
        differentiate: `gradients` or its compiled form.
        average: starts averaging over processes.

    Returns:
        Names of the networks that have learnt, and terms for the log.
    """
    by_network, terms = mean_gradients(phase, batches, differentiate, average)
    apply_gradients(by_network, phase.networks, optimizers)
    if phase.name == "main":
        terms["gradient_norm"] = _largest_norm(by_network)
    return tuple(by_network), terms


def training_step(
    step: int,
    phases: Sequence[Phase],
    optimizers: Optimizers,
    batches: Callable[[int, Phase], Batches],
    *,
    update: UpdateFn = update_networks,
    learning_rate: Callable[[int], float] = lambda step: 1.0,
    averages: Mapping[str, AveragedModel] | None = None,
    coefficients: Collection[ScheduledCoefficient] = (),
) -> Terms:
    """Run one training step and return its terms for the log.

    Args:
        step: number of steps done before.
        phases: all phases, in the order in which they run; "main" is that of the framework's losses.
        optimizers: optimizer of each network, by name.
        batches: (step, phase) -> micro-batches (x, noise) of this process, a pure function.
        update: `update_networks` or its compiled form.
        learning_rate: step -> factor of the initial learning rate.
        averages: moving averages of networks to update, by network.
        coefficients: scheduled coefficients to update.
    """
    set_learning_rate(optimizers, learning_rate(step))
    logged: Terms = {}
    trained: dict[str, nn.Module] = {}
    for phase in phases:
        if phase.due(step):
            if step == phase.first:
                phase.begin()
            names, terms = update(phase, batches(step, phase), optimizers)
            logged |= terms
            trained |= {name: phase.networks[name] for name in names}
    for name, average in (averages or {}).items():
        if name in trained:  # a network that has not begun to train is no part of its average
            average.update_parameters(trained[name])
    for coefficient in coefficients:
        coefficient.update(logged)
    return logged


def _largest_norm(by_network: Gradients) -> Tensor:
    """Return the largest of the networks' gradient norms (L2)."""
    norms = [
        torch.nn.utils.get_total_norm([grad for grad in grads if grad is not None])
        for grads in by_network.values()
    ]
    return torch.stack(norms).max()


def _group_by_loss(by_network: Mapping[str, Tensor]) -> Sequence[tuple[Tensor, list[str]]]:
    """Group the networks that share one loss tensor, so that it is differentiated once."""
    groups: list[tuple[Tensor, list[str]]] = []
    for name, loss in by_network.items():
        shared = next((names for other, names in groups if other is loss), None)
        if shared is None:
            groups.append((loss, [name]))
        else:
            shared.append(name)
    return groups
