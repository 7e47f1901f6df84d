"""Adam for every network, its state by the names of parameters, and the learning rate's course."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from avae.safetensors_io import strip_prefix


@dataclass(frozen=True)
class AdamSettings:
    """How Adam learns.

    Attributes:
        learning_rate: at the first step.
        betas: of Adam; 0.5 and 0.999 are DCGAN's.
        multipliers: factor of the learning rate for parameters by the last part of their name.
        lazy: for networks with a further phase, by name: the steps between two of it.
    """

    learning_rate: float
    betas: tuple[float, float] = (0.5, 0.999)
    multipliers: Mapping[str, float] = field(default_factory=dict)
    lazy: Mapping[str, int] = field(default_factory=dict)


def make_optimizers(
    networks: Mapping[str, nn.Module], rates: AdamSettings
) -> dict[str, torch.optim.Optimizer]:
    """Return one Adam per network (epsilon 1e-7 as TensorFlow's default).

    Where a phase every k steps adds a step of its own, Adam takes k + 1 steps for k. With c = k / (k + 1),
    its learning rate is multiplied by c and its betas raised to c, so that it forgets and goes as far per
    step of the run as without (StyleGAN2, appendix B).
    """
    return {name: _adam(network, rates, rates.lazy.get(name)) for name, network in networks.items()}


def set_learning_rate(optimizers: Mapping[str, torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` times its initial value."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


def _adam(network: nn.Module, rates: AdamSettings, every: int | None) -> torch.optim.Optimizer:
    share = every / (every + 1) if every else 1.0
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        rate = share * rates.learning_rate * rates.multipliers.get(name.rpartition(".")[2], 1.0)
        groups.setdefault(rate, []).append(parameter)
    return torch.optim.Adam(
        [{"params": parameters, "lr": rate} for rate, parameters in groups.items()],
        betas=(rates.betas[0] ** share, rates.betas[1] ** share),
        eps=1e-7,
        fused=True,
    )


class OptimizerState:
    """The state of a network's optimizer as tensors, by the names of parameters: as checkpoints save it.

    Args:
        network: whose parameters the optimizer steps.
        optimizer: has tensors for each parameter that it has stepped, such as moments.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.network, self.optimizer = network, optimizer

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors, named PARAMETER.PART."""
        return {
            f"{name}.{part}": tensor
            for name, parameter in self.network.named_parameters()
            for part, tensor in self.optimizer.state[parameter].items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors; raise ValueError for a shape that is not its parameter's."""
        for name, parameter in self.network.named_parameters():
            self.optimizer.state[parameter] = {
                part: tensor.to(parameter.device) if part == "step" else _like(parameter, tensor)
                for part, tensor in strip_prefix(state, f"{name}.").items()
            }


def _like(parameter: Tensor, saved: Tensor) -> Tensor:
    """Give a moment its parameter's device and memory layout."""
    if saved.shape != parameter.shape:
        raise ValueError(f"a moment of shape {tuple(saved.shape)} for {tuple(parameter.shape)}")
    return torch.empty_like(parameter, requires_grad=False).copy_(saved)


def make_ema(
    networks: Mapping[str, nn.Module], names: Iterable[str], half_life: int, batch_size: int
) -> dict[str, AveragedModel]:
    """Return an average of the weights of each named network; none where half_life is 0.

    Args:
        half_life: images after which a weight counts half.
        batch_size: images between two updates.
    """
    if half_life == 0:
        return {}
    average = get_ema_multi_avg_fn(0.5 ** (batch_size / half_life))  # type: ignore[no-untyped-call]
    return {name: AveragedModel(networks[name], multi_avg_fn=average) for name in names}
