"""LSUN bedroom, from its published LMDB folders: the whole frame squashed to 64 px.

Three million images (43 GB) are streamed. The test split is the published validation folder of 300 images;
without it, up to 10,000 images are held out.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avae.data.images.item import Item
from avae.data.sources.adapters import AS_PUBLISHED, HELD_OUT
from avae.data.sources.files import existing, find_first, sibling_if_exists
from avae.data.sources.holdout import hold_out
from avae.data.sources.lmdb_reader import count_entries, read_entries
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.errors import UserError

_NAME, _SIZE = "bedroom", 64
_TRAIN, _VAL = "bedroom_train_lmdb", "bedroom_val_lmdb"
_URL = "http://dl.yf.io/lsun/scenes"


def _find(path: Path) -> tuple[Path, ...] | None:
    """Find the training folder, and the validation folder beside it, which may be missing."""
    train = find_first(path, _TRAIN)
    return None if train is None else existing(train, sibling_if_exists(train, _VAL))


def _open(found: tuple[Path, ...], scratch: Path) -> ImageSource:
    """Count the images and assign a row to each position."""
    counts = [count_entries(folder) for folder in found]
    held_out = len(found) == 1
    train, test = hold_out(counts[0], 0) if held_out else np.split(np.arange(sum(counts)), counts[:1])
    if not (len(train) and len(test)):
        raise UserError(f"{found[0].parent}: too few pictures in {_NAME}; get the whole set")
    rows = np.empty(sum(counts), dtype=np.int64)
    rows[np.concatenate([train, test])] = np.arange(sum(counts))

    def read(start: int) -> Iterator[Item]:
        for position, (name, value) in enumerate(_read_from(found, counts, start), start):
            yield Item(int(rows[position]), name, value)

    notes = (f"splits: {HELD_OUT if held_out else AS_PUBLISHED}",)
    return ImageSource(_NAME, len(train), len(test), read, lambda: (_SIZE, 3), held_out, notes=notes)


def _read_from(folders: tuple[Path, ...], counts: list[int], start: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name, file bytes) of one folder after the other, from a position on."""
    for folder, count in zip(folders, counts, strict=True):
        if start < count:
            for key, value in read_entries(folder, start):
                yield f"{folder.name}/{key.decode(errors='replace')}", value
        start = max(0, start - count)


BEDROOM = PublishedDataset(
    name=_NAME,
    expected_files=f"the folder {_TRAIN}, and {_VAL} beside it",
    find=_find,
    open=_open,
    fetch=None,
    size=_SIZE,
    fit="squash",
    no_fetch=(
        f"is too large to be downloaded by avae; get {_URL}/{_TRAIN}.zip (43 GB) and {_URL}/{_VAL}.zip, "
        "unzip both"
    ),
)
