"""Write files atomically, where the user said, never over one without permission. Read regular files only."""

import json
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from avae.errors import UserError


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read; raise UserError for a pipe or a device, which could be waited for without end."""
    # Without blocking: a plain open waits until something writes to a pipe.
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115, the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise UserError(f"{path} is a pipe or a device, not a regular file: remove it")
    return file


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_regular(path: Path, limit: int) -> bytes:
    """Read a whole file; raise ValueError if it has more than `limit` bytes."""
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return data


def safe_component(name: str) -> str:
    """Return a name that a file holds as the name of a single file or folder: it cannot lead elsewhere."""
    plain = re.sub(r"[/\\\x00-\x1f\x7f-\x9f]", "_", name).lstrip(".")
    return plain[:100] or "unnamed"


def require_inside(path: Path, folder: Path) -> None:
    """Raise UserError if a link leads from a path, given as one in a folder, to a place outside of it."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{path} leads out of {folder}, to {path.resolve()}: remove that link, or name another place"
        )


def require_suffix(path: Path, suffix: str, shown: str, written: str) -> None:
    """Raise UserError unless a file to write has a suffix, in lower or upper case.

    Args:
        shown: the path as the user gave it, with its flag.
        written: what is written to it.
    """
    if path.suffix.lower() != suffix:
        named = path.with_suffix(suffix) if path.name.strip(".") else path / f"new{suffix}"
        raise UserError(f"{shown}: {written} are written as {suffix}, so name {named}")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that gets its name once it is written: a process that is killed leaves no half of it.

    If the machine stops, it may: `write_atomically` and `sync_folder` wait for the disk.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        # "x": never through a link that lies there already.
        with open(partial, "xb") as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Write a whole file or nothing, even if the machine stops meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk holds the names of the files in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, atomically; bytes of file names that are no UTF-8 become escapes."""
    write_atomically(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, contents: Mapping[str, Any]) -> None:
    """Write plain data as indented JSON, atomically."""
    write_text(path, f"{json.dumps(contents, indent=2)}\n")


def require_exists(path: Path) -> None:
    """Raise UserError if there is no file or folder of this name."""
    if not os.path.exists(path):  # unlike Path.exists, also for a name that no file can have
        raise UserError(f"{path}: no such file or folder; check the path")


def is_occupied(path: Path) -> bool:
    """Return True if a path is a file or a folder that is not empty."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def require_unused(path: Path, overwrite: bool, remedy: str = "pass another --out, or --overwrite") -> None:
    """Raise UserError if a path is occupied and `overwrite` is False, or if nothing can be written there."""
    if is_occupied(path) and not overwrite:
        raise UserError(f"{path} already exists: {remedy}")
    place = path if path.is_dir() else path.parent
    while not place.exists():
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): pass another --out") from None


def remove_partials(folder: Path) -> None:
    """Delete partial files left by killed processes."""
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)
