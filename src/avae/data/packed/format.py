"""The packed form: a folder with all images of a data set in one memory-mapped array.

images.npy      uint8 (N, H, W, C), the training split first
meta.json       description and origin, see `PackedMetadata`
labels.npy      int32 (N,), if the source has labels
names.jsonl     the images' names, by row, if the source has names
rejected.jsonl  the unreadable images, if any
"""

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import Dataset
from avae.data.images.item import RejectedImage
from avae.data.images.preprocessing import FILTER, Fit, Preprocessing, earlier_background, is_colour, is_range
from avae.errors import UserError
from avae.files import safe_component, write_json
from avae.json_io import Count, convert, decode_json, read_json, read_lines
from avae.numpy_io import read_npy
from avae.shown_text import printable

FORMAT = 1
IMAGES, META, LABELS = "images.npy", "meta.json", "labels.npy"
NAMES, REJECTED = "names.jsonl", "rejected.jsonl"
PROGRESS_FILE = "progress.json"
"""Progress of an unfinished packing; a kill at the very end may leave it in a complete set."""

FILE_NAMES = frozenset({IMAGES, META, LABELS, NAMES, REJECTED, PROGRESS_FILE})


@dataclass(frozen=True)
class SplitSizes:
    """Number of images in each split; the training split comes first."""

    train: Count
    test: Count


@dataclass(frozen=True)
class PackedMetadata:
    """The content of meta.json.

    Attributes:
        name: the name in result files.
        source: the source, as the user named it.
        fingerprint: hash of the source's file names, sizes and times, to detect changes.
        split: number of rows of the training split, then of the test split.
        count: number of images in both splits.
        size, channels, crop, fit, background, range: see `Preprocessing`; older sets name no background.
        checksum: checksum of the pixels, see `avae.data.dataset.checksum`.
        rejected: number of unreadable images.
        classes: names of the labels, by number.
        notes: what was decided about the source or passed over, in words for the user.
        filter: the resize filter.
        format: version of the packed form.
        avae: version of avae that made the set.
    """

    name: str
    source: str
    fingerprint: str
    split: SplitSizes
    count: Count
    size: Annotated[int, msgspec.Meta(ge=1, le=2**16)]
    channels: Literal[1, 3]
    crop: Annotated[float, msgspec.Meta(gt=0, le=1)]
    fit: Fit
    checksum: str
    rejected: Count
    background: str | None = None
    range: str | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    filter: str = FILTER
    format: int = FORMAT
    avae: str = dataclasses.field(default_factory=lambda: version("avae"))

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of the images."""
        background = self.background or earlier_background(self.fit)
        return Preprocessing(self.size, self.channels, self.crop, self.fit, background, self.range)

    def write(self, folder: Path) -> None:
        """Write meta.json, which marks a folder as a packed set."""
        write_json(folder / META, dataclasses.asdict(self))


def is_packed(path: Path) -> bool:
    """Return True if a path is the folder of a packed set."""
    return (path / META).is_file() and (path / IMAGES).is_file()


def read_meta(path: Path) -> PackedMetadata:
    """Read meta.json; raise UserError if it is damaged or of another format.

    The name becomes part of paths, so it is made that of a single file.
    """
    try:
        values = read_json(path / META, dict[str, Any])
        if values.get("format") != FORMAT:
            found = printable(values.get("format"))
            raise UserError(f"{path}: packed in format {found}, not {FORMAT}: pack it again")
        meta = convert(values, PackedMetadata)
        if meta.split.train + meta.split.test != meta.count:
            raise ValueError("its splits do not make up its count")
        if not is_colour(meta.preprocessing.background) or not (meta.range is None or is_range(meta.range)):
            raise ValueError("its background or its range is none")
    except ValueError as error:
        raise UserError(f"{path / META} is damaged ({error}): pack the set again") from None
    return dataclasses.replace(meta, name=safe_component(meta.name))


def open_packed(path: Path) -> Dataset:
    """Memory-map a packed set, read-only; raise UserError if meta.json and images.npy disagree."""
    meta = read_meta(path)
    images = _read_array(path / IMAGES, mapped=True)
    shape = (meta.count, meta.size, meta.size, meta.channels)
    if images.shape != shape or images.dtype != np.uint8:
        raise UserError(
            f"{path}: {IMAGES} holds {images.shape} {images.dtype}, and {META} says {shape}: pack it again"
        )
    labels = read_labels(path)
    return Dataset(
        name=meta.name,
        train=images[: meta.split.train],
        test=images[meta.split.train :],
        checksum=meta.checksum,
        preprocessing=meta.preprocessing,
        test_names=_read_test_names(path, meta),
        labels=None if labels is None else labels[: meta.split.train],
        test_labels=None if labels is None else labels[meta.split.train :],
        classes=() if labels is None else meta.classes,
        rejected=read_rejected(path),
        notes=meta.notes,
    )


def read_labels(path: Path) -> NDArray[np.int32] | None:
    """Return the labels (N,) of a packed set, or None; their names are read_meta(path).classes.

    Raises:
        UserError: they are damaged, or do not fit the images and the classes.
    """
    if not (path / LABELS).is_file():
        return None
    meta, labels = read_meta(path), _read_array(path / LABELS)
    if labels.shape != (meta.count,) or labels.dtype != np.int32:
        raise UserError(
            f"{path}: {LABELS} holds {labels.shape} {labels.dtype}, not a label for each of the "
            f"{meta.count} images: pack it again"
        )
    if len(labels) and (labels.min() < 0 or labels.max() >= len(meta.classes)):
        raise UserError(f"{path}: {LABELS} holds labels of unknown classes: pack it again")
    return labels


def _read_test_names(path: Path, meta: PackedMetadata) -> tuple[str, ...]:
    """Return the names of the test split, or () if the set has no names; raise UserError if damaged."""
    if not (path / NAMES).is_file():
        return ()
    try:
        lines = islice(read_lines(path / NAMES), meta.split.train, meta.count)
        names = tuple(decode_json(line, str) for line in lines)
        if len(names) != meta.split.test:
            raise ValueError("it has too few lines")
    except ValueError as error:
        raise UserError(f"{path / NAMES} is damaged ({error}): pack the set again") from None
    return names


def read_rejected(path: Path) -> tuple[RejectedImage, ...]:
    """Return the images that could not be read when the set was packed; raise UserError if damaged."""
    if not (path / REJECTED).is_file():
        return ()
    try:
        return tuple(decode_json(line, RejectedImage) for line in read_lines(path / REJECTED))
    except ValueError as error:
        raise UserError(f"{path / REJECTED} is damaged ({error}): pack the set again") from None


def _read_array(path: Path, mapped: bool = False) -> NDArray[Any]:
    try:
        return read_npy(path, mapped=mapped)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): pack the set again") from None
