"""Show the progress of training: a bar on a terminal or in a notebook, plain lines elsewhere."""

import time
from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from avae.console import NotebookLine, progress_console, text_bar
from avae.shown_text import printable

SHOWN = {
    "mse": "MSE",
    "kl": "KL",
    "latent_consistency": "code error",
    "diversity": "diversity",
}
"""Terms that the line of progress shows, by name, and what they are called there. The log has all terms."""

AHEAD, FAR_AHEAD = 1.0, 4.0
"""Differences of the critic's mean logits, generated minus real, from which on it is ahead in the game."""

FIRST_WARNING = 200
"""Step before which no warning is shown: at the start every game is uneven."""

PLAIN_SECONDS = 10.0
"""Seconds between two lines if the output is not a terminal."""

TIMED_SECONDS, TIMED_STEPS = 10.0, 3
"""Seconds and steps from which the time of the whole run is estimated."""

LONG = 3600.0
"""Seconds of a run from which on it is said how to make it shorter."""


class ProgressDisplay:
    """A progress bar on a terminal; in a notebook a line that changes in place; elsewhere a plain line every
    `PLAIN_SECONDS`. Only rank 0 shows it.

    Args:
        title: start of every line.
        steps: number of steps of the run.
        batch_size: images per step, for the speed.
        shorter: flags that make a run shorter, shown once if the run takes long; "" for none.
    """

    def __init__(self, title: str, steps: int, batch_size: int, shorter: str = "") -> None:
        self._console = progress_console()
        is_notebook = self._console.is_jupyter and not self._console.quiet
        self._notebook = NotebookLine() if is_notebook else None
        self._text, self._shorter = "", shorter
        self._title, self._steps, self._batch_size = printable(title), steps, batch_size
        self._start, self._began = 0, time.monotonic()
        self._printed = self._began
        self._bar = _AnnotatedProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=is_notebook or not self._console.is_terminal or self._console.quiet,
        )
        self._task = self._bar.add_task(self._title, total=steps)

    def __enter__(self) -> "ProgressDisplay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, step: int) -> None:
        """Show that training continues from `step`."""
        self._start, self._began = step, time.monotonic()
        self._bar.reset(self._task, completed=step)

    def advance(self, step: int) -> None:
        """Show that `step` steps are done."""
        self._bar.update(self._task, completed=step)
        timed = step - self._start >= TIMED_STEPS and time.monotonic() - self._began >= TIMED_SECONDS
        if self._shorter and timed:
            if (seconds := self._seconds_left(step)) > LONG:
                self.print(f"takes about {_rough_duration(seconds)}; shorter: {self._shorter}")
            self._shorter = ""
        if self._notebook:
            bar, left = text_bar(step, self._steps), self._left(step)
            self._notebook.show(f"{self._title}: {bar}, {left} left, {self._text}", last=step == self._steps)

    def images_per_second(self, step: int) -> float:
        """Return the mean speed since the last `begin`; 0 at its step."""
        return (step - self._start) * self._batch_size / max(time.monotonic() - self._began, 1e-9)

    def show_terms(self, step: int, means: dict[str, float], warning: str = "") -> None:
        """Show the newest means, and a warning if there is one."""
        speed = self.images_per_second(step)
        text = "  ".join([f"{speed:.0f} images/s", *summary(means)])
        warning = warning if step >= FIRST_WARNING else ""
        self._bar.note = Text.assemble((f"{warning}\n" if warning else "", "bold red"), (text, "dim"))
        now = time.monotonic()
        self._text = text
        last = step == self._steps
        if not (self._console.is_terminal or self._notebook) and (
            last or now - self._printed >= PLAIN_SECONDS
        ):
            self._printed = now
            progress = f"step {step}/{self._steps}, {self._left(step)} left, {text}"
            self.print("  ".join([progress, warning] if warning else [progress]))

    def _left(self, step: int) -> str:
        return _duration(self._seconds_left(step)) if step > self._start else "unknown time"

    def _seconds_left(self, step: int) -> float:
        return (self._steps - step) * self._batch_size / self.images_per_second(step)

    def print(self, text: str) -> None:
        """Print a line, above the bar if it is shown."""
        self._console.print(f"{self._title}: {text}", soft_wrap=True, highlight=False, markup=False)


def summary(means: Mapping[str, float]) -> list[str]:
    """Return at most four terms for a person to read; the last is the state of the game, if there is one."""
    terms = [f"{label} {means[name]:.3g}" for name, label in SHOWN.items() if name in means]
    if "real" in means and "fake" in means:
        ahead = means["fake"] - means["real"]
        state = "even" if ahead < AHEAD else "critic ahead" if ahead < FAR_AHEAD else "critic far ahead"
        return [*terms[:3], f"game {state}"]
    return terms[:4]


class _AnnotatedProgress(Progress):
    """A progress bar with a note below it, which may have several lines."""

    note = Text()

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield self.note


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _rough_duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours} h {minutes:02d} min"
