"""What a user sees of work while it lasts: messages of the `avae` loggers and progress bars, on stderr."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Counts the items that are done in a stage of some work.

    Args:
        show: called with (done, total) after each change; total is None while it is unknown.
    """

    def __init__(self, show: Callable[[int, int | None], None] = lambda done, total: None) -> None:
        self._show, self._done = show, 0
        self._total: int | None = None

    def update(self, done: int, total: int | None) -> None:
        """Show that `done` of `total` items are done; a new total begins a new stage."""
        self._done, self._total = done, total
        self._show(done, total)

    def advance(self, count: int) -> None:
        """Show that `count` more items are done."""
        self.update(self._done + count, self._total)


SILENT = Progress()
"""Shown nowhere."""


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a bar while work lasts, on a terminal and by rank 0 only; messages appear above it."""
    # Here, for help needs neither torch, which `distributed` imports, nor rich.
    from rich import progress as rich_progress
    from rich.console import Console

    from avae.distributed.processes import rank

    console = Console(stderr=True)
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),  # a path may hold brackets
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    hidden = not console.is_terminal or rank() > 0
    with rich_progress.Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(title, total=None)
        yield Progress(lambda done, total: bar.update(task, completed=done, total=total))


@contextmanager
def messages_on_stderr(*, unless_configured: bool = False) -> Iterator[None]:
    """Write the messages of the `avae` loggers to stderr while some work lasts, by rank 0 only.

    Args:
        unless_configured: leave them to the program's own logging, if it has set it up.
    """
    logger, handler = logging.getLogger("avae"), _StderrHandler()
    if unless_configured and logger.hasHandlers():
        yield
        return
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(level or logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _StderrHandler(logging.Handler):
    """Prints to sys.stderr as it is at the time: a bar puts something else there while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        from avae.distributed.processes import rank

        if rank() == 0:
            print(self.format(record), file=sys.stderr)
