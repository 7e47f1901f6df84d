"""Ctrl-C while modules are imported. This one imports little itself, as it comes first."""

import os
import signal
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

MESSAGE = "avae: stopped by Ctrl-C"


class ImportsEndAtInterrupt:
    """Context manager for imports: Ctrl-C within it ends the process at once, with one line.

    A KeyboardInterrupt could be caught by the module that is being imported, or print a traceback.
    SIGINT stays ignored if it was, as in the background of a shell script.
    """

    def __enter__(self) -> None:
        self._previous = signal.getsignal(signal.SIGINT)
        if self._previous is signal.default_int_handler:
            signal.signal(signal.SIGINT, _end)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous)


def _end(*_: object) -> None:
    print(MESSAGE, file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)
