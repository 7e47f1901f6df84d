"""Make sources from arrays, or from names in a collection of images."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avae.data.images.archives import ImageCollection
from avae.data.images.item import Item, RejectedImage
from avae.data.sources.source import ImageSource
from avae.errors import UserError

AS_PUBLISHED, HELD_OUT = "as published", "published without a test split; a tenth is held out to test on"
"""How the splits of a published data set were found."""


def source_from_arrays(
    name: str,
    train: NDArray[np.uint8],
    test: NDArray[np.uint8],
    labels: Sequence[ArrayLike] = (),
    classes: Sequence[str] = (),
) -> ImageSource:
    """Return a source of two arrays of square images.

    Args:
        train, test: uint8 (N, H, W, C), not copied.
        labels: the labels of `train` and those of `test`; empty if there are none.
        classes: names of the labels.
    """

    def read(start: int) -> Iterator[Item]:
        for row in range(start, len(train) + len(test)):
            part, images, i = ("train", train, row) if row < len(train) else ("test", test, row - len(train))
            yield Item(row, f"{part}/{i}", images[i])

    return ImageSource(
        name=name,
        train=len(train),
        test=len(test),
        read=read,
        suggest_size=lambda: (train.shape[2], train.shape[3]),
        classes=tuple(classes),
        notes=(f"splits: {AS_PUBLISHED}",),
        labels=np.concatenate([np.asarray(part, dtype=np.int32) for part in labels]) if labels else None,
    )


def source_from_names(
    name: str,
    suggest_size: Callable[[], tuple[int, int]],
    collection: ImageCollection,
    train: list[str],
    test: list[str],
    rejected: tuple[RejectedImage, ...],
    held_out: bool = False,
    classes: tuple[str, ...] = (),
    labels: NDArray[np.int32] | None = None,
    decision: str = "",
) -> ImageSource:
    """Return a source of named images in a collection.

    Args:
        train, test: names in `collection`, in the order of their rows.
        rejected: images rejected in addition to those of `collection`.
        suggest_size, held_out, classes, labels: see `ImageSource`.
        decision: how the splits were found, in words; by default as published, or held out.
    """
    decision = decision or (HELD_OUT if held_out else AS_PUBLISHED)
    names = train + test
    rows = {image: row for row, image in enumerate(names)}
    order = collection.reading_order(names)

    def read(start: int) -> Iterator[Item]:
        for image, content in collection.read(order[start:]):
            yield Item(rows[image], image, content)

    return ImageSource(
        name=name,
        train=len(train),
        test=len(test),
        read=read,
        suggest_size=suggest_size,
        held_out=held_out,
        classes=classes,
        labels=labels,
        names=names,
        rejected=collection.rejected + rejected,
        notes=tuple(filter(None, (f"splits: {decision}", collection.passed_over_note))),
    )


def require_both_splits(name: str, collection: ImageCollection, train: list[str], test: list[str]) -> None:
    """Raise UserError if a split of a published data set has no images."""
    if not (train and test):
        raise UserError(
            f"{collection.path}: {len(train)} pictures to train on and {len(test)} to test on are of {name}; "
            "both need one at least: get the whole set"
        )
