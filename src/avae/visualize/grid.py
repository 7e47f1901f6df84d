"""Draw images side by side, as an array of pixels or as a PNG with labels."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from avae.files import write_atomically
from avae.shown_text import printable

Images = NDArray[np.uint8]

CELL = 64
"""Approximate side of small images in pixels; they are enlarged by a whole factor."""

PADDING = 2

_FONT_SIZE = 14
_NAME_SIZE = 10
_MARGIN = 8


def mosaic(rows: Sequence[Images], cell: int = CELL, gap: int = PADDING, lines: int = 1) -> Images:
    """Place rows of images on a white canvas, enlarged by a whole factor.

    Args:
        rows: arrays uint8 (N, H, W, 1 or 3) of equal H and W; N may differ.
        cell: approximate side of small images, in pixels.
        gap: pixels between two images.
        lines: number of rows in a block; a wider gap separates blocks.

    Returns:
        uint8 (H, W, 3).
    """
    side = max(rows[0].shape[1:3])
    factor = max(1, round(cell / side))
    high, wide = (factor * length for length in rows[0].shape[1:3])
    columns = max(len(row) for row in rows)
    apart = 2 * gap if lines > 1 else 0
    blocks = -(-len(rows) // lines)
    shape = (len(rows) * (high + gap) - gap + (blocks - 1) * apart, columns * (wide + gap) - gap, 3)
    canvas = np.full(shape, 255, dtype=np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            top, left = y * (high + gap) + y // lines * apart, x * (wide + gap)
            canvas[top : top + high, left : left + wide] = image.repeat(factor, 0).repeat(factor, 1)
    return canvas


def grid(
    rows: Sequence[Images], labels: Sequence[str] | None = None, names: Sequence[str] = ()
) -> Image.Image:
    """Draw rows of images as `mosaic` does, with a border, labels at the left and names below.

    Args:
        rows: as for `mosaic`.
        labels: one label for each row.
        names: names of the columns, shortened to their width.

    Returns:
        An RGB image.

    Raises:
        ValueError: there are no images, or the numbers of labels and rows differ.
    """
    if not any(len(row) for row in rows):
        raise ValueError("no images to draw")
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} rows")
    images = mosaic(rows)
    down = (len(images) + PADDING) // len(rows)
    font = ImageFont.load_default(_FONT_SIZE)
    widest = max((font.getlength(label) for label in labels or ()), default=None)
    left = 0 if widest is None else math.ceil(widest) + 2 * _MARGIN
    below = _NAME_SIZE + PADDING if any(names) else 0
    border = ((PADDING, PADDING + below), (left + PADDING, PADDING), (0, 0))
    canvas = Image.fromarray(np.pad(images, border, constant_values=255))
    for y, label in enumerate(labels or ()):
        middle = y * down + PADDING + down // 2
        ImageDraw.Draw(canvas).text((_MARGIN, middle), label, fill="black", font=font, anchor="lm")
    across = (images.shape[1] + PADDING) // max(len(row) for row in rows)
    small = ImageFont.load_default(_NAME_SIZE)
    for x, name in enumerate(names):
        centre = left + PADDING + x * across + across // 2
        place = centre, canvas.height - PADDING
        text = _shortened(printable(name), small, across - PADDING)
        ImageDraw.Draw(canvas).text(place, text, fill="black", font=small, anchor="mb")
    return canvas


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return a text no wider than `width` pixels: without its middle if it is too long."""
    kept = len(text)
    short = text
    while kept > 0 and font.getlength(short) > width:
        kept -= 1
        short = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return short


def sheet(images: Images, columns: int | None = None) -> Image.Image:
    """Draw uint8 images (N, H, W, 1 or 3), row by row, on a sheet that is nearly square by default."""
    columns = columns or max(1, math.ceil(math.sqrt(len(images))))
    return grid([images[start : start + columns] for start in range(0, len(images), columns)])


def png(image: Image.Image) -> bytes:
    """Return the bytes of an image as a PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def save_png(image: Image.Image, path: str | Path) -> None:
    """Write an image as PNG, atomically: a reader never sees a partial file."""
    write_atomically(Path(path), png(image))
