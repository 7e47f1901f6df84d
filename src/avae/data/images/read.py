"""Load images into memory for a trained model, preprocessed like its training data."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avae.console import SILENT, Progress
from avae.data.images.archives import open_collection
from avae.data.images.decode import preprocess
from avae.data.images.item import Item, RejectedImage, UnreadableError
from avae.data.images.preprocessing import Preprocessing
from avae.data.images.workers import hull, preprocess_parallel, values_warning
from avae.errors import UserError

logger = logging.getLogger(__name__)


def load_images(
    path: str | Path, to: Preprocessing, progress: Progress = SILENT
) -> tuple[list[str], NDArray[np.uint8], tuple[RejectedImage, ...]]:
    """Load every image of a folder, an archive or a single file. Log what is passed over.

    Args:
        progress: receives the number of images read.

    Returns:
        The names, sorted; uint8 (N, size, size, channels) in that order; the unreadable images.

    Raises:
        UserError: as `open_collection`, or no image can be read.
    """
    collection = open_collection(Path(path))
    rows = {name: row for row, name in enumerate(collection.names)}
    items = (Item(rows[name], name, content) for name, content in collection.read(collection.names))
    out = np.empty((len(rows), to.size, to.size, to.channels), dtype=np.uint8)
    rejected: dict[int, RejectedImage] = {}
    values = None
    progress.update(0, len(rows))
    for batch in preprocess_parallel(items, to):
        out[batch.rows] = batch.images
        rejected |= batch.rejected
        values = hull(values, batch.values)
        progress.advance(batch.count)
    if len(rejected) == len(rows):
        first = rejected[0]
        why = f"the first, {first.name}: {first.reason}"
        raise UserError(f"{collection.path}: no picture can be read ({why}); convert them to PNG or JPEG")
    for note in filter(None, (collection.passed_over_note, values_warning(values, to))):
        logger.info(note)
    kept = [row for row in range(len(rows)) if row not in rejected]
    unreadable = (*collection.rejected, *(rejected[row] for row in sorted(rejected)))
    return [collection.names[row] for row in kept], out[kept] if rejected else out, unreadable


def load_image(image: str | Path | Image.Image, to: Preprocessing) -> NDArray[np.uint8]:
    """Convert an image file or a PIL image to uint8 (size, size, channels).

    Raises:
        UserError: the image cannot be read; the message has its name and the reason.
    """
    try:
        return preprocess(image if isinstance(image, Image.Image) else Path(image), to)
    except UnreadableError as error:
        name = "the PIL image" if isinstance(image, Image.Image) else image
        raise UserError(
            f"{name}: cannot be read as a picture ({error}); convert it to PNG or JPEG"
        ) from error
