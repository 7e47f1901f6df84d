"""Turn Ctrl-C, SIGTERM and SIGHUP, the end of a terminal, into a request to save and stop."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

STOPPING = "stopping after this step and saving; press Ctrl-C again to give up"


class Interrupted(BaseException):
    """A signal has interrupted work; not an Exception, which a library might catch."""


class StopRequest:
    """Context manager that records signals, and answers the first. A second Ctrl-C has its usual effect.

    Further SIGTERMs are only recorded. SIGTERM is often sent twice: by a scheduler, or by a program that ends
    many processes and again by the parent process. SIGHUP stays ignored if it was, as by nohup.

    Args:
        answer: message at the first signal.

    Attributes:
        signal: number of the last signal received, or None.
    """

    def __init__(self, answer: str = STOPPING) -> None:
        self.signal: int | None = None
        self._answer, self._interruptible = answer, False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            numbers = SIGNALS[:2] if ignored else SIGNALS
            self._previous = {number: signal.signal(number, self._record) for number in numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise `Interrupted` at once if a signal arrives in the context, or has arrived before."""
        self._interruptible = True
        try:
            if self.signal is not None:
                raise Interrupted
            yield
        finally:
            self._interruptible = False

    def _record(self, number: int, frame: FrameType | None) -> None:
        first, self.signal = self.signal is None, number
        if number == signal.SIGINT and number in self._previous:
            signal.signal(number, self._previous.pop(number))
        if self._interruptible:
            raise Interrupted
        if first:
            # In a thread, as the signal may have come while this one was writing a message of its own.
            threading.Thread(target=logger.info, args=(self._answer,)).start()
