"""Average the terms of the losses on the device, and write them to stats.jsonl."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import torch
from torch import Tensor

from avae.distributed.launcher import rank
from avae.errors import UserError
from avae.files import write_text
from avae.json_io import Count, Whole, convert, decode_json, read_lines

_Rate = Annotated[float, msgspec.Meta(gt=0, le=1)]
Event = TypedDict(
    "Event", {"step": Count, "event": Literal["rollback"], "from": Count, "why": str, "rate": _Rate}
)
"""A rollback: the steps it went to and from, why, and the factor of the learning rate since."""


class _Symptoms(TypedDict):
    """The fields of a line that are not terms."""

    step: Count
    symptoms: NotRequired[dict[str, Count]]
    collapsed: NotRequired[bool]


class RunningMeans:
    """Running means of terms; waits for the device only in `pop`, not at every step."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add the terms of one step."""
        for name, term in terms.items():
            self._sums[name] = self._sums[name].to(term.device) + term if name in self._sums else term
            self._counts[name] = self._counts.get(name, 0) + 1

    def pop(self) -> dict[str, float]:
        """Return the means since the last call."""
        names = list(self._sums)
        # After a restart sums lie on the host, until their term comes again.
        device = next((total.device for total in self._sums.values() if total.device.type != "cpu"), "cpu")
        sums = [self._sums[name].float().to(device) for name in names]
        values = torch.stack(sums).tolist() if names else []
        means = {name: value / self._counts[name] for name, value in zip(names, values, strict=True)}
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Tensor]:
        """Return the sums and counts since the last `pop`, as tensors by name."""
        counts = {f"{name}.count": torch.tensor(count) for name, count in self._counts.items()}
        return counts | {f"{name}.sum": total for name, total in self._sums.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the sums and counts that `state_dict` returned; raise ValueError for any others."""
        names = [name.removesuffix(".sum") for name in state if name.endswith(".sum")]
        sums = {name: state[f"{name}.sum"] for name in names}
        counts = {name: state[f"{name}.count"] for name in names}
        if any(tensor.shape or not tensor.is_floating_point() for tensor in sums.values()):
            raise ValueError("a sum is not a single number")
        if any(count.shape or count.dtype != torch.int64 or count < 1 for count in counts.values()):
            raise ValueError("a count is not a whole number above 0")
        self._sums, self._counts = sums, {name: int(count) for name, count in counts.items()}


def non_finite(means: dict[str, float]) -> str | None:
    """Return the name of the first mean that is not finite, or None."""
    return next((name for name, value in means.items() if not math.isfinite(value)), None)


class StatsLog:
    """The stats.jsonl of a run: lines of terms, and events, which have a key "event". Only rank 0 writes it.

    Args:
        path: the file.
        start: step the run starts from; lines of later steps, left by a kill or a rollback, are dropped.
        events: events to add if a kill prevented them from being written.

    Attributes:
        kept: lines in the file at the start.
    """

    def __init__(self, path: Path, start: int, events: Sequence[Event] = ()) -> None:
        self.path = path
        self.kept = [line for line in read_stats(path) if line["step"] <= start]
        self.kept += [dict(event) for event in events if event not in self.kept]
        if rank() == 0:
            write_text(path, "".join(f"{json.dumps(line)}\n" for line in self.kept))

    def write(self, line: dict[str, Any]) -> None:
        """Append one line; values that are not finite become null."""
        if rank() > 0:
            return
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
        with open(self.path, "a") as file:
            file.write(f"{json.dumps(finite)}\n")


def read_stats(path: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a stats.jsonl; skip a last line cut short by a kill.

    Raises:
        UserError: a line is damaged, naming it.
    """
    if not path.exists():
        return []
    parsed: list[dict[str, Any]] = []
    try:
        for line in read_lines(path):
            parsed.append(_parse(line))
    except ValueError:
        raise UserError(f"{path} is damaged in line {len(parsed) + 1}: delete that line") from None
    return parsed


def _parse(line: bytes) -> dict[str, Any]:
    """Return the fields of a line; raise ValueError if it is neither an event nor terms."""
    fields = decode_json(line, dict[str, Any])
    if "event" in fields:
        return dict(convert(fields, Event))
    known = dict(convert(fields, _Symptoms))
    terms = {name: value for name, value in fields.items() if name not in known}
    return convert(terms, dict[str, Whole | float | None]) | known
