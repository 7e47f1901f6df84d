"""Load batches for training from an array that may be larger than memory."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.data.dataset import to_float_images
from avae.data.shuffle import EpochShuffler
from avae.rng import rng, row_chunks

_PREFETCH = 2
_CHUNK_BYTES = 2**26

IndexFn = Callable[[int, range], NDArray[np.int64]]
"""(step, rows of its batch) -> numbers of the items."""

GatherFn = Callable[[int, range], Tensor]
"""(step, rows of its batch) -> the items on the device, as stored, in a new tensor."""


class BatchLoader:
    """Load the batches of a run.

    Args:
        items: uint8 images (N, H, W, C), which may be a read-only memory map, or float32 points (N, F).
        device: the device of the batches. All items are copied once to a GPU with enough memory; otherwise
            a thread gathers the next steps in advance.
        seed: seed of the order and of the flips.
        batch_size: number of items a step, over all processes.
        flip: mirror each image, left to right, with probability 1/2.
        labels: integers (N,), the class of each item; None without classes.

    Raises:
        ValueError: `flip` with points.
    """

    def __init__(
        self,
        items: NDArray[Any],
        device: torch.device,
        seed: int,
        batch_size: int,
        flip: bool = False,
        labels: NDArray[np.integer] | None = None,
    ) -> None:
        if flip and items.ndim != 4:
            raise ValueError(f"flip: items of shape {items.shape[1:]} are no images")
        self.device, self.seed, self.batch_size, self.flip = device, seed, batch_size, flip
        # Indexing is slower on the subclass np.memmap.
        items = np.asarray(items)

        def index() -> IndexFn:
            order = EpochShuffler(len(items), seed)  # one for each gatherer: two threads cannot share it
            return lambda step, rows: order.batch(step, batch_size)[rows.start : rows.stop]

        make_gather = on_device if fits_on_device(items, device) else prefetched
        self._gather = make_gather(items, index(), device)
        self._gather_labels: GatherFn | None = None
        if labels is not None:
            self._gather_labels = on_device(labels.astype(np.int64), index(), device)

    def batch(self, step: int, rows: range) -> Tensor:
        """Return some rows of a step's batch: a function of (seed, step, rows).

        Args:
            rows: a part of range(batch_size), such as the rows of this process.

        Returns:
            float32 (len(rows), C, H, W) in [-1, 1], channels last in memory, or points (len(rows), F).
        """
        items = self._gather(step, rows)
        if self.flip:
            mirrored = rng(self.seed, "flip", step).random(self.batch_size) < 0.5
            chosen = np.arange(len(rows)) + len(rows) * mirrored[rows.start : rows.stop]
            # Making both and choosing takes a third of the time of assigning to some rows.
            both = torch.cat([items, items.flip(2)])
            items = both.index_select(0, to_device(pinned(chosen, self.device), self.device))
        return to_float_images(items)

    def labels(self, step: int, rows: range) -> Tensor | None:
        """Return the labels of the same items as `batch`, int64 (len(rows),), or None without classes."""
        return None if self._gather_labels is None else self._gather_labels(step, rows)


def fits_on_device(items: NDArray[Any], device: torch.device) -> bool:
    """Return True if the device is a GPU and the items take at most half of its free memory."""
    return device.type == "cuda" and items.nbytes <= torch.cuda.mem_get_info(device)[0] / 2


def on_device(items: NDArray[Any], index: IndexFn, device: torch.device) -> GatherFn:
    """Copy all items to the device and gather there."""
    stored = torch.from_numpy(items[:0].copy()).new_empty(items.shape, device=device)
    # In chunks, so that a memory map is never in host memory as a whole.
    for rows in row_chunks(len(items), max(1, _CHUNK_BYTES // items[0].nbytes)):
        stored[rows.start : rows.stop] = torch.from_numpy(items[rows.start : rows.stop].copy())
    return lambda step, rows: stored.index_select(0, to_device(pinned(index(step, rows), device), device))


def prefetched(items: NDArray[Any], index: IndexFn, device: torch.device) -> GatherFn:
    """Gather in a thread, a few steps ahead; the thread ends when the returned function is released.

    An error in the thread is raised by the call that requests its step.
    """
    thread = ThreadPoolExecutor(1, "prefetch")
    pending: dict[tuple[int, range], Future[Tensor]] = {}

    def gather_pinned(step: int, rows: range) -> Tensor:
        return pinned(items.take(index(step, rows), axis=0), device)

    def gather(step: int, rows: range) -> Tensor:
        wanted = [(later, rows) for later in range(step, step + 1 + _PREFETCH)]
        for other in pending.keys() - wanted:
            pending.pop(other).cancel()
        for key in wanted:
            if key not in pending:
                pending[key] = thread.submit(gather_pinned, *key)
        return to_device(pending.pop(wanted[0]).result(), device)

    return gather


def pinned(array: NDArray[Any], device: torch.device) -> Tensor:
    """Put an array in pinned memory, from which a copy to a GPU does not block Python."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if device.type == "cuda" else tensor


def to_device(staged: Tensor, device: torch.device) -> Tensor:
    """Copy to the device. PyTorch reuses pinned memory only after the copies from it are complete."""
    return staged.to(device, non_blocking=device.type == "cuda")
