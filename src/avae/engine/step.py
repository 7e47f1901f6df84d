"""One step (Fig. 4): every gradient of a phase from one shared forward pass, then every optimizer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Noise = dict[str, Tensor]
Gradients = dict[str, tuple[Tensor | None, ...]]
Losses = Callable[[Tensor, Noise], tuple[dict[str, Tensor], dict[str, Tensor]]]


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


def gradients(
    phase: Phase, networks: Mapping[str, nn.Module], x: Tensor, noise: Noise
) -> tuple[Gradients, dict[str, Tensor]]:
    """Differentiate each network's loss for that network only.

    Eager autograd skips the weight gradients of networks it is not asked about, so neither `detach` nor
    `requires_grad` switches are needed, and each gradient equals that of a separate, detached pass.

    Returns:
        Gradients by network, in the order of its parameters, and the detached terms.
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
    return result, {name: term.detach() for name, term in terms.items()}


def apply(
    by_network: Gradients, networks: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]
) -> None:
    """Step the optimizer of every network that has gradients; a parameter without one is left alone."""
    for name, grads in by_network.items():
        for parameter, grad in zip(networks[name].parameters(), grads, strict=True):
            parameter.grad = grad
        optimizers[name].step()
        optimizers[name].zero_grad(set_to_none=True)


def training_step(
    step: int,
    phases: Iterable[Phase],
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    x: Tensor,
    noise: Noise,
) -> dict[str, Tensor]:
    """Run the phases due at `step` and return their terms for the log."""
    logged: dict[str, Tensor] = {}
    for phase in phases:
        if step % phase.every == 0:
            by_network, terms = gradients(phase, networks, x, noise)
            apply(by_network, networks, optimizers)
            logged |= terms
    return logged


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
