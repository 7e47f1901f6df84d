"""Facts about a field of a config, declared as metadata of its annotation.

A field without facts is under the strictest rules: it changes what is trained, so a resumed run must not
change it, and all runs of a table must share it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from avae.data.images.preprocessing import is_colour, is_range
from avae.recipes.frameworks import Part


class Fact(Enum):
    """Facts without parameters."""

    MAY_CHANGE = auto()
    """A resumed run may change it, and the runs of a table may differ in it: what is trained stays the same,
    rounding and the response to a collapse apart."""
    MAY_GROW = auto()
    """A resumed run may raise it."""
    PER_RUN = auto()
    """Each run of a table has its own value."""
    PER_ROW = auto()
    """Each row of a table has its own value."""
    FROM_DATA = auto()
    """The data determine it by default; each column of a table has its own value."""
    ARCHITECTURE = auto()
    """A saved model needs it, to rebuild its networks and to preprocess images for them."""
    PATH = auto()
    """It may name a file or folder of the machine that trains, so a model folder, which travels, omits it."""


@dataclass(frozen=True)
class Check:
    """A condition on a value.

    Attributes:
        holds: function that returns True for an accepted value; never called with None.
        remedy: end of the error message for other values.
    """

    holds: Callable[[Any], bool]
    remedy: str


def at_least(least: int) -> Check:
    """Return a check for a finite number, `least` or more."""
    return Check(lambda value: least <= value < float("inf"), f"must be {least} or more")


def _is_counts(counts: dict[str, int]) -> bool:
    return not counts or (all(0 <= count < 2**53 for count in counts.values()) and any(counts.values()))


COUNTS = Check(_is_counts, "must be numbers of items")
POSITIVE = Check(lambda value: 0 < value < float("inf"), "must be positive")
COLOUR = Check(is_colour, "name a colour, such as white, black or #336699")
RANGE = Check(is_range, "write LOW:HIGH, such as 0:4095")
SHARE = Check(lambda value: 0 < value <= 1, "must be a share above 0, up to 1")
DECAY = Check(lambda value: 0 <= value < 1, "must be 0 or more, and below 1")


@dataclass(frozen=True)
class Needs:
    """A field that has an effect only for frameworks with a part.

    Attributes:
        part: the part.
        refused: True if other frameworks reject a value that turns it on; otherwise they ignore it.
    """

    part: Part
    refused: bool = False


@dataclass(frozen=True)
class TableFlag:
    """A field that is also a flag of `avae table1`, with its help there."""

    help: str
