"""How the processes of a job find a part of their store that no other job, dead or alive, has written to.

torchrun keeps its store when it restarts the processes. Keys of the dead would send the living to addresses
at which nobody listens, and its count of restarts may differ between machines, so rank 0 names the part anew.
"""

import time
from datetime import timedelta
from uuid import uuid4

from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

RENDEZVOUS_TIMEOUT = timedelta(hours=1)
"""For all to arrive: some may have pictures to pack first."""

_PAUSE = 0.02


def rendezvous_store(rank: int, size: int) -> Store:
    """Return a store that is empty but for what this job's processes set, once all have come.

    Raises:
        RuntimeError: somebody did not come, or the store is gone.
    """
    store, _, _ = next(rendezvous("env://", timeout=RENDEZVOUS_TIMEOUT))
    store = PrefixStore("avae", store)
    part = _announce_prefix(store, size) if rank == 0 else _request_prefix(store, rank)
    return PrefixStore(part, store)


def _announce_prefix(store: Store, size: int) -> str:
    """Answer every caller, the dead of earlier jobs too, until each rank has heard of the part."""
    part, answered = uuid4().hex, set()
    end = time.monotonic() + RENDEZVOUS_TIMEOUT.total_seconds()
    missing = set(range(1, size))
    while missing:
        for rank in sorted(missing):
            if store.check([_call(rank)]) and (call := store.get(_call(rank))) not in answered:
                store.set(f"answer/{call.decode()}", part)
                answered.add(call)
        missing = {rank for rank in missing if not store.check([_heard(part, rank)])}
        if time.monotonic() > end:
            raise RuntimeError(f"ranks {sorted(missing)} did not come within {RENDEZVOUS_TIMEOUT}")
        time.sleep(_PAUSE)
    return part


def _request_prefix(store: Store, rank: int) -> str:
    """Call with a name of our own, which nobody has answered before."""
    call = uuid4().hex
    store.set(_call(rank), call)
    part = store.get(f"answer/{call}").decode()
    store.set(_heard(part, rank), "")
    return part


def _call(rank: int) -> str:
    return f"call/{rank}"


def _heard(part: str, rank: int) -> str:
    return f"{part}/heard/{rank}"
