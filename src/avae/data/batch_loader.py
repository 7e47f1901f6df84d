"""Batches for training, from an array that may be larger than memory."""

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
_PIECE_BYTES = 2**26

IndexFn = Callable[[int, range], NDArray[np.int64]]
"""(step, rows of its batch) -> item numbers."""

GatherFn = Callable[[int, range], Tensor]
"""(step, rows of its batch) -> these items on the device, as they are stored, in a tensor of their own."""


class BatchLoader:
    """The batches of a run.

    Args:
        items: uint8 images (N, H, W, C), which may be a read-only memory map, or float32 points (N, F).
        device: where batches are wanted. A GPU with room for all items gets them once; otherwise a thread
            gathers the coming steps.
        seed: of the order and of the flips.
        batch_size: of all processes together.
        flip: mirror each image, left to right, with probability 1/2.

    Raises:
        ValueError: flips of points.
    """

    def __init__(
        self, items: NDArray[Any], device: torch.device, seed: int, batch_size: int, flip: bool = False
    ) -> None:
        if flip and items.ndim != 4:
            raise ValueError(f"flip: items of shape {items.shape[1:]} are no images")
        self.device, self.seed, self.batch_size, self.flip = device, seed, batch_size, flip
        # Indexing is slower on the subclass np.memmap.
        items = np.asarray(items)
        order = EpochShuffler(len(items), seed)

        def places(step: int, rows: range) -> NDArray[np.int64]:
            return order.batch(step, batch_size)[rows.start : rows.stop]

        choice = on_device if fits_on_device(items, device) else prefetched
        self._source = choice(items, places, device)

    def batch(self, step: int, rows: range) -> Tensor:
        """Return some rows of a step's batch: a function of (seed, step, rows).

        Args:
            rows: a part of range(batch_size), such as this process's share.

        Returns:
            float32 (len(rows), C, H, W) in [-1, 1], channels last in memory, or points (len(rows), F).
        """
        items = self._source(step, rows)
        if self.flip:
            mirrored = rng(self.seed, "flip", step).random(self.batch_size) < 0.5
            chosen = np.arange(len(rows)) + len(rows) * mirrored[rows.start : rows.stop]
            # To make both and choose takes a third of the time of assigning to some rows.
            both = torch.cat([items, items.flip(2)])
            items = both.index_select(0, _to_device(_pinned(chosen, self.device), self.device))
        return to_float_images(items)


def fits_on_device(items: NDArray[Any], device: torch.device) -> bool:
    """Return whether the device is a GPU on which the items leave half of the free memory to the model."""
    return device.type == "cuda" and items.nbytes <= torch.cuda.mem_get_info(device)[0] / 2


def on_device(items: NDArray[Any], places: IndexFn, device: torch.device) -> GatherFn:
    """Copy all items to the device and gather there."""
    whole = torch.from_numpy(items[:0].copy()).new_empty(items.shape, device=device)
    # In pieces, so that a memory map is never in host memory as a whole.
    for rows in row_chunks(len(items), max(1, _PIECE_BYTES // items[0].nbytes)):
        whole[rows.start : rows.stop] = torch.from_numpy(items[rows.start : rows.stop].copy())
    return lambda step, rows: whole.index_select(0, _to_device(_pinned(places(step, rows), device), device))


def prefetched(items: NDArray[Any], places: IndexFn, device: torch.device) -> GatherFn:
    """Gather in a thread, a few steps ahead; it ends after the last reference to what is returned.

    What goes wrong in the thread is raised by the call that asks for that step.
    """
    thread = ThreadPoolExecutor(1, "feed")
    coming: dict[tuple[int, range], Future[Tensor]] = {}

    def gather(step: int, rows: range) -> Tensor:
        return _pinned(items.take(places(step, rows), axis=0), device)

    def source(step: int, rows: range) -> Tensor:
        wanted = [(later, rows) for later in range(step, step + 1 + _PREFETCH)]
        for other in coming.keys() - wanted:
            coming.pop(other).cancel()
        for key in wanted:
            if key not in coming:
                coming[key] = thread.submit(gather, *key)
        return _to_device(coming.pop(wanted[0]).result(), device)

    return source


def _pinned(array: NDArray[Any], device: torch.device) -> Tensor:
    """Put an array where it can be copied to the device while Python goes on."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if device.type == "cuda" else tensor


def _to_device(staged: Tensor, device: torch.device) -> Tensor:
    """Copy to the device. PyTorch hands pinned memory out again only after the copies from it are done."""
    return staged.to(device, non_blocking=device.type == "cuda")
