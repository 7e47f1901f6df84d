"""One image of a source: its content, or the reason why it is unreadable."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class UnreadableError(ValueError):
    """An image that cannot be read; the message is a short reason, as in `RejectedImage`."""


def one_line(error: Exception) -> str:
    """Return an exception's message in one line of at most 120 characters."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= 120 else message[:117] + "..."


ImageContent = bytes | Path | NDArray[np.uint8] | Image.Image | UnreadableError
"""An image: the bytes or path of its file, pixels (H, W) or (H, W, C), or the reason why it is unreadable."""


@dataclass(frozen=True)
class RejectedImage:
    """The name of an unreadable image and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Item:
    """One image of a source.

    Attributes:
        row: its row in the packed array, the training split first.
        name: its name in rejected.jsonl.
        content: its bytes, path or pixels, or the reason why it is unreadable.
    """

    row: int
    name: str
    content: ImageContent
