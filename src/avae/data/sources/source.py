"""What can be packed: pictures by row, handed out in the order in which they are read fastest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avae.data.images.item import Item, RejectedImage
from avae.data.images.preprocessing import Fit


@dataclass(frozen=True)
class ImageSource:
    """Pictures on their way to a packed set. None is held in memory, unless they came in one file.

    Attributes:
        name: what result files call it.
        train, test: how many pictures each split has, unreadable ones included.
        read: start -> the items of both splits, in reading order from position `start`; every row comes
            once, and the order is always the same.
        survey: the size and channels its pictures suggest.
        held_out: whether the test split was drawn from the rest for want of one.
        seeks: whether reading from the middle is about as quick as from the start.
        classes: names of the labels; empty without any.
        labels: int32 (train + test,), by row; None without any.
        rejected: pictures already known to be left out, which have no row.
    """

    name: str
    train: int
    test: int
    read: Callable[[int], Iterator[Item]]
    suggest_size: Callable[[], tuple[int, int]]
    held_out: bool = False
    random_access: bool = True
    classes: tuple[str, ...] = ()
    labels: NDArray[np.int32] | None = None
    rejected: tuple[RejectedImage, ...] = ()


@dataclass(frozen=True)
class PublishedDataset:
    """A data set known by name, and found by what its folder holds.

    Attributes:
        name: as `--data` takes it.
        wanted: what `find` looks for, in words.
        find: path -> the files and folders it consists of there, or None if that is no such set. Looks at
            names only. They are what a packed set is compared with to tell whether anything changed.
        open: (what `find` returned, scratch folder) -> the source. What must be unpacked goes to the
            scratch folder. Raises UserError.
        fetch: folder -> None: downloads the set there, or raises UserError that says what to get, where
            from, and where to put it.
        size, channels, crop, fit: how the paper prepares it.
    """

    name: str
    expected_files: str
    find: Callable[[Path], tuple[Path, ...] | None]
    open: Callable[[tuple[Path, ...], Path], ImageSource]
    fetch: Callable[[Path], Any]
    size: int
    channels: int = 3
    crop: float = 1.0
    fit: Fit = "crop"
