"""Reading data with something to look at meanwhile."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from avae.data.cache import cache_folder
from avae.data.dataset import DataSet
from avae.data.given import packed_from
from avae.data.preparation import Asked
from avae.data.sources import load_data
from avae.distributed import rank
from avae.recipes.config import Config


def load_with_progress(source: str, config: Config) -> DataSet:
    """Load a data set (see `load_data`) as a run takes it, its split the same for every run.

    Shows progress on a terminal.
    """
    with progress(f"reading {source}") as advance:
        return load_data(
            source,
            config.size,
            config.channels,
            crop=config.crop,
            fit=config.fit,
            cache=config.cache,
            say=say,
            on_progress=advance,
        )


def pack_given(pictures: Any, config: Config) -> str:
    """Pack pictures given from Python as a run takes them; return where they are, to be named as data."""
    asked = Asked(config.size, config.channels, config.crop, config.fit)
    with progress("packing pictures") as advance:
        return str(packed_from(pictures, asked, cache_folder(config.cache), advance))


def say(text: str) -> None:
    """Tell the user something that is no result; once, not by every process."""
    if rank() == 0:
        print(text, file=sys.stderr)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on a terminal; yields a function of (done, in all, if known)."""
    console = Console(stderr=True)
    name = TextColumn("{task.description}", markup=False)  # a path may hold brackets
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal or rank() > 0
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
