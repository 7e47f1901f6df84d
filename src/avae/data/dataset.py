"""What training and evaluation read: two arrays, and what they are."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.data.images.item import RejectedImage
from avae.data.images.preprocessing import FILTER, Preprocessing


@dataclass(frozen=True)
class Dataset:
    """A training and a test split, in memory or mapped into it from a packed set.

    Attributes:
        name: what to call it in a result file.
        train, test: uint8 images (N, H, W, C), or float32 points (N, F).
        checksum: of both arrays, see `checksum`.
        preparation: how the images were prepared; None for points.
        rejected: pictures left out of either split.
    """

    name: str
    train: NDArray[Any]
    test: NDArray[Any]
    checksum: str
    preparation: Preprocessing | None = None
    rejected: tuple[RejectedImage, ...] = ()

    @property
    def preprocessing_info(self) -> dict[str, Any] | None:
        """How the images were prepared, and by which filter, as result files tell it."""
        return None if self.preparation is None else {**asdict(self.preparation), "filter": FILTER}

    @property
    def is_image_data(self) -> bool:
        """Whether an item is an image rather than a point."""
        return self.train.ndim == 4


def checksum(*arrays: NDArray[np.generic]) -> str:
    """Return "sha256:..." of the arrays' shapes, types and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"sha256:{digest.hexdigest()}"


def evenly_spaced(items: NDArray[Any], count: int) -> NDArray[Any]:
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
    # "W": PyTorch warns of memory it must not write to, such as a read-only map.
    return to_float_images(torch.from_numpy(np.require(items, requirements=["C", "W"])).to(device))


def to_float_images(stored: Tensor) -> Tensor:
    """Convert uint8 images (N, H, W, C) or points as `as_tensor` does; points are returned as they are."""
    if stored.dtype == torch.uint8:
        return stored.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return stored


def as_images(tensor: Tensor) -> NDArray[np.uint8]:
    """Turn float (N, C, H, W) in [-1, 1] into uint8 (N, H, W, C), rounding to the nearest level."""
    levels = ((tensor.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    array: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return array
