"""Detect processes of a job that no longer respond, by heartbeats in a shared store.

A killed process closes its connections, which the others notice at once. A process that is suspended, or
whose machine loses power, closes nothing: a collective would wait for it as long as for one that is busy.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed.distributed_c10d import Store

HEARTBEAT_SECONDS = 1.0
"""Seconds between heartbeats of a process, and between checks of those of the others."""

MAX_MISSED = 20
"""Heartbeats that a process may miss. With the 30 s that torchrun gives a suspended process, a job ends
within a minute; no Python thread of a healthy process is blocked for that long."""

EXIT_CODE = 2
"""Exit code, the same as for other errors."""

RECOVERY_HINT = (
    "continue from the last checkpoint with --resume; "
    "torchrun's --max-restarts, together with --resume, does so automatically"
)


@contextmanager
def heartbeat(store: Store, rank: int, size: int) -> Iterator[None]:
    """Send heartbeats, and end this process if another one, or the store, stops responding.

    Another thread ends it at once, as the main thread may wait in a collective forever.

    Args:
        store: a separate connection, since calls on one connection wait for each other; every process has
            called `register` on it.
        rank, size: rank of this process, and number of processes.
    """
    monitor = _HeartbeatMonitor(store, rank, size)
    threads = [threading.Thread(target=run, daemon=True) for run in (monitor.send, monitor.watch)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        monitor.over.set()
        for thread in threads:
            thread.join(5 * HEARTBEAT_SECONDS)  # with a limit: a thread may wait for a lost store


def register(store: Store, rank: int) -> None:
    """Set the key of this process; all processes must do so before any enters `heartbeat`."""
    store.set(_key(rank), "0")


def _key(rank: int) -> str:
    return f"beat/{rank}"


class _HeartbeatMonitor:
    """Counts heartbeats, not seconds: a job that is suspended and resumed as a whole has missed none."""

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store, self.rank, self.size = store, rank, size
        self.over = threading.Event()
        self.missed = [0] * size
        self.unanswered = 0

    def send(self) -> None:
        """Set the key of this process and read all keys, repeatedly; return if the store is lost."""
        keys = [_key(rank) for rank in range(self.size)]
        beats, last = 0, [b""] * self.size
        while not self.over.wait(HEARTBEAT_SECONDS):
            beats += 1
            try:
                self.store.set(keys[self.rank], str(beats))
                found = self.store.multi_get(keys)
            except RuntimeError:
                return
            same = [new == old for new, old in zip(found, last, strict=True)]
            self.missed = [missed + 1 if s else 0 for s, missed in zip(same, self.missed, strict=True)]
            self.unanswered, last = 0, found

    def watch(self) -> None:
        """End this process if another one or the store has not responded for too long."""
        while not self.over.wait(HEARTBEAT_SECONDS):
            self.unanswered += 1
            silent = [rank for rank, missed in enumerate(self.missed) if missed >= MAX_MISSED]
            if silent:
                self._end(f"{_named(silent)} of {self.size} stopped responding")
            if self.unanswered >= MAX_MISSED:
                self._end("the launcher, which holds the heartbeats, stopped responding")

    def _end(self, what: str) -> None:
        line = (
            f"avae: rank {self.rank} of {self.size} ends, as {what} "
            f"{MAX_MISSED * HEARTBEAT_SECONDS:g} s ago: "
            f"suspended, or its machine or the network is down; {RECOVERY_HINT}\n"
        )
        os.write(2, line.encode())  # not through sys.stderr, which the main thread may have locked
        os._exit(EXIT_CODE)


def _named(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
