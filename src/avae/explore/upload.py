"""Read pictures that a visitor has handed over: any bytes may come."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avae.data.images.decode import prepare
from avae.data.images.item import UnreadableError
from avae.data.images.preprocessing import Preprocessing
from avae.errors import UserError
from avae.explore.explored import Pictures
from avae.shown_text import printable

MAX_BYTES = 64 * 2**20
"""Largest file that is taken."""

MAX_FILES = 500
"""Maximum number of files of one set."""


def read_picture(path: str, to: Preprocessing) -> Pictures:
    """Return an uploaded picture as a model takes it, uint8 (H, W, C), and delete the file.

    Raises:
        UserError: it is no picture, or cannot be decoded; a sentence for the page.
    """
    file = Path(path)
    name = printable(file.name)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UserError(f"{name} is larger than {MAX_BYTES // 2**20} MB: choose a smaller copy.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about metadata
            return prepare(file, to).pixels
    except FileNotFoundError:  # Gradio stores equal files of two visitors once
        raise UserError(f"{name} is gone: choose it again.") from None
    except UnreadableError as error:
        reason = "it is damaged" if error.__cause__ else error  # a decoder's words help nobody here
        raise UserError(
            f"{name} cannot be read as a picture ({reason}): convert it to PNG or JPEG."
        ) from None
    finally:
        file.unlink(missing_ok=True)


def read_pictures(paths: Sequence[str], to: Preprocessing) -> Pictures:
    """Return the uploaded pictures of a set, uint8 (N, H, W, C), and delete the files.

    Raises:
        UserError: there are none or too many, or one cannot be read; a sentence for the page.
    """
    try:
        if not 1 <= len(paths) <= MAX_FILES:
            raise UserError(f"A set has 1 to {MAX_FILES} pictures, and these are {len(paths)}.")
        return np.stack([read_picture(path, to) for path in paths])
    finally:
        for path in paths:
            Path(path).unlink(missing_ok=True)
