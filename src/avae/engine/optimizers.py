"""Adam for every network, and the learning rate's course."""

from collections.abc import Mapping

import torch
from torch import nn


def adams(
    networks: Mapping[str, nn.Module], learning_rate: float, multipliers: Mapping[str, float]
) -> dict[str, torch.optim.Optimizer]:
    """Return one Adam per network (beta1 0.5 after DCGAN, epsilon 1e-7 as TensorFlow's default).

    Args:
        learning_rate: at the first step.
        multipliers: factor of the learning rate for parameters by the last part of their name.
    """
    return {name: _adam(network, learning_rate, multipliers) for name, network in networks.items()}


def set_learning_rate(optimizers: Mapping[str, torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` times its first value."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = factor * group["first_lr"]


def _adam(
    network: nn.Module, learning_rate: float, multipliers: Mapping[str, float]
) -> torch.optim.Optimizer:
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rate = learning_rate * multipliers.get(name.rpartition(".")[2], 1.0)
        groups.setdefault(rate, []).append(parameter)
    return torch.optim.Adam(
        [{"params": parameters, "lr": rate, "first_lr": rate} for rate, parameters in groups.items()],
        betas=(0.5, 0.999),
        eps=1e-7,
        fused=True,
    )
