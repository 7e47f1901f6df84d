"""Make a source from a folder or an archive, with its splits and labels."""

from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from avae.data.images.archives import TAR_SUFFIXES, ImageCollection, open_collection, read_bytes
from avae.data.images.decode import probe
from avae.data.images.item import RejectedImage, UnreadableError
from avae.data.sources.adapters import source_from_names
from avae.data.sources.holdout import hold_out
from avae.data.sources.source import ImageSource
from avae.data.sources.splits import AUTOMATIC, SplitFolders, find_splits, splits_by_hand

SIZES = (16, 32, 64)
"""Sizes to suggest, in pixels."""

_SAMPLE = 200


def open_folder(path: Path, seed: int, folders: SplitFolders = AUTOMATIC) -> ImageSource:
    """Return a source of the images of a folder or an archive.

    The splits are those of `find_splits`, or `folders`; images outside them are rejected. Without a test
    folder, a tenth of the images (at least 1, at most 10,000) is held out. The folders inside a split, or at
    the top, are labels.

    Args:
        seed: seed of the hold-out.
        folders: the folders of the splits that the user names.

    Raises:
        UserError: as `open_collection` and `splits_by_hand`.
    """
    collection = open_collection(path, folders.names)
    splits = (
        splits_by_hand(collection.names, folders, str(path)) if folders else find_splits(collection.names)
    )
    train, test, decision = splits.train, splits.test, splits.decision
    outside = sorted(set(collection.names) - {*train, *test})
    held_out = not test
    if held_out:
        train, test = ([train[i] for i in rows] for rows in hold_out(len(train), seed))
        decision = f"{decision}; a tenth is held out to test on"
    classes, labels = _labels([splits.class_path(name) for name in train + test])
    return source_from_names(
        source_name(path),
        lambda: _suggest_size_and_channels(collection, sorted(train + test)),
        collection,
        train,
        test,
        tuple(RejectedImage(name, "beside the folders of the splits") for name in outside),
        held_out,
        classes,
        labels,
        decision,
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


def _labels(paths: list[str]) -> tuple[tuple[str, ...], NDArray[np.int32] | None]:
    """Return the class names and int32 labels (N,); ((), None) unless every image is in one of 2 or more."""
    depth = _wrapper_depth(paths)
    folders = [_folder(path, depth) for path in paths]
    classes = tuple(sorted(set(folders)))
    if len(classes) < 2 or "" in classes:
        return (), None
    numbers = {name: number for number, name in enumerate(classes)}
    return classes, np.array([numbers[folder] for folder in folders], dtype=np.int32)


def _wrapper_depth(paths: list[str]) -> int:
    """Return the number of folders that contain all paths."""
    depth = 0
    while True:
        tops = {_folder(path, depth) for path in paths}
        if len(tops) != 1 or "" in tops:
            return depth
        depth += 1


def _folder(name: str, depth: int) -> str:
    """Return the folder of a name at a depth; "" if the name has fewer folders."""
    folders = name.split("/")[:-1]
    return folders[depth] if depth < len(folders) else ""


def _suggest_size_and_channels(collection: ImageCollection, names: list[str]) -> tuple[int, int]:
    """Suggest a size and channels from evenly spaced images, since classes may differ.

    Returns:
        The largest of `SIZES` that enlarges at most half of the sample; 1 channel if all of it is grey.
    """
    stride = -(-len(names) // _SAMPLE)
    for start in range(stride):
        probes = _probes(collection, names[start::stride])
        if probes:
            shorter = median(side for side, _ in probes)
            size = max((size for size in SIZES if size <= shorter), default=SIZES[0])
            return size, 1 if all(grey for _, grey in probes) else 3
    return SIZES[0], 3  # nothing can be read; decoding reports it


def _probes(collection: ImageCollection, names: list[str]) -> list[tuple[int, bool]]:
    """Return (shorter side, True if grey) of each readable image."""
    found = []
    for _, content in collection.read(names):
        try:
            found.append(probe(read_bytes(content)))
        except UnreadableError:
            continue
    return found
