"""Facts about a field of a config, declared beside it as metadata of its annotation.

Without any, a field changes what is trained: a resumed run must not change it, and all runs of a table share
it. So a field that somebody adds and says nothing of is held to the strictest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from avae.recipes.frameworks import Part


class Fact(Enum):
    """What may be said of a field without a number."""

    FREE = auto()
    """It changes nothing that is trained, but by rounding and unless a run collapses: a resumed run may
    change it, and the runs of a table may differ in it."""
    GROWS = auto()
    """A resumed run may raise it."""
    OF_RUN = auto()
    """Each run of a table has its own."""
    OF_ROW = auto()
    """Each row of a table has its own."""
    OF_DATA = auto()
    """The data decide it where it is left open; each column of a table has its own."""
    ARCHITECTURE = auto()
    """A saved model needs it, to be built again and to prepare pictures for it."""


@dataclass(frozen=True)
class Check:
    """A condition on a value.

    Attributes:
        holds: whether a value, other than None, meets it.
        remedy: what to say of one that does not.
    """

    holds: Callable[[Any], bool]
    remedy: str


def at_least(least: int) -> Check:
    """Require a finite number from `least` up."""
    return Check(lambda value: least <= value < float("inf"), f"must be {least} or more")


POSITIVE = Check(lambda value: 0 < value < float("inf"), "must be positive")
SHARE = Check(lambda value: 0 < value <= 1, "must be a share above 0, up to 1")
DECAY = Check(lambda value: 0 <= value < 1, "must be 0 or more, and below 1")


@dataclass(frozen=True)
class Needs:
    """A field that means something only for frameworks with a part.

    Attributes:
        part: which.
        refused: whether other frameworks refuse it where it is on; they ignore it else.
    """

    part: Part
    refused: bool = False


@dataclass(frozen=True)
class TableFlag:
    """A field that `avae table1` has a flag for, with its help there."""

    help: str
