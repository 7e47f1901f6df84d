"""Settings of preprocessing: size, channels, crop and fit."""

from dataclasses import dataclass, replace
from typing import Literal

Fit = Literal["crop", "pad", "squash"]

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
        fit: method to make the rest square: "crop" keeps its central square, "pad" adds black borders,
            "squash" changes its proportions.
    """

    size: int
    channels: int
    crop: float = 1.0
    fit: Fit = "crop"


@dataclass(frozen=True)
class PreprocessingOverrides:
    """Settings given by the user; None: the data set's default, or as its images suggest."""

    size: int | None = None
    channels: int | None = None
    crop: float | None = None
    fit: Fit | None = None

    def or_else(self, other: "PreprocessingOverrides") -> "PreprocessingOverrides":
        """Return these settings, with unset ones taken from `other`."""
        return replace(other, **{name: value for name, value in vars(self).items() if value is not None})
