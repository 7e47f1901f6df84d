"""Write messages of the `avae` loggers and progress bars to stderr."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO, cast

from avae.distributed.launcher import rank
from avae.shown_text import printable

if TYPE_CHECKING:
    from rich.console import Console


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

_hidden = ContextVar("hidden", default=False)


@contextmanager
def no_progress() -> Iterator[None]:
    """Show no progress within the context; messages and results appear all the same."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def progress_console() -> "Console":
    """Return the console that progress is shown on: stderr, and silent where nothing is to be shown."""
    from rich.console import Console  # here: help and errors do without

    return Console(stderr=True, quiet=_hidden.get() or rank() > 0)


class NotebookLine:
    """A line of text below a cell of a notebook, which changes in place, at most once a second."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = -1.0

    def show(self, text: str, last: bool = False) -> None:
        """Show a text; `last` shows it at once."""
        from IPython.display import display  # a notebook has it

        now = time.monotonic()
        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        elif last or now - self._shown >= 1:
            self._handle.update({"text/plain": text}, raw=True)
        else:
            return
        self._shown = now


def text_bar(done: int, total: int, width: int = 20) -> str:
    """Return a bar of characters, and the counts."""
    full = width * done // max(total, 1)
    return f"{'█' * full}{'░' * (width - full)} {done:,}/{total:,}"


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a progress bar on a terminal or in a notebook, by rank 0 only; messages appear above it."""
    from rich import progress as rich_progress

    console = progress_console()
    if console.is_jupyter and not console.quiet:
        line = NotebookLine()
        yield Progress(
            lambda done, total: line.show(
                f"{title}: {text_bar(done, total) if total else f'{done:,}'}", last=done == total
            )
        )
        return
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),  # a path may hold brackets
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    hidden = not console.is_terminal or console.quiet
    with rich_progress.Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(printable(title), total=None)
        yield Progress(lambda done, total: bar.update(task, completed=done, total=total))


def say(*lines: object) -> None:
    """Print lines; names of files, and what files hold, may contain escape sequences and newlines."""
    for line in lines:
        print(printable(line))


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
        if rank() == 0:
            print(printable(self.format(record)), file=sys.stderr)
