"""Networks that training leaves as they are."""

from typing import Self

from torch import Tensor, nn


class Frozen(nn.Module):
    """A network that stays as it is: in evaluation mode, so that no buffer moves, and without gradients.

    Gradients with respect to its input pass.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, *inputs: Tensor) -> object:
        """Return what the network returns."""
        return self.module(*inputs)

    @property
    def log_sigma(self) -> Tensor:
        """The log of the posterior scale (d,) of a frozen Gaussian encoder."""
        log_sigma: Tensor = self.module.log_sigma  # type: ignore[assignment]
        return log_sigma


def frozen_tensors(network: nn.Module) -> set[str]:
    """Return the names of the tensors of a network that belong to frozen ones in it."""
    return tensors_within(network, (Frozen,))


def tensors_within(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> set[str]:
    """Return the names of the tensors of a network that belong to modules of some kinds in it."""
    found = (name for name, module in network.named_modules() if isinstance(module, kinds))
    prefixes = tuple(f"{name}." if name else "" for name in found)
    return {name for name in network.state_dict() if name.startswith(prefixes)}


def learns(network: nn.Module) -> bool:
    """Return True if training changes a network: it has parameters outside frozen ones."""
    frozen = frozen_tensors(network)
    return any(name not in frozen for name, _ in network.named_parameters())


class LearningState:
    """The tensors of a network without those of frozen ones in it, for checkpoints.

    Args:
        network: the network.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self._frozen = frozen_tensors(network)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {name: t for name, t in self.network.state_dict().items() if name not in self._frozen}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the tensors; raise KeyError or RuntimeError if they are others."""
        if state.keys() != self.state_dict().keys():
            raise KeyError("the tensors are those of another network")
        self.network.load_state_dict(state, strict=False)
