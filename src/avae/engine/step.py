"""One step (Fig. 4): every gradient of a phase from one shared forward pass, then every optimizer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from avae import distributed

Noise = dict[str, Tensor]
Gradients = dict[str, tuple[Tensor | None, ...]]
Terms = dict[str, Tensor]
Losses = Callable[[Tensor, Noise], tuple[dict[str, Tensor], Terms]]
Batches = Sequence[tuple[Tensor, Noise]]
Result = tuple[Gradients, Terms]


@dataclass(frozen=True)
class Phase:
    """A losses function and how often it is due.

    Attributes:
        name: "main" always; regularizers are further phases.
        losses: (x, noise) -> (a scalar loss per network, scalar terms for the log).
        every: due at steps divisible by this.
    """

    name: str
    losses: Losses
    every: int = 1


Differentiate = Callable[[Phase, Mapping[str, nn.Module], Tensor, Noise], Result]
"""What `gradients` does, or `compile.Compiled` in its place."""


def gradients(phase: Phase, networks: Mapping[str, nn.Module], x: Tensor, noise: Noise) -> Result:
    """Differentiate each network's loss for that network only.

    Eager autograd skips the weight gradients of networks it is not asked about, so neither `detach` nor
    `requires_grad` switches are needed, and each gradient equals that of a separate, detached pass.

    Returns:
        Gradients by network, in the order of its parameters, and copies of the terms.
    """
    by_network, terms = phase.losses(x, noise)
    result: Gradients = {}
    groups = _grouped(by_network)
    for i, (loss, names) in enumerate(groups):
        parameters = [p for name in names for p in networks[name].parameters()]
        flat = iter(
            torch.autograd.grad(
                loss, parameters, retain_graph=i < len(groups) - 1, allow_unused=phase.name != "main"
            )
        )
        for name in names:
            result[name] = tuple(next(flat) for _ in networks[name].parameters())
    return result, {name: term.detach().clone() for name, term in terms.items()}


def mean_gradients(
    phase: Phase,
    networks: Mapping[str, nn.Module],
    batches: Batches,
    differentiate: Differentiate = gradients,
) -> Result:
    """Return gradients and terms as of all micro-batches of all processes joined, which are of one size."""
    total, logged = differentiate(phase, networks, *batches[0])
    for x, noise in batches[1:]:
        more, terms = differentiate(phase, networks, x, noise)
        total = {name: _sums(grads, more[name]) for name, grads in total.items()}
        logged = dict(zip(logged, _sums(logged.values(), terms.values()), strict=True))
    tensors = [grad for grads in total.values() for grad in grads if grad is not None]
    if len(batches) > 1:
        torch._foreach_div_([*tensors, *logged.values()], len(batches))
    for grads in total.values():
        distributed.average([grad for grad in grads if grad is not None])
    distributed.average(list(logged.values()))
    return total, logged | {"gradient_norm": _largest_norm(total)}


def apply(
    by_network: Gradients, networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Step the optimizer of every network that has gradients; a parameter without one is left alone."""
    for name, grads in by_network.items():
        for parameter, grad in zip(networks[name].parameters(), grads, strict=True):
            parameter.grad = None if grad is None else _laid_out(grad, parameter)
        optimizers[name].step()
        optimizers[name].zero_grad(set_to_none=True)


def training_step(
    step: int,
    phases: Iterable[Phase],
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    batches: Batches,
    differentiate: Differentiate = gradients,
) -> Terms:
    """Run the phases due at `step` on this process's micro-batches and return their terms for the log."""
    logged: Terms = {}
    for phase in phases:
        if step % phase.every == 0:
            by_network, terms = mean_gradients(phase, networks, batches, differentiate)
            apply(by_network, networks, optimizers)
            logged |= terms
    return logged


def _laid_out(grad: Tensor, parameter: nn.Parameter) -> Tensor:
    """Return a gradient with its parameter's strides, which fused Adam takes for granted."""
    same = grad.stride() == parameter.stride()
    return grad if same else torch.empty_like(parameter).copy_(grad)


T = TypeVar("T", Tensor, Tensor | None)


def _sums(total: Iterable[T], more: Iterable[T]) -> tuple[T, ...]:
    """Add tensor by tensor, what is None in one being None in the other.

    Not in place: two parameters, or terms, may have the very same tensor.
    """
    return tuple(a if a is None or b is None else a + b for a, b in zip(total, more, strict=True))


def _largest_norm(by_network: Gradients) -> Tensor:
    """Return the largest L2 norm of a network's gradient."""
    norms = [
        torch.nn.utils.get_total_norm([grad for grad in grads if grad is not None])
        for grads in by_network.values()
    ]
    return torch.stack(norms).max()


def _grouped(by_network: Mapping[str, Tensor]) -> Sequence[tuple[Tensor, list[str]]]:
    """Gather the networks that share the very same loss, so that it is differentiated once."""
    groups: list[tuple[Tensor, list[str]]] = []
    for name, loss in by_network.items():
        shared = next((names for other, names in groups if other is loss), None)
        if shared is None:
            groups.append((loss, [name]))
        else:
            shared.append(name)
    return groups
