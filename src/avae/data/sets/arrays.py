"""A set that comes as arrays: its source hands out their rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avae.data.source import Item, Source


def array_source(
    name: str,
    train: NDArray[np.uint8],
    test: NDArray[np.uint8],
    labels: Sequence[ArrayLike] = (),
    classes: Sequence[str] = (),
) -> Source:
    """Present two arrays of square pictures.

    Args:
        train, test: (N, H, W, C), not copied.
        labels: those of `train`, then those of `test`, if there are any.
    """

    def read(start: int) -> Iterator[Item]:
        for row in range(start, len(train) + len(test)):
            yield _item(row, train, test)

    return Source(
        name=name,
        train=len(train),
        test=len(test),
        read=read,
        survey=lambda: (train.shape[2], train.shape[3]),
        classes=tuple(classes),
        labels=np.concatenate([np.asarray(part, dtype=np.int32) for part in labels]) if labels else None,
    )


def _item(row: int, train: NDArray[np.uint8], test: NDArray[np.uint8]) -> Item:
    if row < len(train):
        return Item(row, f"train/{row}", train[row])
    place = row - len(train)
    return Item(row, f"test/{place}", test[place])
