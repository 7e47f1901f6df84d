"""Defensive tar reader: wrong sizes and decompression bombs neither stop it nor fill the memory.

`tarfile` trusts any size: with a negative one it reads the same header for ever, and a large size of a name
fills the memory. This reader only moves forwards, up to `RATIO` times the size of the file.
"""

import gzip
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

RATIO = 200
MIN_LIMIT = 2**30
MAX_HEADER = 2**20

_BLOCK = tarfile.BLOCKSIZE
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED = (*_PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_WITHOUT_BYTES = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE),
    *(tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE),
)
_MORE_HOLES_AT_FIRST, _MORE_HOLES = 482, 504  # offsets of the flag that another block of holes follows
_SPARSE = "GNU.sparse."


@dataclass(frozen=True)
class Member:
    """One member of a tar.

    Attributes:
        name: the name as stored; bytes that are not UTF-8 become surrogates.
        kind: the type, one of tarfile's constants.
        start, size: offset and number of its bytes in the decompressed stream.
    """

    name: str
    kind: bytes
    start: int
    size: int


def open_stream(path: Path) -> IO[bytes]:
    """Open a tar for reading, plain or compressed by gzip."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if compressed else path.open("rb")


def members(path: Path) -> Iterator[Member]:
    """Yield all members, and read to the end, so that gzip's checksum is verified.

    Raises:
        tarfile.TarError, OSError, EOFError, zlib.error, ValueError: the file is damaged or truncated.
    """
    limit = max(MIN_LIMIT, RATIO * path.stat().st_size)
    with open_stream(path) as stream:
        extended: dict[str, str] = {}
        for header in _headers(stream):
            size = _size(header, extended)
            start = stream.tell()
            if start + size > limit:
                raise tarfile.ReadError(f"it claims more than {RATIO} times the bytes of its file")
            if header.type in _EXTENDED:
                extended |= _extended_fields(header.type, read(stream, size))
            else:
                sparse = any(field.startswith(_SPARSE) for field in extended)
                kind = tarfile.GNUTYPE_SPARSE if sparse else header.type
                yield Member(extended.get("path", header.name), kind, start, size)
                extended = {}
            _skip_to(stream, start + -(-size // _BLOCK) * _BLOCK)
        while stream.read(2**20):
            if stream.tell() > limit:
                raise tarfile.ReadError(f"it holds more than {RATIO} times the bytes of its file")


def _headers(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield headers up to a block of zeros or the end; the caller moves the stream to the next header."""
    block = stream.read(_BLOCK)
    if not block:
        raise tarfile.ReadError("it is empty")
    while block.strip(b"\0"):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        more = header.type == tarfile.GNUTYPE_SPARSE and block[_MORE_HOLES_AT_FIRST]
        while more:
            more = read(stream, _BLOCK)[_MORE_HOLES]
        yield header
        block = stream.read(_BLOCK)


def _size(header: tarfile.TarInfo, extended: dict[str, str]) -> int:
    """Return the number of bytes after a header; raise tarfile.ReadError if it is impossible."""
    if header.type in _WITHOUT_BYTES:
        return 0
    size = header.size if header.type in _EXTENDED else int(extended.get("size", header.size))
    if size < 0 or (header.type in _EXTENDED and size > MAX_HEADER):
        raise tarfile.ReadError(f"a size of {size:,} bytes")
    return size


def _extended_fields(kind: bytes, data: bytes) -> dict[str, str]:
    """Return the name, size and holes of the next member from an extended header."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": _text(data.split(b"\0", 1)[0])}
    if kind not in _PAX:
        return {}
    fields = {
        key: value for key, value in _pax_records(data) if key in ("path", "size") or key.startswith(_SPARSE)
    }
    if f"{_SPARSE}name" in fields:
        fields["path"] = fields[f"{_SPARSE}name"]
    return fields


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (key, value) of PAX records: "<length of the record> <key>=<value>\\n"."""
    start = 0
    while start < len(data) and data[start]:
        space = data.index(b" ", start, start + 20)
        end = start + int(data[start:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or not equals:
            raise tarfile.ReadError("bad extended header")
        yield _text(key), _text(value)
        start = end


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def read(stream: IO[bytes], count: int) -> bytes:
    """Read exactly `count` bytes; raise EOFError if there are fewer."""
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("it ends early")
    return data


def _skip_to(stream: IO[bytes], offset: int) -> None:
    """Move forwards to an offset; raise EOFError if the file is shorter."""
    if offset > stream.tell():
        stream.seek(offset - 1)
        read(stream, 1)
