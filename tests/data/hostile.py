"""Pictures made to hurt: damaged ones, and few bytes that claim, or become, far more."""

import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

from PIL import Image

from picture_files import encoded, noise

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ABSURD = 2**32 - 1
AT = -1
EXIF_BLOCK = b"\xff\xe1\x00\x0aExif\0\0xx"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, bits: int = 8, extra: bytes = b"") -> bytes:
    """A PNG in colour that may claim more than `rows`, which are of its first line."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + rows))
    return SIGNATURE + header + extra + pixels + chunk(b"IEND", b"")


def tiff(tags: dict[int, int], data: bytes = b"", absurd: tuple[int, ...] = ()) -> bytes:
    """A grey TIFF of the tags given, those `absurd` with billions of values; `AT` is where `data` begins."""
    start = 8 + 2 + 12 * len(tags) + 4
    entries = []
    for tag, value in sorted(tags.items()):
        kind, count = (12, ABSURD) if tag in absurd else (4, 1)
        entries.append(struct.pack("<HHII", tag, kind, count, start if value == AT else value))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4) + data


def tiled_tiff(side: int) -> bytes:
    """8x8 pixels in a tile of `side` by `side`, all of which is there."""
    data = zlib.compress(bytes(side * side))
    size = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1}
    return tiff(size | {322: side, 323: side, 324: AT, 325: len(data)}, data)


def jpeg_with(count: int, segment: bytes) -> bytes:
    """A JPEG in which a segment comes again and again."""
    data = encoded(noise(16, 16, 3), "JPEG")
    return data[:2] + count * segment + data[2:]


def jpeg_of_scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(noise(side, side), "JPEG", progressive=True)
    scan = data.rindex(b"\xff\xda")
    length = struct.unpack(">H", data[scan + 2 : scan + 4])[0]
    return data[:-2] + count * (data[scan : scan + 2 + length] + b"\0") + data[-2:]


def claimed(width: int, height: int) -> dict[str, bytes]:
    """Pictures of every format that claim so many pixels and hold hardly any."""
    small = noise(16, 16, 3)
    jpeg = bytearray(encoded(small, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    gif = bytearray(encoded(small, "GIF"))
    gif[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    bmp = bytearray(encoded(small, "BMP"))
    bmp[18:26] = struct.pack("<ii", width, height)
    frame = b"ANMF" + struct.pack("<I", 16) + bytes(16)
    canvas = b"VP8X" + struct.pack("<IB", 10, 2) + bytes(3) + _three(width - 1) + _three(height - 1)
    webp = b"WEBP" + canvas + b"ANIM" + struct.pack("<I", 6) + bytes(6) + frame
    return {
        "jpg": bytes(jpeg),
        "gif": bytes(gif),
        "bmp": bytes(bmp),
        "png": png(width, height, b""),
        "webp": b"RIFF" + struct.pack("<I", len(webp)) + webp,
        "tif": tiff({256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 9}),
    }


def _three(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


def bombs() -> dict[str, bytes]:
    """Small files by what they try, with the extension of their format."""
    zeros = zlib.compress(bytes(2**26))
    return {
        **{f"claims-60000.{ext}": data for ext, data in claimed(60_000, 60_000).items()},
        **{f"claims-65535.{ext}": data for ext, data in claimed(65_535, 65_535).items()},
        "profile.png": png(1, 1, bytes(3), extra=chunk(b"iCCP", b"a\0\0" + zeros)),
        "text.png": png(1, 1, bytes(3), extra=chunk(b"zTXt", b"a\0\0" + zeros)),
        "many-exif.jpg": jpeg_with(20_000, EXIF_BLOCK),
        "many-scans.jpg": jpeg_of_scans(16, 20_000),
        "tile.tif": tiled_tiff(12_000),
        "tags.tif": tiff(
            {256: 8, 257: 8, 262: 1, 273: 8, 700: 8, 330: 8, 34665: 8}, absurd=(273, 700, 330, 34665)
        ),
        "loop.tif": tiff({256: 8, 257: 8, 330: 8, 34665: 8}),
    }


def samples(width: int = 40, height: int = 33) -> dict[str, list[bytes]]:
    """Whole pictures of every format, by extension."""
    pixels = Image.fromarray(noise(height, width, 3))
    frames: dict[str, Any] = {"save_all": True, "append_images": [pixels.transpose(0)]}
    return {
        "png": [encoded(pixels.convert(mode)) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        "jpg": [
            encoded(pixels, "JPEG", exif=_exif()),
            encoded(pixels, "JPEG", progressive=True),
            encoded(pixels.convert("CMYK"), "JPEG"),
        ],
        "gif": [encoded(pixels, "GIF"), encoded(pixels, "GIF", **frames)],
        "bmp": [encoded(pixels.convert(mode), "BMP") for mode in ("1", "P", "RGB")],
        "tif": [
            *(encoded(pixels, "TIFF", compression=way) for way in ("raw", "tiff_lzw", "tiff_adobe_deflate")),
            encoded(pixels, "TIFF", **frames),
            encoded(pixels.convert("CMYK"), "TIFF"),
        ],
        "ppm": [encoded(pixels.convert(mode), "PPM") for mode in ("1", "L", "RGB", "I;16")],
        "webp": [encoded(pixels, "WEBP", **options) for options in ({}, {"lossless": True}, frames)],
    }


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    return exif


def damaged(chance: Random, sources: dict[str, list[bytes]]) -> tuple[str, bytes]:
    """One picture out of `sources`, with something done to it, and its extension."""
    extension = chance.choice(sorted(sources))
    data = chance.choice(sources[extension])
    what = chance.randrange(len(_DAMAGES) + 1)
    if what == len(_DAMAGES):  # the bytes of one format under the name of another
        return chance.choice(sorted(set(sources) - {extension})), data
    return extension, _DAMAGES[what](chance, data)


def _flipped(chance: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice((1, 3, 30))):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def _headed(chance: Random, data: bytes) -> bytes:
    """Other bytes, extreme ones more often, near the start, where sizes and types stand."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 2, 8))):
        out[chance.randrange(min(len(out), 200))] = chance.choice(
            (0, 1, 127, 128, 255, chance.randrange(256))
        )
    return bytes(out)


def _shortened(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def _part(chance: Random, data: bytes) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + chance.choice((1, 8, 64, 512)))


def _doubled(chance: Random, data: bytes) -> bytes:
    start, end = _part(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 5)) + data[end:]


def _without(chance: Random, data: bytes) -> bytes:
    start, end = _part(chance, data)
    return data[:start] + data[end:]


def _zeroed(chance: Random, data: bytes) -> bytes:
    start, end = _part(chance, data)
    return data[:start] + bytes(end - start) + data[end:]


def _joined(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))] + data[chance.randrange(len(data)) :]


_DAMAGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    *(_flipped, _headed, _headed, _shortened, _doubled, _without, _zeroed, _joined),
    lambda chance, data: b"",
    lambda chance, data: bytes(chance.choice((1, 1000))),
    lambda chance, data: b"<html><body>404 Not Found</body></html>\n" * chance.choice((1, 50)),
    lambda chance, data: data[:8] + chance.randbytes(chance.randrange(500)),
)
