"""One image on its way into a packed set: its content, or the reason why there is none."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
)


class UnreadableError(ValueError):
    """A picture that cannot be used; the message is a short reason, fit for `Rejected`."""


def one_line(error: Exception) -> str:
    """Return an exception's message, short enough for a table."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= 120 else message[:117] + "..."


ImageContent = bytes | Path | NDArray[np.uint8] | Image.Image | UnreadableError
"""A picture: the bytes of its file, where that lies, pixels (H, W) or (H, W, C), or why there is none."""


@dataclass(frozen=True)
class RejectedImage:
    """A picture that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Item:
    """One picture of a source.

    Attributes:
        row: its place among all, the training split first.
        name: to tell it by, in rejected.jsonl.
        content: what there is of it.
    """

    row: int
    name: str
    content: ImageContent
