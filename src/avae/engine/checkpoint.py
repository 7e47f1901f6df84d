"""Save and restore everything needed to resume bit for bit: named objects, as tensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from avae.engine.collapse import CollapseError
from avae.errors import UserError
from avae.files import remove_partials
from avae.safetensors_io import load_tensors, save_tensors, strip_prefix

KEEP_LAST = 2
"""Checkpoints kept beside that of the newest healthy state: the newest, and one to fall back on."""

MAX_ROLLBACKS = 3

RATE_AFTER_ROLLBACK = 0.5
"""What a rollback multiplies every learning rate with."""


class Stateful(Protocol):
    """An object whose state is tensors by name, as a module's is."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, Tensor], /) -> object:
        """Restore it; raise KeyError, ValueError or RuntimeError where it does not fit."""


class CheckpointManager:
    """The `state/` folder of a run.

    Args:
        folder: holds `step-XXXXXXXX.safetensors`.
        objects: what is saved and restored, by name. No name is another's beginning, up to a dot.

    Attributes:
        healthy: step of the newest checkpoint at which nothing was amiss, the one to go back to; or None.
        rollbacks: to this state, or to one before it, as the log tells them.
    """

    def __init__(self, folder: Path, objects: Mapping[str, Stateful]) -> None:
        self.folder = folder
        self.objects = objects
        self.healthy: int | None = None
        self.rollbacks: list[dict[str, Any]] = []

    @property
    def learning_rate_scale(self) -> float:
        """Factor of every learning rate, after the rollbacks so far."""
        return float(self.rollbacks[-1]["rate"]) if self.rollbacks else 1.0

    @property
    def can_roll_back(self) -> bool:
        """Whether there is a healthy state to go back to, and a rollback left."""
        return self.healthy is not None and len(self.rollbacks) < MAX_ROLLBACKS

    def save(self, step: int, healthy: bool) -> None:
        """Write the state after `step` steps, then forget those no longer needed.

        These are all but the newest `KEPT` and the newest healthy one, and all later ones, which a rollback
        leaves behind.
        """
        self.mark_healthy(step, healthy)
        remove_partials(self.folder)
        tensors = self._tensors()
        words = {
            "step": str(step),
            "tensors": str(len(tensors)),
            "healthy": json.dumps(self.healthy),
            "rollbacks": json.dumps(self.rollbacks),
        }
        save_tensors(self._path(step), tensors, words)
        files = _files(self.folder)
        kept = [path for path in files if step_of(path) <= step][-KEEP_LAST:]
        for path in files:
            if path not in kept and step_of(path) != self.healthy:
                path.unlink(missing_ok=True)

    def mark_healthy(self, step: int, healthy: bool) -> None:
        """Take note of what is saved, by this process or by rank 0."""
        if healthy:
            self.healthy = step

    def non_finite(self, model: Mapping[str, Tensor]) -> str | None:
        """Return the name of a weight, statistic or moment that has left the finite numbers, if there is one.

        Args:
            model: what is about to be saved for use; its statistics may overflow before training's do.
        """
        tensors = self._tensors() | {f"model.{key}": tensor for key, tensor in model.items()}
        return next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)

    def restore(self) -> int:
        """Load the newest state and return its step; 0, untouched, where there is none."""
        path = latest_checkpoint(self.folder)
        return self._load(path) if path else 0

    def roll_back(self, collapse: CollapseError) -> int:
        """Load the newest healthy state and return its step; from there on every learning rate is smaller.

        Nothing of this is on disk before the next `save`.
        """
        assert self.healthy is not None
        # Not the file's own rollbacks: they may hold this very one already, if a kill came right after it
        # was saved, before the later checkpoint was deleted that we then went on from.
        rollbacks, rate = self.rollbacks, self.learning_rate_scale * RATE_AFTER_ROLLBACK
        step = self._load(self._path(self.healthy))
        event = {"event": "rollback", "from": collapse.step, "why": collapse.why, "rate": rate}
        self.rollbacks = [*rollbacks, {"step": step, **event}]
        return step

    def recovery_hint(self, finite: bool = False) -> str:
        """Return what an error says of going back, for another remedy to follow.

        Args:
            finite: whether any checkpoint will do for a good one, as all that are saved are finite.
        """
        if self.healthy is None:
            last = latest_checkpoint(self.folder) if finite else None
            return f"the last good checkpoint is {last}; " if last else "there is no good checkpoint; "
        good = f"the last good checkpoint is {self._path(self.healthy)}"
        if not self.can_roll_back:
            return f"{good}, but {MAX_ROLLBACKS} rollbacks were of no avail; "
        return f"{good}; go back to it with --resume --on-collapse rollback, or "

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.safetensors"

    def _load(self, path: Path) -> int:
        try:
            tensors, words = load_tensors(path)
            return self._restore(tensors, words)
        except UserError as error:
            raise UserError(f"checkpoint {error}; {_deletion_hint(self.folder, path)}") from None
        except (KeyError, ValueError, RuntimeError):
            raise UserError(
                f"checkpoint {path} is not of these networks; {_deletion_hint(self.folder, path)}"
            ) from None

    def _restore(self, tensors: dict[str, Tensor], words: dict[str, str]) -> int:
        if words["tensors"] != str(len(tensors)):
            # Adam would start anew, and say nothing, where moments are missing.
            raise ValueError("tensors are missing")
        for name, each in self.objects.items():
            each.load_state_dict(strip_prefix(tensors, f"{name}."))
        if self._tensors().keys() != tensors.keys():
            raise ValueError("it has tensors of other objects")
        healthy = json.loads(words["healthy"])
        # A later good state may have taken its place, and been deleted since for being damaged.
        self.healthy = healthy if healthy is not None and self._path(healthy).exists() else None
        self.rollbacks = json.loads(words["rollbacks"])
        return int(words["step"])

    def _tensors(self) -> dict[str, Tensor]:
        return {
            f"{name}.{key}": tensor
            for name, each in self.objects.items()
            for key, tensor in each.state_dict().items()
        }


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint of a `state/` folder, if there is one."""
    files = _files(folder)
    return files[-1] if files else None


def step_of(path: Path) -> int:
    """Return the step a checkpoint's name tells."""
    return int(path.stem.removeprefix("step-"))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))


class NonFiniteError(CollapseError):
    """Training left the finite numbers."""


def _deletion_hint(folder: Path, damaged: Path) -> str:
    older = [file for file in _files(folder) if file != damaged]
    what = f"resume from step {step_of(older[-1])}" if older else "start from step 0"
    return f"delete it to {what}"
