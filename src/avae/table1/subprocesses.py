"""Run a command as a subprocess, so that a crash or a lack of memory does not end the worker."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avae.engine.signals import SIGNALS, StopRequest

POLL = 0.2
"""Seconds between checks of a subprocess."""

INTERRUPTED = frozenset(code for number in SIGNALS for code in (-number, 128 + number))
"""Exit codes of a command that was stopped by a signal."""


@dataclass(frozen=True)
class ProcessResult:
    """Result of a command.

    Attributes:
        code: exit code; negative if a signal killed the command.
        last_line: last line of its output.
    """

    code: int
    last_line: str

    @property
    def interrupted(self) -> bool:
        """True if the command was stopped by a signal to stop."""
        return self.code in INTERRUPTED

    @property
    def reason(self) -> str:
        """Description of the failure."""
        if self.code == -signal.SIGKILL:
            return "killed (SIGKILL), as a machine does that runs out of memory"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return self.last_line.removeprefix("avae: ") or f"exit code {self.code}"


def run(
    command: Sequence[str],
    log: Path,
    *,
    stop: StopRequest,
    lease_lost: Callable[[], bool],
    while_waiting: Callable[[], None],
) -> ProcessResult:
    """Run a command to its end, and append its output to a log.

    Args:
        command: program and arguments.
        log: file for the output.
        stop: request whose signal is passed on once; the command should then save and exit.
        lease_lost: function that returns True once another worker has the run; the command is then stopped.
        while_waiting: function called a few times per second.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as output:
        start = output.tell()
        # In its own session it receives a Ctrl-C only from here: a second signal would prevent saving.
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait(child, stop, lease_lost, while_waiting)
        except BaseException:
            child.kill()
            child.wait()
            raise
    return ProcessResult(child.returncode, _last_line(log, start))


def _wait(
    child: "subprocess.Popen[bytes]",
    stop: StopRequest,
    lease_lost: Callable[[], bool],
    while_waiting: Callable[[], None],
) -> None:
    signalled = False
    while child.poll() is None:
        if not signalled and (stop.signal is not None or lease_lost()):
            child.send_signal(stop.signal or signal.SIGTERM)
            signalled = True
        while_waiting()
        time.sleep(POLL)


def _last_line(log: Path, start: int) -> str:
    with open(log, "rb") as stream:
        stream.seek(max(start, os.path.getsize(log) - 4096))
        lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
