"""One picture: from the bytes of a file, or a PIL image, to a small square array."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MAX_PIXELS = 89_478_485  # Pillow's own default: a gigabyte once in memory
_FINER = 4  # a JPEG is decoded at the smallest scale that leaves so many pixels for one of the result

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Named one by one: Image.open would also try formats that run other programs, and warns of large pictures
# through a filter that belongs to the whole process.
_READERS: tuple[tuple[bytes, Callable[[IO[bytes]], Image.Image]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"II", TiffImagePlugin.TiffImageFile),
    (b"MM", TiffImagePlugin.TiffImageFile),
)


class UnreadableError(ValueError):
    """A picture that cannot be used; the message is a short reason, fit for `Rejected`."""


def decode(data: bytes, size: int, channels: int) -> NDArray[np.uint8]:
    """Decode one picture to uint8 (size, size, channels).

    It is set upright (EXIF), put on white where transparent, reduced to 8 bits, cropped to the central
    square and resized without aliasing; of several frames the first counts. A picture that already has
    the size comes back as it is.

    Raises:
        UnreadableError: whatever is wrong with the file.
    """
    with _declared(), _reader(data) as image:
        _check_extent(image)
        image.draft(None, (_FINER * size, _FINER * size))
        return fit(image, size, channels)


def probe(data: bytes) -> tuple[int, bool]:
    """Return a picture's shorter side and whether it is grey, from its header; raises UnreadableError."""
    with _declared(), _reader(data) as image:
        _check_extent(image)
        return min(image.size), Image.getmodebase(image.mode) == "L"


def fit_image(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Turn a PIL image of the caller's into uint8 (size, size, channels); raises UnreadableError."""
    with _declared():
        return fit(image, size, channels)


def fit(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Turn a PIL image into uint8 (size, size, channels); see `decode`."""
    image = _plain(_square(_upright(image)), channels)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(image, dtype=np.uint8).reshape(size, size, channels)


@contextmanager
def _declared() -> Iterator[None]:
    """Turn whatever a decoder raises, and each has its own ways to fail, into an UnreadableError."""
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(one_line(error)) from error


def _reader(data: bytes) -> Image.Image:
    """Open a picture by its first bytes, without decoding it."""
    if not data:
        raise UnreadableError("the file is empty")
    for start, reader in _READERS:
        if data.startswith(start):
            return reader(BytesIO(data))
    raise UnreadableError("not a PNG, JPEG, WebP, BMP, TIFF or GIF picture")


def _check_extent(image: Image.Image) -> None:
    """Refuse what would not fit in memory: a few bytes can claim billions of pixels."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableError(f"{width}x{height} pixels, more than the {MAX_PIXELS:,} allowed")


def _upright(image: Image.Image) -> Image.Image:
    """Turn the picture as its EXIF tag asks."""
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken metadata spoils no pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _square(image: Image.Image) -> Image.Image:
    """Crop to the central square."""
    width, height = image.size
    side = min(width, height)
    if side < 1:
        raise UnreadableError("it has no pixels")
    left, top = (width - side) // 2, (height - side) // 2
    return image if width == height else image.crop((left, top, left + side, top + side))


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Reduce any mode to 8-bit grey (1 channel) or RGB (3)."""
    if image.mode == "F":
        raise UnreadableError("floating-point pixels have no known range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, 65535 to 255."""
    levels = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def one_line(error: Exception) -> str:
    """Return an exception's message, short enough for a table."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= 120 else message[:117] + "..."
