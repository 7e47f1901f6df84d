"""Terms of the losses, gathered on the device, written to stats.jsonl and shown while training."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avae.distributed.processes import rank
from avae.errors import UserError
from avae.files import write_atomically


class RunningMeans:
    """Running means of terms, without waiting for the device at every step."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count in one step's terms."""
        for name, term in terms.items():
            self._sums[name] = self._sums[name].to(term.device) + term if name in self._sums else term
            self._counts[name] = self._counts.get(name, 0) + 1

    def pop(self) -> dict[str, float]:
        """Return the means since the last call."""
        names = list(self._sums)
        values = torch.stack([self._sums[name].float() for name in names]).tolist() if names else []
        means = {name: value / self._counts[name] for name, value in zip(names, values, strict=True)}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Tensor]:
        """Return what has been added since, as tensors by name."""
        counts = {f"{name}.count": torch.tensor(count) for name, count in self._counts.items()}
        return counts | {f"{name}.sum": total for name, total in self._sums.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Resume from what `state_dict` returned."""
        names = [name.removesuffix(".sum") for name in state if name.endswith(".sum")]
        self._sums = {name: state[f"{name}.sum"] for name in names}
        self._counts = {name: int(state[f"{name}.count"]) for name in names}


def non_finite(means: dict[str, float]) -> str | None:
    """Return the name of a mean that is not finite, if there is one."""
    return next((name for name, value in means.items() if not math.isfinite(value)), None)


class StatsLog:
    """A run's stats.jsonl: lines of terms, and of events, which have an "event". Rank 0 alone writes it.

    Args:
        path: the file.
        start: lines of later steps, left by a run that was killed or went back, are dropped.
        events: lines to add where a kill kept them from being written.

    Attributes:
        kept: the lines there are at the start.
    """

    def __init__(self, path: Path, start: int, events: Sequence[dict[str, Any]] = ()) -> None:
        self.path = path
        self.kept = [line for line in read_stats(path) if line["step"] <= start]
        self.kept += [event for event in events if event not in self.kept]
        if rank() == 0:
            write_atomically(path, "".join(f"{json.dumps(line)}\n" for line in self.kept).encode())

    def write(self, line: dict[str, Any]) -> None:
        """Append one line; numbers that are not finite become null."""
        if rank() > 0:
            return
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        with open(self.path, "a") as file:
            file.write(f"{json.dumps(finite)}\n")


def read_stats(path: Path) -> list[dict[str, Any]]:
    """Read the whole lines of a stats.jsonl; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    return [_read_line(line, path, number) for number, line in enumerate(whole, 1)]


def _read_line(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        read = json.loads(line)
    except ValueError:
        read = None
    if not isinstance(read, dict) or not isinstance(read.get("step"), int):
        raise UserError(f"{path} is damaged in line {number}: delete that line")
    return read
