"""Whether the other processes of a job still live, told by keys they renew in a store that all reach.

A process that is killed breaks its connections, which the others notice at once. One that is stopped, or
whose machine loses its power, breaks nothing: a collective would wait for it as long as for one that is busy.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed.distributed_c10d import Store

HEARTBEAT_SECONDS = 1.0
"""Seconds between two beats of a process, and between two looks at those of the others."""

MAX_MISSED = 20
"""Beats that a process may miss. With the 30 s that torchrun gives a stopped process this is under a minute;
nothing keeps Python from running a thread for so long."""

EXIT_CODE = 2
"""Exit code, as that of other errors."""

RECOVERY_HINT = (
    "go on from the last checkpoint with --resume; "
    "with torchrun's --max-restarts and --resume a job does so by itself"
)


@contextmanager
def heartbeat(store: Store, rank: int, size: int) -> Iterator[None]:
    """Tell the others that this process lives, and end it if one of them, or the store, falls silent.

    It ends from another thread and at once, for the main thread may wait in a collective for ever.

    Args:
        store: a connection of its own, for calls wait for each other, and keys that all processes have set
            once, see `first_beat`.
        rank, size: of this process, and how many there are.
    """
    watch = _HeartbeatMonitor(store, rank, size)
    threads = [threading.Thread(target=run, daemon=True) for run in (watch.send, watch.watch)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        watch.over.set()
        for thread in threads:
            thread.join(5 * HEARTBEAT_SECONDS)  # not for ever: one may wait for a store that is gone


def register(store: Store, rank: int) -> None:
    """Set this process's key; all must have, before any is `watched`."""
    store.set(_key(rank), "0")


def _key(rank: int) -> str:
    return f"beat/{rank}"


class _HeartbeatMonitor:
    """Counts beats, not seconds: a job that was stopped as a whole and goes on has missed none."""

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store, self.rank, self.size = store, rank, size
        self.over = threading.Event()
        self.missed = [0] * size
        self.unanswered = 0

    def send(self) -> None:
        """Renew this process's key and read all, again and again; a store that is gone ends only this."""
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
        """End this process if another or the store has been silent for too long."""
        while not self.over.wait(HEARTBEAT_SECONDS):
            self.unanswered += 1
            silent = [rank for rank, missed in enumerate(self.missed) if missed >= MAX_MISSED]
            if silent:
                self._end(f"{_named(silent)} of {self.size} fell silent")
            if self.unanswered >= MAX_MISSED:
                self._end("the launcher, which tells who lives, fell silent")

    def _end(self, what: str) -> None:
        line = (
            f"avae: rank {self.rank} of {self.size} ends, for {what} "
            f"{MAX_MISSED * HEARTBEAT_SECONDS:g} s ago: "
            f"stopped, or its machine or the way to it is gone; {RECOVERY_HINT}\n"
        )
        os.write(2, line.encode())  # not by sys.stderr, on which the main thread may hold a lock
        os._exit(EXIT_CODE)


def _named(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
