"""What training and evaluation read: two arrays and where they came from."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.noise import generator


@dataclass(frozen=True)
class Rejected:
    """A picture that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """A training and a test split in memory.

    Attributes:
        name: what to call it in a result file.
        train, test: uint8 images (N, H, W, C), or float32 points (N, F).
        checksum: of both arrays, see `checksum`.
        rejected: pictures left out of either split.
    """

    name: str
    train: NDArray[Any]
    test: NDArray[Any]
    checksum: str
    rejected: tuple[Rejected, ...] = ()

    @property
    def holds_images(self) -> bool:
        """Whether an item is an image rather than a point."""
        return self.train.ndim == 4


def checksum(*arrays: NDArray[np.generic]) -> str:
    """Return "sha256:..." of the arrays' shapes, types and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"sha256:{digest.hexdigest()}"


def spread(items: NDArray[Any], count: int) -> NDArray[Any]:
    """Return up to `count` items evenly spread: pictures lie class by class in many folders."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    chosen: NDArray[Any] = items[places]
    return chosen


def as_tensor(items: NDArray[np.generic], device: torch.device | str = "cpu") -> Tensor:
    """Move items to the device as a model sees them.

    Args:
        items: uint8 images (N, H, W, C) or float32 points (N, F).

    Returns:
        float32 (N, C, H, W) in [-1, 1], channels last in memory, or the points unchanged.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(items)).to(device)
    if tensor.dtype == torch.uint8:
        return tensor.permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor


def as_images(tensor: Tensor) -> NDArray[np.uint8]:
    """Turn float (N, C, H, W) in [-1, 1] into uint8 (N, H, W, C), rounding to the nearest level."""
    levels = ((tensor.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    array: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return array


class ShuffledOrder:
    """An endless order of items, shuffled anew every epoch: a function of (seed, step) alone.

    Every run of `count` consecutive draws that starts at an epoch holds each item once; batches run
    across the border of epochs.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._epochs: dict[int, NDArray[np.int64]] = {}

    def batch(self, step: int, size: int) -> NDArray[np.int64]:
        """Return the item numbers of step `step`."""
        places = np.arange(step * size, (step + 1) * size)
        epochs, offsets = np.divmod(places, self.count)
        self._keep(range(int(epochs[0]), int(epochs[-1]) + 1))
        return np.array([self._epochs[int(e)][o] for e, o in zip(epochs, offsets, strict=True)])

    def _keep(self, epochs: range) -> None:
        """Hold the permutations of these epochs and forget the others."""
        self._epochs = {
            epoch: self._epochs[epoch]
            if epoch in self._epochs
            else generator(self.seed, "order", epoch).permutation(self.count)
            for epoch in epochs
        }
