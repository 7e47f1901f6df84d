"""Pictures side by side, for a look during training and for reports."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from avae.files import write_atomically

CELL = 64  # small pictures are enlarged to about this
PADDING = 2

_FONT_SIZE = 14
_MARGIN = 8


def grid(rows: Sequence[NDArray[np.uint8]], labels: Sequence[str] | None = None) -> Image.Image:
    """Draw rows of pictures on white, each with its label at the left.

    Args:
        rows: uint8 (N, H, W, 1 or 3) each; H and W are the same in all rows, N need not be. Small
            pictures are enlarged a whole number of times, pixel by pixel.
        labels: one for each row.

    Returns:
        An RGB image.

    Raises:
        ValueError: there are no pictures, or not as many labels as rows.
    """
    if not any(len(row) for row in rows):
        raise ValueError("no pictures to draw")
    if labels is not None and len(labels) != len(rows):
        raise ValueError(f"{len(labels)} labels for {len(rows)} rows")
    height, width = rows[0].shape[1:3]
    factor = max(1, round(CELL / max(height, width)))
    across, down = factor * width + PADDING, factor * height + PADDING
    left = _label_width(labels)
    columns = max(len(row) for row in rows)
    canvas = Image.new("RGB", (left + columns * across + PADDING, len(rows) * down + PADDING), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            canvas.paste(_enlarged(picture, factor), (left + x * across + PADDING, y * down + PADDING))
    for y, label in enumerate(labels or ()):
        _write(canvas, label, y * down + PADDING + down // 2)
    return canvas


def sheet(images: NDArray[np.uint8], columns: int | None = None) -> Image.Image:
    """Draw uint8 images (N, H, W, 1 or 3), row by row, on a sheet as near square as can be."""
    columns = columns or max(1, math.ceil(math.sqrt(len(images))))
    return grid([images[start : start + columns] for start in range(0, len(images), columns)])


def png(image: Image.Image) -> bytes:
    """Return the bytes of an image's PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def save_png(image: Image.Image, path: str | Path) -> None:
    """Write a PNG whole or not at all: a reader never sees half a file."""
    write_atomically(Path(path), png(image))


def _enlarged(picture: NDArray[np.uint8], factor: int) -> Image.Image:
    """Repeat every pixel `factor` times in both directions."""
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)


def _label_width(labels: Sequence[str] | None) -> int:
    """Return how many pixels to leave for the labels."""
    if not labels:
        return 0
    font = ImageFont.load_default(_FONT_SIZE)
    return math.ceil(max(font.getlength(label) for label in labels)) + 2 * _MARGIN


def _write(canvas: Image.Image, label: str, middle: int) -> None:
    """Write a label at the left, its middle at this height."""
    font = ImageFont.load_default(_FONT_SIZE)
    ImageDraw.Draw(canvas).text((_MARGIN, middle), label, fill="black", font=font, anchor="lm")
