"""Agree on a fresh key prefix in the rendezvous store, so that stale keys of a restarted job are never read.

torchrun keeps its store when it restarts the processes. Stale keys hold addresses at which nobody listens,
and the number of restarts may differ between machines; so rank 0 chooses a new prefix.
"""

import time
from datetime import timedelta
from uuid import uuid4

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

RENDEZVOUS_TIMEOUT = timedelta(hours=1)
"""Limit for all processes to arrive; long, as some may pack a data set first."""

_POLL_SECONDS = 0.02


def rendezvous_store(rank: int, size: int) -> Store:
    """Wait for all processes, and return a store with keys of this job only.

    Raises:
        RuntimeError: a process did not arrive, or the store is lost.
    """
    store, _, _ = next(rendezvous("env://", timeout=RENDEZVOUS_TIMEOUT))
    store = PrefixStore("avae", store)
    prefix = _announce_prefix(store, size) if rank == 0 else _request_prefix(store, rank)
    return PrefixStore(prefix, store)


def _announce_prefix(store: Store, size: int) -> str:
    """Send a prefix to every request, stale ones included, until each rank has acknowledged it; return it."""
    prefix, answered = uuid4().hex, set()
    end = time.monotonic() + RENDEZVOUS_TIMEOUT.total_seconds()
    missing = set(range(1, size))
    while missing:
        for rank in sorted(missing):
            if (
                store.check([_request_key(rank)])
                and (request := store.get(_request_key(rank))) not in answered
            ):
                store.set(f"answer/{request.decode()}", prefix)
                answered.add(request)
        missing = {rank for rank in missing if not store.check([_acknowledged_key(prefix, rank)])}
        if time.monotonic() > end:
            raise RuntimeError(f"ranks {sorted(missing)} did not arrive within {RENDEZVOUS_TIMEOUT}")
        time.sleep(_POLL_SECONDS)
    return prefix


def _request_prefix(store: Store, rank: int) -> str:
    """Request the prefix under a unique name, wait for it and acknowledge it; return it."""
    request = uuid4().hex
    store.set(_request_key(rank), request)
    prefix = store.get(f"answer/{request}").decode()
    store.set(_acknowledged_key(prefix, rank), "")
    return prefix


def _request_key(rank: int) -> str:
    return f"request/{rank}"


def _acknowledged_key(prefix: str, rank: int) -> str:
    return f"{prefix}/acknowledged/{rank}"
