"""A set that comes as arrays: its source hands out their rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avae.data.images.archives import ImageCollection
from avae.data.images.item import Item, RejectedImage
from avae.data.sources.source import ImageSource
from avae.errors import UserError


def source_from_arrays(
    name: str,
    train: NDArray[np.uint8],
    test: NDArray[np.uint8],
    labels: Sequence[ArrayLike] = (),
    classes: Sequence[str] = (),
) -> ImageSource:
    """Present two arrays of square pictures.

    Args:
        train, test: (N, H, W, C), not copied.
        labels: those of `train`, then those of `test`, if there are any.
    """

    def read(start: int) -> Iterator[Item]:
        for row in range(start, len(train) + len(test)):
            yield _item(row, train, test)

    return ImageSource(
        name=name,
        train=len(train),
        test=len(test),
        read=read,
        suggest_size=lambda: (train.shape[2], train.shape[3]),
        classes=tuple(classes),
        labels=np.concatenate([np.asarray(part, dtype=np.int32) for part in labels]) if labels else None,
    )


def _item(row: int, train: NDArray[np.uint8], test: NDArray[np.uint8]) -> Item:
    if row < len(train):
        return Item(row, f"train/{row}", train[row])
    place = row - len(train)
    return Item(row, f"test/{place}", test[place])


def source_from_names(
    name: str,
    size: int,
    pictures: ImageCollection,
    train: list[str],
    test: list[str],
    rejected: tuple[RejectedImage, ...],
    held_out: bool = False,
) -> ImageSource:
    """Present the named ones of some pictures.

    Args:
        size: what `survey` tells.
        train, test: names in `pictures`, in the order of their rows.
        rejected: what else was found, beside what `pictures` rejects.

    Raises:
        UserError: a split is empty.
    """
    if not (train and test):
        raise UserError(
            f"{pictures.path}: {len(train)} pictures to train on and {len(test)} to test on are of {name}; "
            "both need one at least: get the whole set"
        )
    names = train + test
    rows = {picture: row for row, picture in enumerate(names)}
    order = pictures.reading_order(names)

    def read(start: int) -> Iterator[Item]:
        for picture, content in pictures.read(order[start:]):
            yield Item(rows[picture], picture, content)

    return ImageSource(
        name=name,
        train=len(train),
        test=len(test),
        read=read,
        suggest_size=lambda: (size, 3),
        held_out=held_out,
        rejected=pictures.rejected + rejected,
    )
