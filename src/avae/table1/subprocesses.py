"""A command as a process of its own, which may crash or run out of memory without taking the worker along."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avae.engine.signals import StopRequest

POLL = 0.2
"""Seconds."""

INTERRUPTED = frozenset(
    code for number in (signal.SIGINT, signal.SIGTERM) for code in (-number, 128 + number)
)


@dataclass(frozen=True)
class ProcessResult:
    """How a command ended.

    Attributes:
        code: its exit code, negative for the signal that killed it.
        said: the last line it said.
    """

    code: int
    said: str

    @property
    def interrupted(self) -> bool:
        """Whether it was asked to stop, by Ctrl-C or SIGTERM."""
        return self.code in INTERRUPTED

    @property
    def reason(self) -> str:
        """Why it failed, in words."""
        if self.code == -signal.SIGKILL:
            return "killed (SIGKILL), as a machine does that runs out of memory"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return self.said.removeprefix("avae: ") or f"exit code {self.code}"


def run(
    command: Sequence[str],
    log: Path,
    *,
    stop: StopRequest,
    given_up: Callable[[], bool],
    while_waiting: Callable[[], None],
) -> ProcessResult:
    """Run a command to its end, its output appended to a log.

    Args:
        stop: a signal noted there is passed on once; the command is expected to save and end.
        given_up: whether the command is to end because its run is another worker's now.
        while_waiting: called a few times a second.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        begun = output.tell()
        # In a session of its own a Ctrl-C reaches it through us alone: a second signal would not let it save.
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait(child, stop, given_up, while_waiting)
        except BaseException:
            child.kill()
            child.wait()
            raise
    return ProcessResult(child.returncode, _last_line(log, begun))


def _wait(
    child: "subprocess.Popen[bytes]",
    stop: StopRequest,
    given_up: Callable[[], bool],
    while_waiting: Callable[[], None],
) -> None:
    told = False
    while child.poll() is None:
        if not told and (stop.signal is not None or given_up()):
            child.send_signal(stop.signal or signal.SIGTERM)
            told = True
        while_waiting()
        time.sleep(POLL)


def _last_line(log: Path, begun: int) -> str:
    with open(log, "rb") as stream:
        stream.seek(max(begun, os.path.getsize(log) - 4096))
        lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
