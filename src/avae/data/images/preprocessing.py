"""Settings of preprocessing: size, channels, crop and fit."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from avae.errors import UserError

Fit = Literal["crop", "pad", "squash"]

BACKGROUND = "white"
"""Colour behind transparent parts and of borders, by default."""

FILTER = "lanczos"
"""Pillow's resize filter, antialiased: its support grows with the reduction. A JPEG is first decoded at the
smallest of its built-in scales that is still at least four times as wide and high as the result."""


@dataclass(frozen=True)
class Preprocessing:
    """Size, channels, crop and fit of images. One that already has the size is neither cropped nor resized.

    Attributes:
        size: side of the square result, in pixels.
        channels: 1 for grey, 3 for colour.
        crop: share of the width and of the height to keep, around the centre; in (0, 1].
        fit: method to make the rest square: "crop" keeps its central square, "pad" adds borders, "squash"
            changes its proportions.
        background: colour behind transparent parts and of borders, as Pillow names colours.
        range: "LOW:HIGH", the values that become black and white in a grey picture of more than 8 bits; None:
            0 and 65535. Floating-point pixels are read with a range alone.
    """

    size: int
    channels: int
    crop: float = 1.0
    fit: Fit = "crop"
    background: str = BACKGROUND
    range: str | None = None


@dataclass(frozen=True)
class PreprocessingOverrides:
    """Settings given by the user; None: the data set's default, or as its images suggest."""

    size: int | None = None
    channels: int | None = None
    crop: float | None = None
    fit: Fit | None = None
    background: str | None = None
    range: str | None = None

    def or_else(self, other: "PreprocessingOverrides") -> "PreprocessingOverrides":
        """Return these settings, with unset ones taken from `other`."""
        return replace(other, **{name: value for name, value in vars(self).items() if value is not None})


def parse_range(text: str) -> tuple[float, float]:
    """Return the two numbers of "LOW:HIGH"; raise UserError unless they are finite and rise."""
    low, _, high = text.partition(":")
    try:
        values = float(low), float(high)
    except ValueError:
        values = math.nan, math.nan
    if not -math.inf < values[0] < values[1] < math.inf:
        raise UserError(f"--range {text}: write LOW:HIGH, such as 0:4095")
    return values


def is_range(text: str) -> bool:
    """Return True for a text that `parse_range` takes."""
    try:
        parse_range(text)
    except UserError:
        return False
    return True


def is_colour(text: str) -> bool:
    """Return True for the name of an opaque colour, such as white, #336699 or rgb(51,102,153)."""
    from PIL import ImageColor  # here: help needs no Pillow

    try:
        return len(ImageColor.getrgb(text)) == 3
    except ValueError:
        return False


def earlier_background(fit: str | None) -> str:
    """Return the background of older sets and models: borders were black, and transparent parts white."""
    return "black" if fit == "pad" else BACKGROUND
