"""Pictures for a model that is trained already: read into memory, as its training set was prepared."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avae.console import SILENT, Progress
from avae.data.images.archives import open_collection
from avae.data.images.decode import preprocess
from avae.data.images.item import Item, RejectedImage, UnreadableError
from avae.data.images.preprocessing import Preprocessing
from avae.data.images.workers import preprocess_parallel
from avae.errors import UserError


def load_images(
    path: str | Path, to: Preprocessing, progress: Progress = SILENT
) -> tuple[list[str], NDArray[np.uint8], tuple[RejectedImage, ...]]:
    """Read every picture of a folder, an archive or a single file.

    Args:
        progress: of the pictures.

    Returns:
        The names, sorted; uint8 (N, size, size, channels) in that order; the pictures left out.

    Raises:
        UserError: as `open_pictures`, or no picture can be read.
    """
    pictures = open_collection(Path(path))
    rows = {name: row for row, name in enumerate(pictures.names)}
    items = (Item(rows[name], name, content) for name, content in pictures.read(pictures.names))
    out = np.empty((len(rows), to.size, to.size, to.channels), dtype=np.uint8)
    rejected: dict[int, RejectedImage] = {}
    progress.update(0, len(rows))
    for some in preprocess_parallel(items, to):
        out[some.rows] = some.images
        rejected |= some.rejected
        progress.advance(some.count)
    if len(rejected) == len(rows):
        first = rejected[0]
        why = f"the first, {first.name}: {first.reason}"
        raise UserError(f"{pictures.path}: no picture can be read ({why}); convert them to PNG or JPEG")
    kept = [row for row in range(len(rows)) if row not in rejected]
    left_out = (*pictures.rejected, *(rejected[row] for row in sorted(rejected)))
    return [pictures.names[row] for row in kept], out[kept] if rejected else out, left_out


def load_image(picture: str | Path | Image.Image, to: Preprocessing) -> NDArray[np.uint8]:
    """Turn a file or a PIL image into uint8 (size, size, channels).

    Raises:
        UserError: names the file and what is wrong with it.
    """
    try:
        return preprocess(picture if isinstance(picture, Image.Image) else Path(picture), to)
    except UnreadableError as error:
        name = "the PIL image" if isinstance(picture, Image.Image) else picture
        raise UserError(
            f"{name}: cannot be read as a picture ({error}); convert it to PNG or JPEG"
        ) from error
