"""A set that comes as picture files, whose splits are lists of their names."""

from collections.abc import Iterator

from avae.data.archives import Pictures
from avae.data.source import Item, Rejected, Source
from avae.errors import UserError


def listed_source(
    name: str,
    size: int,
    pictures: Pictures,
    train: list[str],
    test: list[str],
    rejected: tuple[Rejected, ...],
    held_out: bool = False,
) -> Source:
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

    return Source(
        name=name,
        train=len(train),
        test=len(test),
        read=read,
        survey=lambda: (size, 3),
        held_out=held_out,
        rejected=pictures.rejected + rejected,
    )
