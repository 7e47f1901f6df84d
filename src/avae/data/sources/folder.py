"""Anybody's pictures as a source: the splits, labels and hold-out of a folder or an archive."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from avae.data.images.archives import TAR_SUFFIXES, ImageCollection, open_collection, read_bytes
from avae.data.images.decode import probe
from avae.data.images.item import Item, RejectedImage, UnreadableError
from avae.data.sources.holdout import hold_out
from avae.data.sources.source import ImageSource

SIZES = (16, 32, 64)
"""What `survey` chooses from."""

_TRAIN = "train"
_TEST = ("test", "val", "valid", "validation")  # the first one there is the test split
_SAMPLE = 200


def open_folder(path: Path, seed: int) -> ImageSource:
    """Present the pictures of a folder or an archive.

    The splits are the folders `train` and `test` (or `val`, `valid`, `validation`) at the top or inside
    folders that hold all the rest; pictures beside them are rejected. Without a test folder, a tenth of the
    pictures (at least 1, at most 10,000) is held out. The folders inside a split, or at the top, are labels.

    Args:
        seed: of the hold-out.

    Raises:
        UserError: as `open_pictures`.
    """
    pictures = open_collection(path)
    train, test = split_names(pictures.names)
    rejected = pictures.rejected + _outside_splits(pictures.names, train + test)
    held_out = not test
    if held_out:
        train, test = ([train[i] for i in places] for places in hold_out(len(train), seed))
    names = train + test
    classes, labels = _labels(names)
    rows = {name: row for row, name in enumerate(names)}
    order = pictures.reading_order(names)

    def read(start: int) -> Iterator[Item]:
        for name, content in pictures.read(order[start:]):
            yield Item(rows[name], name, content)

    return ImageSource(
        name=source_name(path),
        train=len(train),
        test=len(test),
        read=read,
        suggest_size=lambda: _suggest_size_and_channels(pictures, sorted(names)),
        held_out=held_out,
        classes=classes,
        labels=labels,
        rejected=rejected,
    )


def split_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Divide sorted names into those of the training and of the test folder, each sorted.

    Returns:
        All names and none, if there is no training folder.
    """
    depth = _wrapper_depth(names)
    tops = [_folder(name, depth).lower() for name in names]
    if _TRAIN not in tops:
        return names, []
    test = next((top for top in _TEST if top in tops), None)
    return (
        [name for name, top in zip(names, tops, strict=True) if top == _TRAIN],
        [name for name, top in zip(names, tops, strict=True) if top == test],
    )


def source_name(path: Path) -> str:
    """Return the name of a folder, or of an archive without its extension."""
    name = path.resolve().name
    if path.is_dir():
        return name
    ending = next(
        (suffix for suffix in (".zip", *TAR_SUFFIXES) if name.lower().endswith(suffix)), path.suffix
    )
    return name[: len(name) - len(ending)]


def _outside_splits(names: list[str], used: list[str]) -> tuple[RejectedImage, ...]:
    """Name what lies beside the folders of the splits."""
    return tuple(
        RejectedImage(name, "beside the folders of the splits") for name in sorted(set(names) - set(used))
    )


def _labels(names: list[str]) -> tuple[tuple[str, ...], NDArray[np.int32] | None]:
    """Return the class folders, and each name's; nothing, unless every picture is in one of several."""
    depth = _wrapper_depth(names)
    splits = {_TRAIN, *_TEST} & {_folder(name, depth).lower() for name in names}
    folders = [_folder(name, depth + bool(splits)) for name in names]
    classes = tuple(sorted(set(folders)))
    if len(classes) < 2 or "" in classes:
        return (), None
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, np.array([numbers[folder] for folder in folders], dtype=np.int32)


def _wrapper_depth(names: list[str]) -> int:
    """Return how many folders wrap all of the names, down to that of a split."""
    depth = 0
    while True:
        tops = {_folder(name, depth).lower() for name in names}
        if len(tops) != 1 or tops & {"", _TRAIN, *_TEST}:
            return depth
        depth += 1


def _folder(name: str, depth: int) -> str:
    """Return the folder of a name at this depth; empty for a file."""
    folders = name.split("/")[:-1]
    return folders[depth] if depth < len(folders) else ""


def _suggest_size_and_channels(pictures: ImageCollection, names: list[str]) -> tuple[int, int]:
    """Choose size and channels by a sample spread evenly over the names: a class may differ from the next.

    Returns:
        The largest of `SIZES` that enlarges at most half of the sample; 1 channel if all of it is grey.
    """
    stride = -(-len(names) // _SAMPLE)
    for start in range(stride):
        probes = _probes(pictures, names[start::stride])
        if probes:
            shorter = median(side for side, _ in probes)
            size = max((size for size in SIZES if size <= shorter), default=SIZES[0])
            return size, 1 if all(grey for _, grey in probes) else 3
    return SIZES[0], 3  # nothing can be read, as decoding will tell


def _probes(pictures: ImageCollection, names: list[str]) -> list[tuple[int, bool]]:
    """Return (shorter side, grey) of the readable pictures among those named."""
    found = []
    for _, content in pictures.read(names):
        try:
            found.append(probe(read_bytes(content)))
        except UnreadableError:
            continue
    return found
