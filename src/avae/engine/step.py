"""One step (Fig. 4): every gradient of a phase from one shared forward pass, then every optimizer."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from avae.distributed import processes
from avae.engine.optimizers import set_learning_rate

Noise = dict[str, Tensor]
NoiseShapes = dict[str, tuple[int, ...]]
Grads = tuple[Tensor | None, ...]
"""Of one network, in the order of its parameters."""

Gradients = dict[str, Grads]
Terms = dict[str, Tensor]
LossFn = Callable[[Tensor, Noise], tuple[dict[str, Tensor], Terms]]
Batches = Sequence[tuple[Tensor, Noise]]
GradientsAndTerms = tuple[Gradients, Terms]
GradientHook = Callable[[str, Grads], None]
Average = Callable[[Sequence[Tensor]], Callable[[], Sequence[Tensor]]]
"""Begins to average tensors over the processes; returns a function that waits for the means."""


def _no_noise(n: int) -> NoiseShapes:
    return {}


@dataclass(frozen=True)
class Phase:
    """A losses function and how often it is due.

    Attributes:
        name: "main" always; regularizers are further phases.
        losses: (x, noise) -> (a scalar loss per network, scalar terms for the log).
        networks: all there are, by name.
        every: due at steps divisible by this.
        noise_shapes: name and shape of every noise tensor that it takes for n items.
        coefficients: modules, beside the networks, whose buffers the losses read.
    """

    name: str
    losses: LossFn
    networks: Mapping[str, nn.Module]
    every: int = 1
    noise_shapes: Callable[[int], NoiseShapes] = _no_noise
    coefficients: Collection[nn.Module] = ()


class ScheduledCoefficient(Protocol):
    """A loss coefficient that changes during training."""

    def update(self, terms: Mapping[str, Tensor]) -> None:
        """Change it after a step, given the step's terms, which are the same in every process."""


class GradientFn(Protocol):
    """What `gradients` does, or `compile.Compiled` in its place."""

    def __call__(self, phase: Phase, x: Tensor, noise: Noise, ready: GradientHook) -> GradientsAndTerms: ...


def gradients(
    phase: Phase, x: Tensor, noise: Noise, ready: GradientHook = lambda name, grads: None
) -> GradientsAndTerms:
    """Differentiate each network's loss for that network only.

    Eager autograd skips the weight gradients of networks it is not asked about, so neither `detach` nor
    `requires_grad` switches are needed, and each gradient equals that of a separate, detached pass.

    Args:
        ready: told of each network's gradients as soon as they are there, in the order of the losses.

    Returns:
        Gradients by network, in the order of its parameters, and copies of the terms.
    """
    by_network, terms = phase.losses(x, noise)
    result: Gradients = {}
    groups = _group_by_loss(by_network)
    for i, (loss, names) in enumerate(groups):
        parameters = [p for name in names for p in phase.networks[name].parameters()]
        flat = iter(
            torch.autograd.grad(
                loss, parameters, retain_graph=i < len(groups) - 1, allow_unused=phase.name != "main"
            )
        )
        for name in names:
            result[name] = tuple(next(flat) for _ in phase.networks[name].parameters())
            ready(name, result[name])
    return result, {name: term.detach().clone() for name, term in terms.items()}


def mean_gradients(
    phase: Phase,
    batches: Batches,
    differentiate: GradientFn = gradients,
    average: Average = processes.all_reduce_mean_async,
) -> GradientsAndTerms:
    """Return gradients and terms as of all micro-batches of all processes joined, which are of one size."""
    mean = _AsyncMean(len(batches), average)
    for x, noise in batches:
        _, terms = differentiate(phase, x, noise, mean.add)
        mean.add(_TERMS, tuple(terms.values()))
    means = mean.wait()
    logged = zip(terms, means.pop(_TERMS), strict=True)
    return means, {name: term for name, term in logged if term is not None}


_TERMS = ""
"""Their name among those of networks."""


class _AsyncMean:
    """Means of networks' gradients, and of terms, each sent to the other processes once its last part is in.

    So a network's are on their way while the next one's are still being computed.
    """

    def __init__(self, parts: int, average: Average) -> None:
        self._parts, self._average = parts, average
        self._seen: Counter[str] = Counter()
        self._sums: Gradients = {}
        self._coming: dict[str, Callable[[], Sequence[Tensor]]] = {}

    def add(self, name: str, grads: Grads) -> None:
        """Count in one micro-batch's tensors of a name."""
        self._seen[name] += 1
        self._sums[name] = _sums(self._sums[name], grads) if name in self._sums else grads
        if self._seen[name] == self._parts:
            tensors = [grad for grad in self._sums[name] if grad is not None]
            if self._parts > 1:
                torch._foreach_div_(tensors, self._parts)
            self._coming[name] = self._average(tensors)

    def wait(self) -> Gradients:
        """Return the means by name, once they are there."""
        means: Gradients = {}
        for name, wait in self._coming.items():
            each = iter(wait())
            means[name] = tuple(None if grad is None else next(each) for grad in self._sums[name])
        return means


def apply_gradients(
    by_network: Gradients, networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Step the optimizer of every network that has gradients; a parameter without one is left alone."""
    for name, grads in by_network.items():
        for parameter, grad in zip(networks[name].parameters(), grads, strict=True):
            parameter.grad = None if grad is None else _match_layout(grad, parameter)
        optimizers[name].step()
        optimizers[name].zero_grad(set_to_none=True)


def training_step(
    step: int,
    phases: Sequence[Phase],
    optimizers: Mapping[str, torch.optim.Optimizer],
    batches: Callable[[int, Phase], Batches],
    *,
    differentiate: GradientFn = gradients,
    learning_rate: Callable[[int], float] = lambda step: 1.0,
    averages: Mapping[str, AveragedModel] | None = None,
    coefficients: Collection[ScheduledCoefficient] = (),
) -> Terms:
    """Do one step and return its terms for the log.

    Args:
        step: steps done before it.
        phases: "main" and the regularizers'.
        optimizers: by network.
        batches: step, phase -> this process's micro-batches (x, noise), a pure function.
        differentiate: `gradients`, or what does the same.
        learning_rate: step -> factor of the first learning rate.
        averages: moving averages of networks to update, by network.
        coefficients: to update.
    """
    set_learning_rate(optimizers, learning_rate(step))
    logged: Terms = {}
    for phase in phases:
        if step % phase.every == 0:
            by_network, terms = mean_gradients(phase, batches(step, phase), differentiate)
            apply_gradients(by_network, phase.networks, optimizers)
            logged |= terms
            if phase.name == "main":
                logged["gradient_norm"] = _largest_norm(by_network)
    for name, average in (averages or {}).items():
        average.update_parameters(phases[0].networks[name])
    for coefficient in coefficients:
        coefficient.update(logged)
    return logged


def _match_layout(grad: Tensor, parameter: nn.Parameter) -> Tensor:
    """Return a gradient with its parameter's strides, which fused Adam takes for granted."""
    same = grad.stride() == parameter.stride()
    return grad if same else torch.empty_like(parameter).copy_(grad)


def _sums(total: Grads, more: Grads) -> Grads:
    """Add tensor by tensor, what is None in one being None in the other.

    Not in place: two parameters may have the very same tensor.
    """
    return tuple(a if a is None or b is None else a + b for a, b in zip(total, more, strict=True))


def _largest_norm(by_network: Gradients) -> Tensor:
    """Return the largest L2 norm of a network's gradient."""
    norms = [
        torch.nn.utils.get_total_norm([grad for grad in grads if grad is not None])
        for grads in by_network.values()
    ]
    return torch.stack(norms).max()


def _group_by_loss(by_network: Mapping[str, Tensor]) -> Sequence[tuple[Tensor, list[str]]]:
    """Gather the networks that share the very same loss, so that it is differentiated once."""
    groups: list[tuple[Tensor, list[str]]] = []
    for name, loss in by_network.items():
        shared = next((names for other, names in groups if other is loss), None)
        if shared is None:
            groups.append((loss, [name]))
        else:
            shared.append(name)
    return groups
