"""Adam for every network, its state by parameter name, the learning rate, and averages of weights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from avae.safetensors_io import strip_prefix


@dataclass(frozen=True)
class AdamSettings:
    """Hyper-parameters of Adam.

    Attributes:
        learning_rate: learning rate at the first step.
        betas: decay rates of the moments; 0.5 and 0.999 are DCGAN's.
        multipliers: factor of the learning rate for parameters, by the last part of their name.
        extra_steps: steps that a network takes for lazy regularizers, for each training step, by network.
    """

    learning_rate: float
    betas: tuple[float, float] = (0.5, 0.999)
    multipliers: Mapping[str, float] = field(default_factory=dict)
    extra_steps: Mapping[str, float] = field(default_factory=dict)


def make_optimizers(
    networks: Mapping[str, nn.Module], settings: AdamSettings
) -> dict[str, torch.optim.Optimizer]:
    """Return one Adam per network that learns (epsilon 1e-7, the default of TensorFlow).

    With a lazy regularizer every k steps, Adam takes 1 / k extra steps per training step. Its learning rate
    is multiplied by c = 1 / (1 + 1 / k) and its betas are raised to the power c, so that its effective step
    size and memory per training step are unchanged (StyleGAN2, appendix B).

    On a CUDA GPU a step of the optimizers can be recorded in a CUDA graph: learning rates are tensors.
    """
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for network_name, network in networks.items():
        c = 1 / (1 + settings.extra_steps.get(network_name, 0.0))
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            if not parameter.requires_grad:  # of a frozen part
                continue
            rate = c * settings.learning_rate * settings.multipliers.get(name.rpartition(".")[2], 1.0)
            groups.setdefault(rate, []).append(parameter)
        if not groups:
            continue
        device = next(network.parameters()).device
        on_cuda = device.type == "cuda"
        optimizers[network_name] = torch.optim.Adam(
            [
                {
                    "params": parameters,
                    "initial_lr": rate,
                    "lr": torch.full((), rate, device=device) if on_cuda else rate,
                }
                for rate, parameters in groups.items()
            ],
            betas=(settings.betas[0] ** c, settings.betas[1] ** c),
            eps=1e-7,
            fused=True,
            capturable=on_cuda,
        )
    return optimizers


def set_learning_rate(optimizers: Mapping[str, torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` times its initial value."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            rate = factor * group["initial_lr"]
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


ADAM_PARTS = {"step", "exp_avg", "exp_avg_sq"}
"""Names of the tensors that Adam keeps for each parameter."""


class OptimizerState:
    """State of a network's optimizer, such as moments, as tensors by parameter name, for checkpoints.

    Args:
        network: has the parameters.
        optimizer: optimizes them.
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
        """Restore the tensors; raise ValueError if they are not Adam's for these parameters."""
        for name, parameter in self.network.named_parameters():
            restored = strip_prefix(state, f"{name}.")
            if restored and restored.keys() != ADAM_PARTS:
                raise ValueError(f"the state of a parameter is {', '.join(restored)}")
            for part, tensor in restored.items():
                if part == "step":
                    if tensor.shape or tensor.dtype != torch.float32 or tensor < 1:
                        raise ValueError("a step of Adam is not a number above 0")
                    restored[part] = tensor.to(parameter.device)
                elif tensor.shape != parameter.shape:
                    raise ValueError(f"a moment of shape {tuple(tensor.shape)} for {tuple(parameter.shape)}")
                else:  # with the device and memory layout of the parameter
                    restored[part] = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            self.optimizer.state[parameter] = restored


def make_ema(
    networks: Mapping[str, nn.Module], names: Iterable[str], half_life: int, batch_size: int
) -> dict[str, AveragedModel]:
    """Return a moving average of the weights of each named network; an empty dictionary if `half_life` is 0.

    Args:
        networks: all networks, by name.
        names: names of the networks to average.
        half_life: number of images after which a weight counts half.
        batch_size: number of images between two updates.
    """
    if half_life == 0:
        return {}
    decay = 0.5 ** (batch_size / half_life)
    return {name: ExponentialAverage(networks[name], decay) for name in names}


class ExponentialAverage(AveragedModel):
    """Moving average w -> decay w + (1 - decay) w' of parameters; buffers are copied.

    Its counter stays on the host: PyTorch's own update copies it to the GPU, and waits for that.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network)
        self._decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Update the average by the current weights; the first ones are copied."""
        ours, theirs = tuple(self.module.parameters()), tuple(model.parameters())
        if self.n_averaged == 0:
            torch._foreach_copy_(ours, theirs)
        else:
            torch._foreach_lerp_(ours, theirs, 1 - self._decay)
        for buffer, current in zip(self.module.buffers(), model.buffers(), strict=True):
            buffer.copy_(current)
        self.n_averaged += 1
