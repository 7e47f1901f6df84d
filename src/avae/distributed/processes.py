"""Several processes under torchrun: all of it does nothing where there is one."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store

from avae.distributed.heartbeat import MAX_MISSED, RECOVERY_HINT, heartbeat, register
from avae.distributed.rendezvous import rendezvous_store
from avae.errors import UserError

COLLECTIVE_TIMEOUT = timedelta(days=1)
"""For a process that lives but does not answer: one may wait for rank 0 to measure. See `liveness`."""


class LostProcessError(UserError):
    """Another process of the job is gone."""


def rank() -> int:
    """Return this process's number; rank 0 reports and writes."""
    return int(os.environ.get("RANK", 0))


def local_rank() -> int:
    """Return this process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", 0))


def world_size() -> int:
    """Return how many processes there are."""
    return int(os.environ.get("WORLD_SIZE", 1))


def local_rows(count: int) -> range:
    """Return this process's rows of `count`, which is a multiple of the number of processes."""
    size = count // world_size()
    return range(rank() * size, (rank() + 1) * size)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes; gloo between processors, nccl between GPUs."""
    if world_size() == 1 or distributed.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _collective_errors():
        store = rendezvous_store(rank(), world_size())
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            timeout=COLLECTIVE_TIMEOUT,
            store=PrefixStore("group", store),
            rank=rank(),
            world_size=world_size(),
        )
        beats = _beats(store)
    with heartbeat(beats, rank(), world_size()):
        yield
        barrier()  # one that ended earlier would be silent
    # Not after an error: it would wait for collectives that a lost process never joins.
    distributed.destroy_process_group()


def _beats(store: Store) -> Store:
    """Return where the processes tell each other that they live, each having done so once."""
    beats = PrefixStore("beats", store.clone())
    beats.set_timeout(timedelta(seconds=MAX_MISSED))
    register(beats, rank())
    barrier()
    return beats


def all_reduce_mean_async(tensors: Sequence[Tensor]) -> Callable[[], Sequence[Tensor]]:
    """Begin to average every tensor over the processes, by one all-reduce of all, joined flat.

    All processes begin their averages in the same order.

    Returns:
        A function that waits for the means and returns them.
    """
    if world_size() == 1 or not tensors:
        return lambda: tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _collective_errors():
        work = distributed.all_reduce(flat, async_op=True)

    def arrived() -> Sequence[Tensor]:
        with _collective_errors():
            work.wait()
        parts = torch.split(flat.div_(world_size()), [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for tensor, part in zip(tensors, parts, strict=True)]

    return arrived


def any_rank(holds: bool) -> bool:
    """Return whether it holds in any process."""
    if world_size() == 1:
        return holds
    votes = torch.tensor(int(holds))
    with _collective_errors():
        distributed.all_reduce(votes)
    return bool(votes)


def broadcast_from_rank0(value: Any) -> Any:
    """Return rank 0's value, plain data, in every process; the others wait for it."""
    if world_size() == 1:
        return value
    values = [value]
    with _collective_errors():
        distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def barrier() -> None:
    """Wait for all processes."""
    any_rank(False)


@torch.no_grad()
def broadcast_weights(modules: Iterable[nn.Module]) -> None:
    """Give every process rank 0's weights and buffers."""
    if world_size() == 1:
        return
    for module in modules:
        for tensor in (*module.parameters(), *module.buffers()):
            whole = tensor.contiguous()
            with _collective_errors():
                distributed.broadcast(whole, src=0)
            tensor.copy_(whole)


@contextmanager
def _collective_errors() -> Iterator[None]:
    """Turn the errors of a collective into one line."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise LostProcessError(
            f"rank {rank()} of {world_size()} lost contact with the others, so this job ends: most likely "
            f"one of them died, and its own message says why ({reason}); {RECOVERY_HINT}"
        ) from None
