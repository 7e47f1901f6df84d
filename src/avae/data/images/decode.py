"""Decode and preprocess one image: from a file's bytes, pixels or a PIL image to a small square array."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from math import ceil
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from avae.data.images.archives import read_bytes
from avae.data.images.item import ImageContent, UnreadableError, one_line
from avae.data.images.metadata import without_metadata
from avae.data.images.preprocessing import Preprocessing, parse_range

MAX_PIXELS = 89_478_485  # Pillow's default: up to a gigabyte in memory
MAX_REPEATS = 1000

Read = TypeVar("Read")

_LEVELS_8, _LEVELS_16 = 255, 65_535  # largest values of 8 and of 16 bits

_JPEG_OVERSAMPLING = 4  # least ratio of a JPEG's decoded side to the result's
_BIT_DEPTH = 24  # offset in a PNG
_TILE_WIDTH, _TILE_HEIGHT = 322, 323  # tags of TIFF

# Not PIL.ImageOps.exif_transpose, which also rewrites the metadata and so fails where they are damaged.
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# Listed explicitly: Image.open would also try formats that run external programs, and it warns about large
# images through a process-wide filter.
_READERS: tuple[tuple[bytes, Callable[[IO[bytes]], Image.Image]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"II", TiffImagePlugin.TiffImageFile),
    (b"MM", TiffImagePlugin.TiffImageFile),
    *((f"P{kind}".encode(), PpmImagePlugin.PpmImageFile) for kind in range(1, 7)),
)


@dataclass(frozen=True)
class Prepared:
    """A preprocessed image.

    Attributes:
        pixels: uint8 (size, size, channels).
        values: smallest and largest value of an image of more than 8 bits, before they were reduced; of
            16-bit colour, in multiples of 257. None for other images.
    """

    pixels: NDArray[np.uint8]
    values: tuple[float, float] | None = None


def decode(data: bytes, to: Preprocessing) -> NDArray[np.uint8]:
    """Decode the bytes of an image file to uint8 (size, size, channels).

    The image is turned upright (EXIF), cropped, composited on the background where transparent, reduced to 8
    bits, made square and resized with antialiasing. Only the first frame is used. An image that already has
    the size is neither cropped nor resized. Metadata that cannot be read are left out.

    Raises:
        UnreadableError: the file cannot be decoded, for any reason.
    """
    return _despite_metadata(partial(_decode, to=to), data).pixels


def _despite_metadata(read: Callable[[bytes], Read], data: bytes) -> Read:
    """Call a function with the bytes of an image; if it fails, once more without what pixels do not need."""
    try:
        return read(data)
    except UnreadableError:
        pixels = without_metadata(data)
        if len(pixels) == len(data):
            raise
        return read(pixels)


def _decode(data: bytes, to: Preprocessing) -> Prepared:
    with _as_unreadable(), _reader(data) as image:
        _check_extent(image)
        side = ceil(_JPEG_OVERSAMPLING * to.size / to.crop)
        image.draft(None, (side, side))
        if isinstance(image, PngImagePlugin.PngImageFile):
            _reduce_transparency(image, bits=data[_BIT_DEPTH])
        return crop_and_resize(image, to)


def _reduce_transparency(image: PngImagePlugin.PngImageFile, bits: int) -> None:
    """Reduce the transparent level or colour of a PNG to the 8 bits that Pillow's pixels have."""
    transparent = image.info.get("transparency")
    if isinstance(transparent, int) and bits < 8:
        image.info["transparency"] = transparent * _LEVELS_8 // (2**bits - 1)
    elif isinstance(transparent, tuple) and bits == 16:
        image.info["transparency"] = tuple(level >> 8 for level in transparent)


def probe(data: bytes) -> tuple[int, bool]:
    """Return (shorter side in pixels, True if grey) from an image's header; raise UnreadableError."""
    return _despite_metadata(_probe, data)


def _probe(data: bytes) -> tuple[int, bool]:
    with _as_unreadable(), _reader(data) as image:
        _check_extent(image)
        return min(image.size), Image.getmodebase(image.mode) == "L"


def crop_and_resize(image: Image.Image, to: Preprocessing) -> Prepared:
    """Preprocess a PIL image as `decode` does; raise any of PIL's errors."""
    deep_colour = _is_deep_colour(image)
    image = _crop_share(_apply_exif_orientation(image), to)
    values = None
    if deep_colour:
        levels = np.asarray(image.convert("RGB"))
        values = (float(levels.min()) * 257, float(levels.max()) * 257)
        if to.range is not None:
            raise UnreadableError("colour of 16 bits, which --range is not for; save it with 8 bits")
    elif image.mode == "F" or image.mode.startswith("I"):
        image, values = _to_uint8(image, to.range)
    image = _to_grey_or_rgb(image, to)
    extent = _target_extent(image, to)
    if image.size != extent:
        image = image.resize(extent, Image.Resampling.LANCZOS)
    if extent != (to.size, to.size):
        image = _pad_to_square(image, to)
    return Prepared(np.array(image, dtype=np.uint8).reshape(to.size, to.size, to.channels), values)


@contextmanager
def _as_unreadable() -> Iterator[None]:
    """Convert the different errors of decoders to UnreadableError."""
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(one_line(error)) from error


def _reader(data: bytes) -> Image.Image:
    """Open an image by its first bytes, without decoding it.

    Rejected are JPEGs with more than `MAX_REPEATS` scans or EXIF blocks: decoding time is quadratic in them.
    """
    if not data:
        raise UnreadableError("the file is empty")
    if data.startswith(b"\xff\xd8") and max(data.count(b"\xff\xda"), data.count(b"\xff\xe1")) > MAX_REPEATS:
        raise UnreadableError(f"more than {MAX_REPEATS} scans or EXIF blocks")
    for start, reader in _READERS:
        if data.startswith(start):
            return reader(BytesIO(data))
    raise UnreadableError("not a PNG, JPEG, WebP, BMP, TIFF, GIF or PNM picture")


def _check_extent(image: Image.Image) -> None:
    """Reject an image that would not fit in memory: a few bytes can claim billions of pixels."""
    extents = [image.size]
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # a tile is decoded whole, even for a small image
        extents.append((image.tag_v2.get(_TILE_WIDTH, 1), image.tag_v2.get(_TILE_HEIGHT, 1)))
    for width, height in extents:
        if width * height > MAX_PIXELS:
            raise UnreadableError(f"{width}x{height} pixels, more than the {MAX_PIXELS:,} allowed")


def _apply_exif_orientation(image: Image.Image) -> Image.Image:
    """Turn the image upright by its EXIF orientation."""
    image.load()
    try:
        transpose = _TRANSPOSES.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged metadata; the pixels are still usable
        transpose = None
    return image if transpose is None else image.transpose(transpose)


def _crop_share(image: Image.Image, to: Preprocessing) -> Image.Image:
    """Crop to the central share `to.crop`, and to its central square if `to.fit` is "crop"."""
    if min(image.size) < 1:
        raise UnreadableError("it has no pixels")
    if image.size == (to.size, to.size):
        return image
    width, height = (max(1, round(to.crop * side)) for side in image.size)
    image = _center_crop(image, width, height)
    side = min(width, height)
    return _center_crop(image, side, side) if to.fit == "crop" else image


def _center_crop(image: Image.Image, width: int, height: int) -> Image.Image:
    """Crop around the centre; an odd pixel is removed from the right and from the bottom."""
    if image.size == (width, height):
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _target_extent(image: Image.Image, to: Preprocessing) -> tuple[int, int]:
    """Return the width and height of the image within the square result."""
    if to.fit != "pad":
        return to.size, to.size
    longer = max(image.size)
    width, height = (max(1, round(to.size * side / longer)) for side in image.size)
    return width, height


def _pad_to_square(image: Image.Image, to: Preprocessing) -> Image.Image:
    """Centre an image on a square of the background."""
    square = Image.new(image.mode, (to.size, to.size), to.background)
    square.paste(image, ((to.size - image.width) // 2, (to.size - image.height) // 2))
    return square


def _to_grey_or_rgb(image: Image.Image, to: Preprocessing) -> Image.Image:
    """Convert any mode of 8 bits or fewer to grey (1 channel) or RGB (3), on the background."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, to.background), image)
    return image.convert("L" if to.channels == 1 else "RGB")


def _is_deep_colour(image: Image.Image) -> bool:
    """Return True for a file of 16 bits in colour, of which Pillow keeps the upper 8."""
    raw_modes = [str(tile[3]) for tile in getattr(image, "tile", [])]
    return image.mode.startswith(("RGB", "LA")) and any(";16" in mode for mode in raw_modes)


def _to_uint8(image: Image.Image, range_: str | None) -> tuple[Image.Image, tuple[float, float]]:
    """Scale grey of more than 8 bits to 8, and return it with its smallest and largest value.

    A transparent level stays transparent.
    """
    if image.mode == "F" and range_ is None:
        raise UnreadableError("floating-point pixels have no known range; give it with --range LOW:HIGH")
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise UnreadableError("it holds NaN or infinity")
    low, high = parse_range(range_) if range_ else (0, _LEVELS_16)
    levels = ((values - low) * (_LEVELS_8 / (high - low))).round().clip(0, _LEVELS_8)
    grey = Image.fromarray(levels.astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        opaque = np.where(values == transparent, 0, _LEVELS_8).astype(np.uint8)
        grey = Image.merge("LA", (grey, Image.fromarray(opaque)))
    return grey, (float(values.min()), float(values.max()))


def preprocess(content: ImageContent, to: Preprocessing) -> NDArray[np.uint8]:
    """Convert any image content to uint8 (size, size, channels); arguments and errors as for `prepare`."""
    return prepare(content, to).pixels


def prepare(content: ImageContent, to: Preprocessing) -> Prepared:
    """Preprocess any image content.

    Args:
        content: the bytes of a file, its path, a PIL image, or uint8 pixels (H, W) or (H, W, C), where C is
            1, 3, or 4 with transparency. Pixels that already have the required shape are returned unchanged.

    Raises:
        UnreadableError: the image cannot be read, or `content` is an UnreadableError, which is raised.
    """
    if isinstance(content, np.ndarray):
        return _prepare_pixels(content, to)
    if isinstance(content, Image.Image):
        with _as_unreadable():
            return crop_and_resize(content, to)
    return _despite_metadata(partial(_decode, to=to), read_bytes(content))


def _prepare_pixels(pixels: NDArray[np.uint8], to: Preprocessing) -> Prepared:
    """Preprocess an array, by PIL unless it already has the shape."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise UnreadableError(f"pixels {pixels.dtype}{pixels.shape}; they must be uint8 (H, W) or (H, W, C)")
    if pixels.shape == (to.size, to.size, to.channels):
        return Prepared(pixels)
    if pixels.size == 0:
        raise UnreadableError("it has no pixels")
    return prepare(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), to)
