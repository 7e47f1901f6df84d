"""What a run needs to go on, bit for bit, as tensors by name."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from avae.errors import UserError
from avae.files import remove_partials
from avae.tensorfile import load_tensors, save_tensors, under

KEPT = 2
"""Checkpoints kept: the newest, and one to fall back on."""


class Checkpoints:
    """The `state/` folder of a run.

    Args:
        folder: holds `step-XXXXXXXX.safetensors`.
        networks, optimizers, averages: what is saved and restored, by network name.
    """

    def __init__(
        self,
        folder: Path,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        averages: Mapping[str, AveragedModel],
    ) -> None:
        self.folder = folder
        self.networks = networks
        self.optimizers = optimizers
        self.averages = averages

    def save(self, step: int) -> None:
        """Write the state after `step` steps, then forget all but the newest `KEPT`."""
        remove_partials(self.folder)
        path = self.folder / f"step-{step:08d}.safetensors"
        tensors = self._tensors()
        save_tensors(path, tensors, {"step": str(step), "moments": str(_count_moments(tensors))})
        for old in _files(self.folder)[:-KEPT]:
            old.unlink(missing_ok=True)

    def refuse_non_finite(self, step: int, model: Mapping[str, Tensor]) -> None:
        """Raise NonFiniteError if any weight, statistic or moment has left the finite numbers.

        Args:
            model: what is about to be saved for use; its statistics may overflow before training's do.
        """
        for name, tensor in (self._tensors() | {f"model.{key}": t for key, t in model.items()}).items():
            if not torch.isfinite(tensor).all():
                raise NonFiniteError(f"{name} is not finite at step {step}", newest(self.folder))

    def restore(self) -> int:
        """Load the newest state and return its step; 0, untouched, where there is none."""
        path = newest(self.folder)
        if path is None:
            return 0
        try:
            tensors, words = load_tensors(path)
            return self._restore(tensors, words)
        except UserError as error:
            raise UserError(f"checkpoint {error}; {_remedy(self.folder, path)}") from None
        except (KeyError, ValueError, RuntimeError):
            raise UserError(
                f"checkpoint {path} is not of these networks; {_remedy(self.folder, path)}"
            ) from None

    def _restore(self, tensors: dict[str, Tensor], words: dict[str, str]) -> int:
        for name, module in self._modules().items():
            module.load_state_dict(under(tensors, f"{name}."))
        for name, optimizer in self.optimizers.items():
            for key, parameter in self.networks[name].named_parameters():
                saved = under(tensors, f"optimizer.{name}.{key}.")
                optimizer.state[parameter] = {
                    part: t if part == "step" else _like(parameter, t) for part, t in saved.items()
                }
        # Adam would start anew, and say nothing, where moments are missing; a network that was never
        # stepped has none.
        if words["moments"] != str(_count_moments(self._tensors())):
            raise ValueError("moments are missing")
        return int(words["step"])

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {
            f"{name}.{key}": tensor
            for name, module in self._modules().items()
            for key, tensor in module.state_dict().items()
        }
        for name, optimizer in self.optimizers.items():
            for key, parameter in self.networks[name].named_parameters():
                for part, tensor in optimizer.state[parameter].items():
                    tensors[f"optimizer.{name}.{key}.{part}"] = tensor
        return tensors

    def _modules(self) -> dict[str, nn.Module]:
        networks = {f"network.{name}": network for name, network in self.networks.items()}
        return networks | {f"average.{name}": average for name, average in self.averages.items()}


def newest(folder: Path) -> Path | None:
    """Return the newest checkpoint of a `state/` folder, if there is one."""
    files = _files(folder)
    return files[-1] if files else None


def step_of(path: Path) -> int:
    """Return the step a checkpoint's name tells."""
    return int(path.stem.removeprefix("step-"))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))


def _like(parameter: Tensor, saved: Tensor) -> Tensor:
    """Give a moment its parameter's device and memory layout."""
    if saved.shape != parameter.shape:
        raise ValueError(f"a moment of shape {tuple(saved.shape)} for {tuple(parameter.shape)}")
    return torch.empty_like(parameter, requires_grad=False).copy_(saved)


def _count_moments(tensors: Mapping[str, Tensor]) -> int:
    return sum(name.startswith("optimizer.") for name in tensors)


class NonFiniteError(UserError):
    """Training left the finite numbers; the message names the last good checkpoint."""

    def __init__(self, what: str, last: Path | None) -> None:
        good = f"the last good checkpoint is {last}" if last else "there is no checkpoint yet"
        super().__init__(f"{what}; {good}; start again with a smaller --learning-rate, or in fp32")


def _remedy(folder: Path, damaged: Path) -> str:
    older = [file for file in _files(folder) if file != damaged]
    what = f"resume from step {step_of(older[-1])}" if older else "start from step 0"
    return f"delete it to {what}"
