"""Write messages of the `avae` loggers and progress bars to stderr."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Counter of the items done in a stage of some work.

    Args:
        show: function called with (done, total) after each change; total is None while unknown.
    """

    def __init__(self, show: Callable[[int, int | None], None] = lambda done, total: None) -> None:
        self._show, self._done = show, 0
        self._total: int | None = None

    def update(self, done: int, total: int | None) -> None:
        """Report that `done` of `total` items are done; a new total starts a new stage."""
        self._done, self._total = done, total
        self._show(done, total)

    def advance(self, count: int) -> None:
        """Report that `count` more items are done."""
        self.update(self._done + count, self._total)


SILENT = Progress()
"""A counter that is not shown."""


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a progress bar on a terminal, by rank 0 only; messages appear above it."""
    # Imported here: help needs neither torch, which `distributed` imports, nor rich.
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
    """Write messages of the `avae` loggers to stderr within the context, by rank 0 only.

    Args:
        unless_configured: do nothing if the program has configured logging itself.
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
    """Handler that looks up sys.stderr for each message, as a progress bar replaces it while shown."""

    def emit(self, record: logging.LogRecord) -> None:
        from avae.distributed.processes import rank

        if rank() == 0:
            print(self.format(record), file=sys.stderr)
