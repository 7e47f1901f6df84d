"""Write files atomically, and never replace one without permission."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avae.errors import UserError


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing, even if the machine stops meanwhile."""
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


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, atomically; bytes of file names that are no UTF-8 become escapes."""
    write_atomically(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, contents: Mapping[str, Any]) -> None:
    """Write plain data as indented JSON, atomically."""
    write_text(path, f"{json.dumps(contents, indent=2)}\n")


def is_occupied(path: Path) -> bool:
    """Return True if a path is a file or a folder that is not empty."""
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def require_unused(path: Path, overwrite: bool, remedy: str = "pass another --out, or --overwrite") -> None:
    """Raise UserError if a path is occupied and `overwrite` is False."""
    if is_occupied(path) and not overwrite:
        raise UserError(f"{path} already exists: {remedy}")


def remove_partials(folder: Path) -> None:
    """Delete partial files left by killed processes."""
    for partial in folder.glob(str(_partial(Path("*")))):
        partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")
