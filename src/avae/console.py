"""Write messages of the `avae` loggers and progress bars to stderr."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


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


@contextmanager
def lasting_output() -> Iterator[None]:
    """Drop what is printed, instead of failing, once nobody reads it, as after `| head -1`.

    So a closed pipe or window neither ends a run nor keeps it from saving. Characters that the output's
    encoding lacks are written as escapes.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _LastingStream(stream)) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


class _LastingStream:
    """A text stream that cannot fail: it goes to the null device once writing to it has failed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        """Redirect the file itself, so that text in its buffer can be flushed at the end, too."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)


class _StderrHandler(logging.Handler):
    """Handler that looks up sys.stderr for each message, as a progress bar replaces it while shown."""

    def emit(self, record: logging.LogRecord) -> None:
        from avae.distributed.processes import rank

        if rank() == 0:
            print(self.format(record), file=sys.stderr)
