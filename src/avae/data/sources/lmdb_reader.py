"""Stream the entries of an LMDB folder in the order of their keys, in bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from avae.errors import UserError

if TYPE_CHECKING:
    import lmdb

# Pages read from the memory map count as memory used until it is closed, and py-lmdb reads even those of
# skipped values. So it is reopened every few entries, which takes tens of microseconds.
_ENTRIES = 128

_FILE = "data.mdb"
_SLACK = 2**20  # bytes; unused last pages may be missing from the file


def count_entries(folder: Path) -> int:
    """Return the number of entries; raise UserError if the folder is damaged."""
    with _environment(folder) as environment:
        return int(environment.stat()["entries"])


def read_entries(folder: Path, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) from a position on; raise UserError if the folder is damaged."""
    key = _key_before(folder, start)
    while entries := _after(folder, key):
        yield from entries
        key = entries[-1][0]


def _key_before(folder: Path, position: int) -> bytes | None:
    """Return the key before a position, by stepping from the start; None at the start."""
    key = None
    for first in range(0, position, _ENTRIES):
        with _cursor_after(folder, key) as cursor:
            for _ in range(min(_ENTRIES, position - first) - 1):
                cursor.next()
            key = bytes(cursor.key())
    return key


def _after(folder: Path, key: bytes | None) -> list[tuple[bytes, bytes]]:
    """Return up to `_ENTRIES` entries after a key; an empty list after the last."""
    entries: list[tuple[bytes, bytes]] = []
    with _cursor_after(folder, key) as cursor:
        while cursor.key() and len(entries) < _ENTRIES:
            entries.append((bytes(cursor.key()), bytes(cursor.value())))
            cursor.next()
    return entries


@contextmanager
def _cursor_after(folder: Path, key: bytes | None) -> Iterator["lmdb.Cursor"]:
    """Open a cursor at the first entry after a key; after the last entry, the cursor's key is empty."""
    with _environment(folder) as environment, environment.begin() as transaction:
        cursor = transaction.cursor()
        if key is None:
            cursor.first()
        elif cursor.set_range(key):
            cursor.next()
        yield cursor


@contextmanager
def _environment(folder: Path) -> Iterator["lmdb.Environment"]:
    """Open a folder for reading; raise UserError if it is damaged."""
    import lmdb

    try:
        with lmdb.open(
            str(folder), readonly=True, create=False, lock=False, readahead=False, meminit=False
        ) as environment:
            _check_length(folder, environment)
            yield environment
    except (lmdb.Error, OSError) as error:
        raise UserError(f"{folder}: damaged ({error}); unzip or download {folder.name}.zip again") from error


def _check_length(folder: Path, environment: "lmdb.Environment") -> None:
    """Raise OSError for a truncated file: reading past its end would kill this process."""
    expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    found = (folder / _FILE).stat().st_size
    if found + _SLACK < expected:
        raise OSError(f"{_FILE} has {found:,} of {expected:,} bytes")
