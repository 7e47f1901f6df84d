"""Find and download the files of published data sets."""

import os
from collections.abc import Callable
from pathlib import Path

from avae.errors import UserError


def find_first(path: Path, *names: str) -> Path | None:
    """Return `path` or its entry with the first of these names that exists, or None."""
    path = path.absolute()  # "." has no name
    for name in names:
        for candidate in (path, path / name):
            if candidate.name == name and os.path.exists(candidate):
                return candidate
    return None


def sibling_if_exists(path: Path, name: str) -> Path | None:
    """Return the entry with this name in the same folder as `path`, or None."""
    sibling = path.with_name(name)
    return sibling if os.path.exists(sibling) else None


def existing(*paths: Path | None) -> tuple[Path, ...]:
    """Return the paths that are not None."""
    return tuple(path for path in paths if path is not None)


Download = Callable[[str, Path, str, str], object]
"""(address, folder, file name, md5) -> None, as torchvision's: verifies the md5, keeps a correct file."""


def fetch_file(download: Download, address: str, path: Path, md5: str) -> None:
    """Download a file atomically, unless it exists.

    Args:
        address: the file's URL or id, as `download` takes it.

    Raises:
        Exception: any error of `download`.
    """
    if path.exists():
        return
    partial = f".{path.name}.partial"
    download(address, path.parent, partial, md5)
    os.replace(path.with_name(partial), path)


def manual_download_error(name: str, why_and_what: str, folder: Path) -> UserError:
    """Return the error that explains how to download a data set by hand.

    Args:
        why_and_what: the reason why avae does not download it, the files to get and their address, as
            "REASON; get FILES".
        folder: the folder to put them in.
    """
    return UserError(
        f"{name}: {why_and_what}, and put that into {folder}, "
        f"or into any other folder and pass --data {name}:FOLDER"
    )
