"""Writing files so that none is ever found half written."""

import os
from pathlib import Path

_PARTIAL = ".partial"


def is_partial(path: Path) -> bool:
    """Whether this is what a kill left of a file that was being written."""
    return path.name.startswith(".") and path.name.endswith(_PARTIAL)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, even if the machine stops meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
