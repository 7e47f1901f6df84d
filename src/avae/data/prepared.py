"""One picture of a source, whatever it comes as: prepared pixels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avae.data.archives import load_content
from avae.data.decoding import UnreadableError, decode, fit_image
from avae.data.preparation import Preparation
from avae.data.source import Content


def prepare(content: Content, to: Preparation) -> NDArray[np.uint8]:
    """Turn what there is of a picture into uint8 (size, size, channels).

    Args:
        content: the bytes of a file, its path, a PIL image, or uint8 pixels (H, W) or (H, W, C), where C is
            1, 3, or 4 with transparency. Pixels that already have the shape asked for come back as they are,
            if all of them are to be kept.

    Raises:
        UnreadableError: whatever is wrong with it; an UnreadableError given is raised itself.
    """
    if isinstance(content, np.ndarray):
        return _prepare_pixels(content, to)
    if isinstance(content, Image.Image):
        return fit_image(content, to)
    return decode(load_content(content), to)


def _prepare_pixels(pixels: NDArray[np.uint8], to: Preparation) -> NDArray[np.uint8]:
    """Fit an array, through PIL where it must change."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise UnreadableError(f"pixels {pixels.dtype}{pixels.shape}; they must be uint8 (H, W) or (H, W, C)")
    if pixels.shape == (to.size, to.size, to.channels):
        return pixels
    if pixels.size == 0:
        raise UnreadableError("it has no pixels")
    return fit_image(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), to)
