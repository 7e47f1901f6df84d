"""Sources of images to pack, and the description of a published data set."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avae.data.images.item import Item, RejectedImage
from avae.data.images.preprocessing import Fit


@dataclass(frozen=True)
class ImageSource:
    """Images to pack, by row. They are read one at a time, unless all are stored in one file.

    Attributes:
        name: the name in result files.
        train, test: number of images in each split, unreadable ones included.
        read: start -> the items of both splits, from position `start` of the reading order, which is the
            fastest one and always the same; each row occurs once.
        suggest_size: () -> the (size, channels) that the images suggest.
        held_out: True if the source has no test split and one was held out.
        classes: names of the labels; empty if there are none.
        labels: int32 (train + test,), by row; None if there are none.
        names: the images' names, by row; empty if their files hold no names.
        rejected: images rejected without being read; they have no row.
        notes: what was decided about the source or passed over, in words for the user.
    """

    name: str
    train: int
    test: int
    read: Callable[[int], Iterator[Item]]
    suggest_size: Callable[[], tuple[int, int]]
    held_out: bool = False
    classes: tuple[str, ...] = ()
    labels: NDArray[np.int32] | None = None
    names: Sequence[str] = ()
    rejected: tuple[RejectedImage, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedDataset:
    """A published data set, known by name and recognised by its files.

    Attributes:
        name: its name after `--data`.
        expected_files: the files that `find` looks for, in words.
        find: path -> the files and folders of the data set there, or None if it is not there. It compares
            names only. A packed set is up to date while these files are unchanged.
        open: (result of `find`, scratch folder) -> the source. Archives are extracted to the scratch
            folder. Raises UserError.
        fetch: folder -> None: downloads the data set, or raises UserError with the files to get, their
            address and the folder to put them in. None: avae does not download it.
        no_fetch: without `fetch`: the reason, the files to get and their address.
        size, channels, crop, fit: the paper's preprocessing.
    """

    name: str
    expected_files: str
    find: Callable[[Path], tuple[Path, ...] | None]
    open: Callable[[tuple[Path, ...], Path], ImageSource]
    fetch: Callable[[Path], Any] | None
    size: int
    channels: int = 3
    crop: float = 1.0
    fit: Fit = "crop"
    no_fetch: str = ""
