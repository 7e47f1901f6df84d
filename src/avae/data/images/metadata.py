"""Remove what pixels do not need from a PNG or a JPEG: Pillow reads neither if it is damaged or too large."""

from collections.abc import Iterator

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
_JPEG_DROPPED = frozenset(
    {0xE0, *range(0xE2, 0xEE), 0xEF, 0xFE}
)  # APP1 has the orientation, APP14 the colours
_START_OF_SCAN = 0xDA


def without_metadata(data: bytes) -> bytes:
    """Return a PNG or JPEG with its pixels, transparency and orientation alone; other bytes as they are."""
    if data.startswith(_PNG):
        return _PNG + b"".join(_png_parts(data))
    if data.startswith(_JPEG):
        return _JPEG + b"".join(_jpeg_parts(data))
    return data


def _png_parts(data: bytes) -> Iterator[bytes]:
    """Yield the chunks to keep: four bytes of length, four of kind, the content, four of checksum."""
    start = len(_PNG)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] in _PNG_KEPT:
            yield data[start:end]
        start = end


def _jpeg_parts(data: bytes) -> Iterator[bytes]:
    """Yield the segments to keep, each of marker, length and content, then all from the first scan on."""
    start = len(_JPEG)
    while start + 4 <= len(data) and data[start] == 0xFF and data[start + 1] != _START_OF_SCAN:
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if data[start + 1] not in _JPEG_DROPPED:
            yield data[start:end]
        start = max(end, start + 4)
    yield data[start:]
