"""The data set that training and evaluation read: two arrays and their description."""

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from avae.data.images.item import RejectedImage
from avae.data.images.preprocessing import FILTER, Preprocessing

if TYPE_CHECKING:  # imported where tensors are made: finding, packing and describing data need no PyTorch
    import torch
    from torch import Tensor


class DataInfo(TypedDict):
    """Description of a data set, as run folders and models store it.

    Attributes:
        preparation: preprocessing of the images; None for points.
        train, test, rejected: number of items.
    """

    name: str
    checksum: str
    preparation: dict[str, int | float | str | None] | None
    train: int
    test: int
    rejected: int


@dataclass(frozen=True)
class Dataset:
    """A training and a test split, in memory or memory-mapped from a packed data set.

    Attributes:
        name: the name in result files.
        train, test: uint8 images (N, H, W, C), or float32 points (N, F).
        checksum: the `checksum` of both arrays.
        preprocessing: how the images were preprocessed; None for points.
        test_names: names of the test images; empty if they have none.
        labels, test_labels: int32 (N,), the class of each item by its number; None without classes.
        classes: names of the classes, by number; empty without labels.
        rejected: unreadable images, missing from both splits.
        notes: what was decided about the data or passed over, in words for the user.
    """

    name: str
    train: NDArray[Any]
    test: NDArray[Any]
    checksum: str
    preprocessing: Preprocessing | None = None
    test_names: tuple[str, ...] = ()
    labels: NDArray[np.int32] | None = None
    test_labels: NDArray[np.int32] | None = None
    classes: tuple[str, ...] = ()
    rejected: tuple[RejectedImage, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def preprocessing_info(self) -> dict[str, Any] | None:
        """The preprocessing and its resize filter, as result files record them; None for points."""
        return None if self.preprocessing is None else {**asdict(self.preprocessing), "filter": FILTER}

    @property
    def is_image_data(self) -> bool:
        """True if an item is an image, False if it is a point."""
        return self.train.ndim == 4


def checksum(*arrays: NDArray[np.generic]) -> str:
    """Return "sha256:..." of the arrays' shapes, types and contents."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return f"sha256:{digest.hexdigest()}"


def evenly_spaced(items: NDArray[Any], count: int) -> NDArray[Any]:
    """Return up to `count` evenly spaced items: many folders are sorted by class."""
    rows = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    chosen: NDArray[Any] = items[rows]
    return chosen


def as_tensor(items: NDArray[np.generic], device: "torch.device | str" = "cpu") -> "Tensor":
    """Move items to the device and convert them to a model's input.

    Args:
        items: uint8 images (N, H, W, C) or float32 points (N, F).

    Returns:
        float32 (N, C, H, W) in [-1, 1], channels last in memory, or the points unchanged.
    """
    import torch

    # "W": PyTorch warns about memory it must not write to, such as a read-only memory map.
    return to_float_images(torch.from_numpy(np.require(items, requirements=["C", "W"])).to(device))


def to_float_images(stored: "Tensor") -> "Tensor":
    """Convert uint8 images (N, H, W, C) as `as_tensor` does; return points unchanged."""
    import torch

    if stored.dtype == torch.uint8:
        return stored.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return stored


def as_images(tensor: "Tensor") -> NDArray[np.uint8]:
    """Convert float (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C), rounding to the nearest level."""
    import torch

    levels = ((tensor.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    array: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return array
