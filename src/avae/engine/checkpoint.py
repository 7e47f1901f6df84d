"""Save and restore everything needed to resume bit for bit: named objects as tensors."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from avae.engine.collapse import CollapseError
from avae.engine.metrics_log import Event
from avae.errors import UserError
from avae.files import remove_partials
from avae.json_io import Count, from_words
from avae.safetensors_io import first_difference, load_tensors, save_tensors, strip_prefix

KEEP_LAST = 2
"""Number of newest checkpoints to keep, besides the newest healthy one: the second is a spare."""

MAX_ROLLBACKS = 3

RATE_AFTER_ROLLBACK = 0.5
"""Factor by which a rollback multiplies every learning rate."""


_NAME = re.compile(r"step-([0-9]{8,15})\.safetensors")


@dataclass(frozen=True)
class _Words:
    """The metadata of a checkpoint.

    Attributes:
        step: number of steps done.
        tensors: number of tensors.
        healthy: step of the newest checkpoint without symptoms of collapse.
        rollbacks: the rollbacks so far.
    """

    step: Count
    tensors: Count
    healthy: Count | None
    rollbacks: list[Event]


class Stateful(Protocol):
    """An object whose state is tensors by name, like that of a module."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, Tensor], /) -> object:
        """Restore the state.

        Raises:
            KeyError, ValueError, RuntimeError: the state does not fit this object.
        """


class CheckpointManager:
    """The `state/` folder of a run.

    Args:
        folder: holds the files `step-XXXXXXXX.safetensors`.
        objects: objects to save and restore, by name. No name plus a dot may be a prefix of another name.

    Attributes:
        healthy: step of the newest checkpoint without collapse symptoms, the target of a rollback; or None.
        rollbacks: the rollbacks so far, as events of the log.
    """

    def __init__(self, folder: Path, objects: Mapping[str, Stateful]) -> None:
        self.folder = folder
        self.objects = objects
        self.healthy: int | None = None
        self.rollbacks: list[Event] = []

    @property
    def learning_rate_scale(self) -> float:
        """Factor of every learning rate after the rollbacks so far."""
        return float(self.rollbacks[-1]["rate"]) if self.rollbacks else 1.0

    @property
    def can_roll_back(self) -> bool:
        """True if there is a healthy checkpoint and fewer than `MAX_ROLLBACKS` rollbacks were made."""
        return self.healthy is not None and len(self.rollbacks) < MAX_ROLLBACKS

    def save(self, step: int, healthy: bool) -> None:
        """Write the state after `step` steps, then delete old checkpoints.

        The newest `KEEP_LAST` and the newest healthy one are kept. Checkpoints of later steps, left behind by
        a rollback, are deleted.
        """
        self.mark_healthy(step, healthy)
        remove_partials(self.folder)
        tensors = self._tensors()
        metadata = {
            "step": str(step),
            "tensors": str(len(tensors)),
            "healthy": json.dumps(self.healthy),
            "rollbacks": json.dumps(self.rollbacks),
        }
        save_tensors(self._path(step), tensors, metadata)
        files = _files(self.folder)
        kept = [path for path in files if step_of(path) <= step][-KEEP_LAST:]
        for path in files:
            if path not in kept and step_of(path) != self.healthy:
                path.unlink(missing_ok=True)

    def mark_healthy(self, step: int, healthy: bool) -> None:
        """Record whether the checkpoint saved at `step`, by this process or by rank 0, is healthy."""
        if healthy:
            self.healthy = step

    def non_finite(self, model: Mapping[str, Tensor]) -> str | None:
        """Return the name of the first tensor with a value that is not finite; None if all are finite.

        Args:
            model: tensors of the model to be saved; its statistics may overflow before those of training.
        """
        tensors = self._tensors() | {f"model.{key}": tensor for key, tensor in model.items()}
        return next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)

    def restore(self) -> int:
        """Load the newest checkpoint and return its step; return 0 and change nothing if there is none."""
        path = latest_checkpoint(self.folder)
        return self._load(path) if path else 0

    def roll_back(self, collapse: CollapseError) -> int:
        """Load the newest healthy checkpoint and return its step; reduce every learning rate from there on.

        The rollback is on disk only after the next `save`.
        """
        assert self.healthy is not None
        # Do not use the rollbacks in the file: they contain this one already if the process was killed after
        # saving it and before deleting the later checkpoint that the run was then resumed from.
        rollbacks, rate = self.rollbacks, self.learning_rate_scale * RATE_AFTER_ROLLBACK
        step = self._load(self._path(self.healthy))
        event: Event = {
            "step": step,
            "event": "rollback",
            "from": collapse.step,
            "why": collapse.why,
            "rate": rate,
        }
        self.rollbacks = [*rollbacks, event]
        return step

    def recovery_hint(self, finite: bool = False) -> str:
        """Return the part of an error message about rolling back; another remedy must follow it.

        Args:
            finite: True to count any checkpoint as good, since all saved values are finite.
        """
        if self.healthy is None:
            last = latest_checkpoint(self.folder) if finite else None
            return f"the last good checkpoint is {last}; " if last else "there is no good checkpoint; "
        good = f"the last good checkpoint is {self._path(self.healthy)}"
        if not self.can_roll_back:
            return f"{good}, but {MAX_ROLLBACKS} rollbacks did not help; "
        return f"{good}; go back to it with --resume --on-collapse rollback, or "

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.safetensors"

    def _load(self, path: Path) -> int:
        try:
            tensors, metadata = load_tensors(path)
            words = from_words(metadata, _Words)
            if words.step != step_of(path):
                raise ValueError("its name is that of another step")
            if words.tensors != len(tensors):
                # Adam would silently start anew for parameters whose moments are missing.
                raise ValueError("tensors are missing")
            for name, each in self.objects.items():
                each.load_state_dict(strip_prefix(tensors, f"{name}."))
            # A module copies tensors of another type, and ignores those of other objects.
            if first_difference(self._tensors(), tensors):
                raise ValueError("it has other tensors")
            # A later healthy checkpoint may have replaced it, and been deleted since because it was damaged.
            known = words.healthy is not None and self._path(words.healthy).exists()
            self.healthy = words.healthy if known else None
            self.rollbacks = words.rollbacks
            return words.step
        except UserError as error:
            raise UserError(f"checkpoint {error}; {_deletion_hint(self.folder, path)}") from None
        except (KeyError, ValueError, RuntimeError):
            raise UserError(
                f"checkpoint {path} is not of these networks; {_deletion_hint(self.folder, path)}"
            ) from None

    def _tensors(self) -> dict[str, Tensor]:
        return {
            f"{name}.{key}": tensor
            for name, each in self.objects.items()
            for key, tensor in each.state_dict().items()
        }


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in a `state/` folder, or None."""
    files = _files(folder)
    return files[-1] if files else None


def step_of(path: Path) -> int:
    """Return the step in the name of a checkpoint file."""
    return int(path.stem.removeprefix("step-"))


def _files(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder by step; leave out others' files, such as copies by a sync tool."""
    found = (path for path in folder.glob("step-*.safetensors") if _NAME.fullmatch(path.name))
    return sorted(found, key=step_of)


class NonFiniteError(CollapseError):
    """A loss, weight or statistic is not finite."""


def _deletion_hint(folder: Path, damaged: Path) -> str:
    older = [file for file in _files(folder) if file != damaged]
    action = f"resume from step {step_of(older[-1])}" if older else "start from step 0"
    return f"delete it to {action}"
