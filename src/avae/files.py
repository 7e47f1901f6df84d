"""Write files so that none is lost unasked, or ever found half written."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avae.errors import UserError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, even if the machine stops meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_json(path: Path, contents: Mapping[str, Any]) -> None:
    """Write plain data, indented for reading, as `write_atomically` does."""
    write_atomically(path, f"{json.dumps(contents, indent=2)}\n".encode())


def is_occupied(path: Path) -> bool:
    """Return whether a path is a file, or a folder with something in it."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def require_unused(path: Path, overwrite: bool, remedy: str = "pass another --out, or --overwrite") -> None:
    """Raise UserError if writing to a path would replace something unasked."""
    if is_occupied(path) and not overwrite:
        raise UserError(f"{path} is there already: {remedy}")


def remove_partials(folder: Path) -> None:
    """Delete what kills left in a folder of files that were being written."""
    for partial in folder.glob(str(_partial(Path("*")))):
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
