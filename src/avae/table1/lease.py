"""Leases: at most one worker at a time, on any machine, works on a run.

A lease is a file in the run's folder, created by the first worker (O_EXCL) and touched while that worker
lives. It is stale, and another worker may take it over, once it has not been touched for some minutes; on the
same machine, as soon as its process is gone.
"""

import dataclasses
import json
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from filelock import FileLock, Timeout

from avae.errors import UserError
from avae.json_io import read_json

BEAT = 20.0
"""Seconds between touches."""

STALE = 300.0
"""Seconds without a touch after which a lease is stale: a file server may be slow for long."""

FILE = ".claim"
"""Name of a lease file; hidden, so that the folder counts as empty until the run has started."""


@dataclass(frozen=True)
class LeaseHolder:
    """The content of a lease file.

    Attributes:
        host: the machine and its container.
        pid: the worker's process id there.
        since: date and time.
        token: text that identifies the lease.
    """

    host: str
    pid: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    since: str
    token: str


class RunLease:
    """A lease held by this process.

    Args:
        path: its file.
        token: text that identifies it.

    Attributes:
        lost: True once another worker has taken it over, for instance after this machine was suspended.
    """

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token
        self.lost = False
        self._end = threading.Event()
        self._heartbeat = threading.Thread(target=self._beat, daemon=True)

    def hold(self) -> None:
        """Start to touch the file every `BEAT` seconds."""
        self._heartbeat.start()

    def release(self) -> None:
        """Delete the file, unless another worker has taken it over."""
        self._end.set()
        self._heartbeat.join()
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
                continue  # the disk may come back before the lease is stale

    def _is_ours(self) -> bool:
        holder = lease_holder(self.path.parent)
        return holder is not None and holder.token == self.token


@contextmanager
def hold_lease(run: Path) -> Iterator[RunLease | None]:
    """Hold the lease of a run folder, which is created if missing; yield None if another worker holds it."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / FILE
    token = uuid.uuid4().hex
    if not _take(path, token):
        yield None
        return
    lease = RunLease(path, token)
    lease.hold()
    try:
        yield lease
    finally:
        lease.release()


def lease_holder(run: Path) -> LeaseHolder | None:
    """Return the holder of a run's lease; None if unknown."""
    try:
        return read_json(run / FILE, LeaseHolder)
    except (OSError, ValueError, UserError):
        return None


def is_leased(run: Path) -> bool:
    """Return True if a worker holds the lease of a run and is alive as far as is known."""
    return (run / FILE).exists() and not _is_stale(run / FILE)


def is_locked(run: Path) -> bool:
    """Return True if a process of this machine is training in a run folder, with or without a lease.

    A training process may outlive its worker, if that was killed.
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
        return _create(path, token)  # False if another worker was faster


def _create(path: Path, token: str) -> bool:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    holder = LeaseHolder(_host(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"), token)
    with os.fdopen(file, "w") as stream:
        json.dump(dataclasses.asdict(holder), stream)
    return True


def _is_stale(path: Path) -> bool:
    """Return True if the worker of a lease is gone. Both times compared are of the file server's clock."""
    holder = lease_holder(path.parent)
    if holder and holder.host == _host() and not _is_alive(holder.pid):
        return True
    try:
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return True
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".clock-") as fresh:
        # A time in the future is no touch either: the clock was changed, or somebody set the time.
        return abs(os.fstat(fresh.fileno()).st_mtime - touched) > STALE


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # a process of another user
    return True


def _host() -> str:
    """Return the name of this machine and its container, within which process ids are unique."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Hold a lock, so that one process at a time checks and removes a lease."""
    with FileLock(path.with_name(f"{path.name}.lock")):
        yield
