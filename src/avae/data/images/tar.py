"""The members of a tar, by one reader that neither a wrong size nor a bomb can hold up.

`tarfile` would believe any size: negative ones make it read the same header for ever, large ones of names
fill the memory. Here each step goes forward, and no further than `RATIO` times the size of the file.
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
_MORE_HOLES_AT_FIRST, _MORE_HOLES = 482, 504  # where a flag says that another block on holes follows
_SPARSE = "GNU.sparse."


@dataclass(frozen=True)
class Member:
    """One member of a tar.

    Attributes:
        name: as written; bytes that are not UTF-8 as surrogates.
        kind: its type, one of tarfile's constants.
        start, size: where its bytes lie in the stream.
    """

    name: str
    kind: bytes
    start: int
    size: int


def open_stream(path: Path) -> IO[bytes]:
    """Open a tar for reading, whether its bytes are compressed by gzip or not."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if compressed else path.open("rb")


def members(path: Path) -> Iterator[Member]:
    """List all members, and read on to the end, so that a checksum of gzip is compared.

    Raises:
        tarfile.TarError, OSError, EOFError, zlib.error, ValueError: it is damaged or cut short.
    """
    limit = max(MIN_LIMIT, RATIO * path.stat().st_size)
    with open_stream(path) as stream:
        words: dict[str, str] = {}
        for header in _headers(stream):
            size = _size(header, words)
            start = stream.tell()
            if start + size > limit:
                raise tarfile.ReadError(f"it claims more than {RATIO} times the bytes of its file")
            if header.type in _EXTENDED:
                words |= _extended_fields(header.type, read(stream, size))
            else:
                yield Member(words.get("path", header.name), _kind(header, words), start, size)
                words = {}
            _skip_to(stream, start + -(-size // _BLOCK) * _BLOCK)
        while stream.read(2**20):
            if stream.tell() > limit:
                raise tarfile.ReadError(f"it holds more than {RATIO} times the bytes of its file")


def _headers(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Read headers, up to a block of zeros or the end; whoever takes one goes on to where the next begins."""
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


def _size(header: tarfile.TarInfo, words: dict[str, str]) -> int:
    """Return how many bytes follow a header."""
    if header.type in _WITHOUT_BYTES:
        return 0
    size = header.size if header.type in _EXTENDED else int(words.get("size", header.size))
    if size < 0 or (header.type in _EXTENDED and size > MAX_HEADER):
        raise tarfile.ReadError(f"a size of {size:,} bytes")
    return size


def _kind(header: tarfile.TarInfo, words: dict[str, str]) -> bytes:
    """Return a member's type; PAX tells of holes beside it."""
    sparse = any(word.startswith(_SPARSE) for word in words)
    return tarfile.GNUTYPE_SPARSE if sparse else header.type


def _extended_fields(kind: bytes, data: bytes) -> dict[str, str]:
    """Return what an extended header says of the name, size and holes of the next member."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return {"path": _text(data.split(b"\0", 1)[0])}
    if kind not in _PAX:
        return {}
    words = {
        key: value for key, value in _pax_records(data) if key in ("path", "size") or key.startswith(_SPARSE)
    }
    if f"{_SPARSE}name" in words:
        words["path"] = words[f"{_SPARSE}name"]
    return words


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Read the records of PAX: "<length of all of it> <key>=<value>\\n"."""
    at = 0
    while at < len(data) and data[at]:
        space = data.index(b" ", at, at + 20)
        end = at + int(data[at:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or not equals:
            raise tarfile.ReadError("bad extended header")
        yield _text(key), _text(value)
        at = end


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def read(stream: IO[bytes], count: int) -> bytes:
    """Read that many bytes, not fewer."""
    data = stream.read(count)
    if len(data) < count:
        raise EOFError("it ends early")
    return data


def _skip_to(stream: IO[bytes], place: int) -> None:
    """Go on to a place, which a file that is not cut short reaches."""
    if place > stream.tell():
        stream.seek(place - 1)
        read(stream, 1)
