"""Reading data with something to look at meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from avae.data.dataset import DataSet
from avae.data.sources import load_data
from avae.distributed import rank


def load_with_progress(source: str, size: int | None, channels: int | None) -> DataSet:
    """Load a data set (see `load_data`), its split the same for every run, showing progress on a terminal."""
    with progress(f"reading {source}") as advance:
        return load_data(source, size, channels, on_progress=advance)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on a terminal; yields a function of (done, in all, if known)."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal or rank() > 0
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
