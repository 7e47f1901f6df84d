"""Compute the number of bytes of tensors that fit the memory of a device."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from avae.profiling.estimate import Memory

RESERVED = 1e9
"""Bytes that a process needs besides tensors: a GPU's context, libraries, kernels' scratch memory."""

GPU_SPARE = 0.1
"""Share of a GPU's memory lost to gaps between tensors."""

CPU_OVERHEAD = 1.8
"""Largest measured memory of a process on a CPU over that of its tensors (docs/speed.md)."""


def room_for_tensors(device: torch.device) -> float:
    """Return the number of bytes of tensors that a process can hold on a device."""
    if device.type == "cuda":
        return gpu_room(torch.cuda.mem_get_info(device)[1])
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(0.0, _available_memory() / processes - RESERVED) / CPU_OVERHEAD


def gpu_room(total: float) -> float:
    """Return the number of bytes of tensors that fit a GPU of `total` bytes."""
    return max(0.0, total * (1 - GPU_SPARE) - RESERVED)


def smallest_fitting(memory: Mapping[int, Memory], room: float) -> int | None:
    """Return the smallest number of micro-batches whose memory fits, or None if none does."""
    return next((k for k, need in sorted(memory.items()) if need.total <= room), None)


def _available_memory() -> int:
    """Return the bytes of memory available on this machine, or all its memory if that is unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
