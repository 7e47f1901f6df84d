"""FFHQ: faces at 256 px, split by number as by its authors."""

import re
from pathlib import Path, PurePosixPath

from avae.data.images.archives import open_collection
from avae.data.images.item import RejectedImage
from avae.data.sources.adapters import require_both_splits, source_from_names
from avae.data.sources.files import existing, find_first
from avae.data.sources.holdout import hold_out
from avae.data.sources.source import ImageSource, PublishedDataset

_NAME, _SIZE = "ffhq", 256
_FULL, _THUMBNAILS = "images1024x1024", "thumbnails128x128"
_NAMES = (f"{_FULL}.zip", _FULL, f"{_THUMBNAILS}.zip", _THUMBNAILS)
_FIRST_TEST = 60_000


def _find(path: Path) -> tuple[Path, ...] | None:
    """Find the full images or, if they are missing, the thumbnails."""
    return existing(find_first(path, *_NAMES)) or None


def _open(found: tuple[Path, ...], scratch: Path) -> ImageSource:
    """List the images by number; none is extracted. Hold out a tenth if all are of the training split."""
    collection = open_collection(found[0])
    numbers = {name: number for name in collection.names if (number := _number(name)) is not None}
    unnumbered = tuple(
        RejectedImage(name, "its name is not one of 00000 to 69999")
        for name in collection.names
        if name not in numbers
    )
    names = sorted(numbers, key=numbers.__getitem__)
    train = [name for name in names if numbers[name] < _FIRST_TEST]
    test = names[len(train) :]
    held_out = not test
    if held_out:
        train, test = ([names[i] for i in rows] for rows in hold_out(len(names), 0))
    require_both_splits(_NAME, collection, train, test)
    return source_from_names(_NAME, lambda: (_SIZE, 3), collection, train, test, unnumbered, held_out)


def _number(name: str) -> int | None:
    """Return the number of an image such as `00000/00012.png`, or None."""
    stem = PurePosixPath(name).stem
    return int(stem) if re.fullmatch("[0-6][0-9]{4}", stem) else None


FFHQ = PublishedDataset(
    name=_NAME,
    expected_files=f"{_FULL} or {_THUMBNAILS}, a folder or a .zip",
    find=_find,
    open=_open,
    fetch=None,
    size=_SIZE,
    no_fetch=(
        f"is not downloaded by avae; get {_FULL} (89 GB) or {_THUMBNAILS} (2 GB) "
        "from https://github.com/NVlabs/ffhq-dataset"
    ),
)
