"""From what a user names after `--data` to a data set: a built-in name, a folder, a zip or a tar."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avae.data.archives import TAR_SUFFIXES, Pictures, load_content, open_pictures
from avae.data.dataset import DataSet, Rejected, checksum
from avae.data.decoding import UnreadableError, fit, probe
from avae.data.digits import digits_data
from avae.data.pictures import compact, decode_named
from avae.data.toy import toy_data
from avae.errors import UserError
from avae.noise import generator

BUILT_IN = ("toy", "digits")
SIZES = (16, 32, 64)
HOLDOUT_SHARE, HOLDOUT_LIMIT = 10, 10_000  # one in ten

_TRAIN = "train"
_TEST = ("test", "val", "valid", "validation")  # the first one there is the test split
_SAMPLE = 200

Progress = Callable[[int, int | None], None]


def load_data(
    source: str,
    size: int | None,
    channels: int | None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> DataSet:
    """Load a data set into memory.

    The splits of pictures are the folders `train` and `test` (or `val`, `valid`, `validation`) at the top
    or inside folders that hold all the rest; pictures beside them are listed as rejected. Without a test
    folder, a tenth of the pictures (at least 1, at most 10,000) is held out.

    Args:
        source: "toy", "digits" (write ./toy for a folder of that name), a folder, or an archive.
        size: side of the square pictures; None: the largest of 16, 32 and 64 that enlarges at most half
            of a sample of 200, and 16 for "digits". Ignored for "toy".
        channels: 1 or 3; None: 1 if the whole sample is grey. Ignored for "toy".
        seed: of the hold-out and of "toy"; "digits" has one fixed split.
        on_progress: called with (pictures done, pictures in all, None while they are counted).

    Raises:
        UserError: there is no such source, it is damaged, or holds fewer than two readable pictures.
    """
    if source == "toy":
        return toy_data(seed)
    if source == "digits":
        return _fitted(digits_data(), size or 16, channels or 1)
    if not Path(source).exists():
        raise UserError(_unknown(source))
    if on_progress is not None:
        on_progress(0, None)
    return _from_pictures(open_pictures(Path(source)), size, channels, seed, on_progress)


def _unknown(source: str) -> str:
    """Return what to say of a source that is neither built in nor there."""
    close = get_close_matches(source, BUILT_IN, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"check the path, or use {' or '.join(BUILT_IN)}"
    return f"{source}: no built-in data set, folder or archive of this name; {remedy}"


def _fitted(data: DataSet, size: int, channels: int) -> DataSet:
    """Return the images of `data` at another size and number of channels."""
    if data.train.shape[1:] == (size, size, channels):
        return data
    train, test = (
        np.stack([fit(Image.fromarray(image[..., 0]), size, channels) for image in images])
        for images in (data.train, data.test)
    )
    return DataSet(data.name, train, test, checksum(train, test), data.rejected)


def _from_pictures(
    pictures: Pictures, size: int | None, channels: int | None, seed: int, on_progress: Progress | None
) -> DataSet:
    """Decode and split; see `load_data`."""
    train_names, test_names = split_names(pictures.names)
    names = train_names + test_names
    if size is None or channels is None:
        found_size, found_channels = _survey(pictures, names)
        size, channels = size or found_size, channels or found_channels
    kept, images, rejected = decode_named(pictures, names, size, channels, on_progress)
    if test_names:
        count = len(set(kept) & set(train_names))
        train, test = images[:count], images[count:]
    else:
        train, test = _hold_out(images, seed)
    if not (len(train) and len(test)):
        raise UserError(_too_few(pictures.path, rejected))
    beside = set(pictures.names) - set(names)
    rejected += tuple(Rejected(name, "beside the folders of the splits") for name in sorted(beside))
    return DataSet(_name(pictures.path), train, test, checksum(train, test), rejected)


def split_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Divide sorted names into those of the training and of the test folder, each sorted.

    Returns:
        All names and none, if there is no training folder.
    """
    depth = _depth(names)
    tops = [_folder(name, depth) for name in names]
    if _TRAIN not in tops:
        return names, []
    test = next((top for top in _TEST if top in tops), None)
    return (
        [name for name, top in zip(names, tops, strict=True) if top == _TRAIN],
        [name for name, top in zip(names, tops, strict=True) if top == test],
    )


def _depth(names: list[str]) -> int:
    """Return how many folders wrap all of the names, down to that of a split."""
    depth = 0
    while True:
        tops = {_folder(name, depth) for name in names}
        if len(tops) != 1 or tops & {None, _TRAIN, *_TEST}:
            return depth
        depth += 1


def _folder(name: str, depth: int) -> str | None:
    """Return the folder of a name at this depth, lower case; None for a file."""
    folders = name.split("/")[:-1]
    return folders[depth].lower() if depth < len(folders) else None


def _survey(pictures: Pictures, names: list[str]) -> tuple[int, int]:
    """Choose size and channels by a sample spread evenly over the names: a class may differ from the next."""
    stride = -(-len(names) // _SAMPLE)
    for start in range(stride):
        probes = _probes(pictures, names[start::stride])
        if probes:
            shorter = median(side for side, _ in probes)
            size = max((size for size in SIZES if size <= shorter), default=SIZES[0])
            return size, 1 if all(grey for _, grey in probes) else 3
    return SIZES[0], 3  # nothing can be read, as decoding will tell


def _probes(pictures: Pictures, names: list[str]) -> list[tuple[int, bool]]:
    """Return (shorter side, grey) of the readable pictures among those named."""
    found = []
    for _, content in pictures.read(names):
        try:
            found.append(probe(load_content(content)))
        except UnreadableError:
            continue
    return found


def _hold_out(images: NDArray[np.uint8], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Divide images in the order of their names into training and test, using `images` up."""
    count = min(max(1, len(images) // HOLDOUT_SHARE), HOLDOUT_LIMIT)
    order = generator(seed, "holdout").permutation(len(images))
    test = images[np.sort(order[:count])]
    return compact(images, np.sort(order[count:]).tolist()), test


def _too_few(path: Path, rejected: tuple[Rejected, ...]) -> str:
    """Return what to say when a split has no picture."""
    why = f"; {rejected[0].name}: {rejected[0].reason}" if rejected else ""
    return f"{path}: too few readable pictures, training and test need one each; add some{why}"


def _name(path: Path) -> str:
    """Return the name of a folder, or of an archive without its extension."""
    name = path.resolve().name
    if path.is_dir():
        return name
    ending = next(
        (suffix for suffix in (".zip", *TAR_SUFFIXES) if name.lower().endswith(suffix)), path.suffix
    )
    return name[: len(name) - len(ending)]
