"""Collectives of the processes that torchrun starts; with one process, all of them do nothing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore

from avae.distributed.heartbeat import MAX_MISSED, RECOVERY_HINT, heartbeat, register
from avae.distributed.launcher import rank, world_size
from avae.distributed.rendezvous import rendezvous_store
from avae.errors import UserError, is_out_of_memory

COLLECTIVE_TIMEOUT = timedelta(days=1)
"""Limit of a collective: long, as processes wait while rank 0 evaluates. `heartbeat` finds lost processes."""


class LostProcessError(UserError):
    """Raised when another process of the job is lost."""


def local_rows(count: int) -> range:
    """Return the rows of this process among `count`, a multiple of the number of processes."""
    size = count // world_size()
    return range(rank() * size, (rank() + 1) * size)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes, by gloo for CPUs and nccl for GPUs.

    Raises:
        LostProcessError: another process does not join, or is lost.
    """
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
        beats = PrefixStore("beats", store.clone())
        beats.set_timeout(timedelta(seconds=MAX_MISSED))
        register(beats, rank())
        barrier()
    with heartbeat(beats, rank(), world_size()):
        yield
        barrier()  # a process that ended earlier would send no heartbeats
    # Not after an error, when it would wait for collectives that a lost process never joins.
    distributed.destroy_process_group()


def all_reduce_mean_async(tensors: Sequence[Tensor]) -> Callable[[], Sequence[Tensor]]:
    """Start averaging every tensor over the processes, with one all-reduce of their concatenation.

    All processes must start their averages in the same order.

    Returns:
        A function that waits for the means and returns them, in the shapes of the tensors.
    """
    if world_size() == 1 or not tensors:
        return lambda: tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    with _collective_errors():
        work = distributed.all_reduce(flat, async_op=True)

    def wait() -> Sequence[Tensor]:
        with _collective_errors():
            work.wait()
        parts = torch.split(flat.div_(world_size()), [tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape) for tensor, part in zip(tensors, parts, strict=True)]

    return wait


def any_rank(holds: bool) -> bool:
    """Return True if `holds` is true in any process."""
    return bool(max_over_ranks(holds))


def max_over_ranks(value: int) -> int:
    """Return the largest value of all processes."""
    if world_size() == 1:
        return value
    largest = torch.tensor(int(value))
    with _collective_errors():
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def broadcast_from_rank0(value: Any) -> Any:
    """Return the value of rank 0, plain data, in every process."""
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
    """Copy the weights and buffers of rank 0 to every process."""
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
    """Convert errors of a collective to LostProcessError, with a message on one line."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0][:200]
        raise LostProcessError(
            f"rank {rank()} of {world_size()} lost contact with the others, so this job ends: most likely "
            f"one of them died, and its own message has the reason ({reason}); {RECOVERY_HINT}"
        ) from None
