"""Terms of the losses, gathered on the device, written to stats.jsonl and shown while training."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from torch import Tensor

from avae.distributed import rank
from avae.errors import UserError
from avae.files import write_atomically

PLAIN_SECONDS = 10.0
"""Between two lines where the output is no terminal."""


class Means:
    """Running means of terms, without waiting for the device at every step."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Count in one step's terms."""
        for name, term in terms.items():
            self._sums[name] = self._sums[name].to(term.device) + term if name in self._sums else term
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
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


class Stats:
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


class Display:
    """A progress bar on a terminal; elsewhere a plain line now and then. Rank 0 alone shows it.

    Args:
        title: what is being trained.
        steps: of the run.
        batch_size: for images a second.
    """

    def __init__(self, title: str, steps: int, batch_size: int) -> None:
        self._console = Console(stderr=True, quiet=rank() > 0)
        self._title, self._steps, self._batch_size = title, steps, batch_size
        self._start, self._began = 0, time.monotonic()
        self._said = self._began
        self._bar = _AnnotatedProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal or rank() > 0,
        )
        self._task = self._bar.add_task(title, total=steps)

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, step: int) -> None:
        """Show that training goes on from `step`."""
        self._start, self._began = step, time.monotonic()
        self._bar.reset(self._task, completed=step)

    def advance(self, step: int) -> None:
        """Show that `step` steps are done."""
        self._bar.update(self._task, completed=step)

    def images_per_second(self, step: int) -> float:
        """Return the mean speed since the step that `begin` was told, 0 at that step."""
        return (step - self._start) * self._batch_size / max(time.monotonic() - self._began, 1e-9)

    def terms(self, step: int, means: dict[str, float], warning: str = "") -> None:
        """Show the newest means, and what is amiss, if anything is."""
        speed = self.images_per_second(step)
        text = "  ".join([f"{speed:.0f}/s", *(f"{name} {value:.3g}" for name, value in means.items())])
        self._bar.note = Text.assemble((f"{warning}\n" if warning else "", "bold red"), (text, "dim"))
        now = time.monotonic()
        last = step == self._steps
        if not self._console.is_terminal and (last or now - self._said >= PLAIN_SECONDS):
            self._said = now
            left = _duration((self._steps - step) * self._batch_size / speed) if speed else "unknown time"
            progress = f"step {step}/{self._steps}, {left} left, {text}"
            self.say("  ".join([progress, warning] if warning else [progress]))

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self._console.print(f"{self._title}: {text}", soft_wrap=True, highlight=False, markup=False)


class _AnnotatedProgress(Progress):
    """A bar, and below it a note, which may need lines of its own."""

    note = Text()

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield self.note


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
