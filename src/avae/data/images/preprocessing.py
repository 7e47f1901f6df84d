"""How any picture becomes one of a set: what is kept of it, how it is made to fit, by which filter."""

from dataclasses import dataclass, replace
from typing import Literal

Fit = Literal["crop", "pad", "squash"]

FILTER = "lanczos"
"""Of Pillow: antialiased, its support grown by the reduction. A JPEG is first decoded at the smallest of its
own scales that leaves four pixels or more, across, for one of the result."""


@dataclass(frozen=True)
class Preprocessing:
    """How pictures are prepared, in this order. One of that size already is taken as it is.

    Attributes:
        size: pixels across of the square result.
        channels: 1 for grey, 3 for colour.
        crop: share of the width and of the height that is kept, around the centre; in (0, 1].
        fit: what makes the rest square: "crop" keeps its central square, "pad" adds black borders, "squash"
            changes its proportions.
    """

    size: int
    channels: int
    crop: float = 1.0
    fit: Fit = "crop"


@dataclass(frozen=True)
class PreprocessingOverrides:
    """What a user asks of a preparation; None: as the set's own, or as its pictures suggest."""

    size: int | None = None
    channels: int | None = None
    crop: float | None = None
    fit: Fit | None = None

    def or_else(self, other: "PreprocessingOverrides") -> "PreprocessingOverrides":
        """Return what is asked here, completed by what is asked there."""
        return replace(other, **{name: value for name, value in vars(self).items() if value is not None})
