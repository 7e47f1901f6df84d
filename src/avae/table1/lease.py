"""Claims: a run is made by one worker at a time, on whatever machine.

A claim is a file in the run's folder, created by whoever comes first (O_EXCL) and touched while its worker
lives. It is stale, and may be taken over, once it has not been touched for minutes; on the worker's own
machine as soon as its process is gone.
"""

import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

BEAT = 20.0
"""Seconds between touches."""

STALE = 300.0
"""Seconds without a touch after which a claim counts for nothing: a file server may be slow for long."""

FILE = ".claim"
"""Hidden, so that the folder passes for empty until the run has begun."""


class RunLease:
    """A claim of ours.

    Args:
        path: its file.
        token: by which we know it again.

    Attributes:
        lost: whether another worker has taken it over, as it may after this machine was asleep.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token
        self.lost = False
        self._end = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def hold(self) -> None:
        """Touch the file from now on."""
        self._beating.start()

    def release(self) -> None:
        """Give the run free, unless it is another's by now."""
        self._end.set()
        self._beating.join()
        with _guarded(self.path):
            if self._is_ours():
                self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            try:
                if not self._is_ours():
                    self.lost = True
                    return
                os.utime(self.path)
            except OSError:
                continue  # the disk may come back before the claim is stale

    def _is_ours(self) -> bool:
        holder = lease_holder(self.path.parent)
        return holder is not None and holder.get("token") == self.token


@contextmanager
def hold_lease(run: Path) -> Iterator[RunLease | None]:
    """Hold the claim to a run folder, which is made if need be; yield None if it is another worker's."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / FILE
    token = uuid.uuid4().hex
    if not _take(path, token):
        yield None
        return
    claim = RunLease(path, token)
    claim.hold()
    try:
        yield claim
    finally:
        claim.release()


def lease_holder(run: Path) -> dict[str, Any] | None:
    """Return who has claimed a run (host, pid, since, token); None if nobody, or it is just being written."""
    try:
        holder = json.loads((run / FILE).read_text())
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def is_claimed(run: Path) -> bool:
    """Whether a worker that is alive, as far as one can tell, has claimed a run."""
    return (run / FILE).exists() and not _is_stale(run / FILE)


def is_locked(run: Path) -> bool:
    """Whether a process of this machine is training in a run folder, claimed or not.

    One that a killed worker left behind is.
    """
    if not (run / ".lock").exists():
        return False
    try:
        with FileLock(run / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def _take(path: Path, token: str) -> bool:
    if _create(path, token):
        return True
    with _guarded(path):
        if path.exists() and not _is_stale(path):
            return False
        path.unlink(missing_ok=True)
        return _create(path, token)  # false if somebody new was faster


def _create(path: Path, token: str) -> bool:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    about = {"host": _host(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S"), "token": token}
    with os.fdopen(file, "w") as stream:
        json.dump(about, stream)
    return True


def _is_stale(path: Path) -> bool:
    """Whether its worker is gone. Times are of one clock, the file server's."""
    holder = lease_holder(path.parent)
    if holder and holder.get("host") == _host() and not _lives(holder.get("pid", 0)):
        return True
    try:
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return True
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clock-") as fresh:
        return os.fstat(fresh.fileno()).st_mtime - touched > STALE


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _host() -> str:
    """Name this machine, and the container on it: only there does a process's number mean anything."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Let one process at a time judge a claim and remove it."""
    with FileLock(path.with_name(f"{path.name}.lock")):
        yield
