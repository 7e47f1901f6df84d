"""Held-out items: guarantees are void if a model was trained on what they are computed from."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.dataset import Dataset, as_images, as_tensor
from avae.data.pictures import ItemBatch, numbered
from avae.errors import UserError, counted
from avae.rng import rng, row_chunks
from avae.shown_text import printable


@dataclass(frozen=True)
class HeldOut:
    """Held-out items.

    Attributes:
        names: their names.
        items: uint8 images (N, H, W, C) or float32 points (N, F).
        compared: True if none of them is a training item; False if that could not be checked.
        left_out: number of items of the test split that are training items, too, and so are not among them.
    """

    names: Sequence[str]
    items: NDArray[Any]
    compared: bool
    left_out: int = 0

    def chosen(self, count: int) -> "HeldOut":
        """Return up to `count` of them, chosen at random, always the same."""
        rows = np.sort(rng(0, "held out").permutation(len(self.items))[:count])
        return replace(self, names=[self.names[row] for row in rows], items=self.items[rows])

    def batches(self, size: int) -> Iterator[ItemBatch]:
        """Yield the items in the form that a model takes, in batches of up to `size`."""
        for rows in row_chunks(len(self.items), size):
            items = as_tensor(self.items[rows.start : rows.stop])
            yield ItemBatch(list(self.names[rows.start : rows.stop]), items)


def held_out_split(data: Dataset, progress: Progress = SILENT) -> HeldOut:
    """Return the test split of a data set, without what is in the training split, too.

    Args:
        progress: counts the training items, which are compared by content.
    """
    rows = np.setdiff1d(np.arange(len(data.test)), shared_rows(data.test, data.train, progress))
    names = [data.test_names[row] if data.test_names else numbered(row) for row in rows]
    return HeldOut(names, data.test[rows], True, len(data.test) - len(rows))


def held_out_items(
    batches: Iterable[ItemBatch], data: Dataset | None, flag: str, progress: Progress = SILENT
) -> HeldOut:
    """Return given items.

    Args:
        batches: items in the form that a model takes.
        data: the data the model was trained on; None if they are not available.
        flag: the flag that names the items.
        progress: counts the training items, which are compared by content.

    Raises:
        UserError: some of them are training items.
    """
    names, parts = [], []
    for batch in batches:
        names += batch.names
        parts.append(as_images(batch.items) if batch.items.ndim == 4 else batch.items.numpy())
    items = np.concatenate(parts)
    if data is None:
        return HeldOut(names, items, False)
    shared = shared_rows(items, data.train, progress)
    if len(shared):
        raise UserError(
            f"{flag}: {counted(len(shared), 'item')} of {len(items):,}, as {printable(names[shared[0]])}, "
            "the model was trained on, and what it knows says nothing about others: leave them out"
        )
    return HeldOut(names, items, True)


def shared_rows(
    items: NDArray[Any], training: NDArray[Any], progress: Progress = SILENT
) -> NDArray[np.int64]:
    """Return the numbers of the items that are equal, value by value, to one of the training items.

    Args:
        items, training: (N, ...), (M, ...) of one shape and type.
        progress: counts the training items.
    """
    own = list(_digests(items))
    wanted, found = set(own), set()
    for row, digest in enumerate(_digests(training), 1):
        if digest in wanted:
            found.add(digest)
        if row % 1000 == 0 or row == len(training):
            progress.update(row, len(training))
    return np.array([row for row, digest in enumerate(own) if digest in found], np.int64)


def _digests(items: NDArray[Any]) -> Iterator[bytes]:
    for rows in row_chunks(len(items)):  # of what may be mapped from a file, part by part
        for item in np.ascontiguousarray(items[rows.start : rows.stop]):
            yield hashlib.blake2b(item.data, digest_size=16).digest()
