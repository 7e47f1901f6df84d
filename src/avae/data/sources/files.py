"""Finding the published files of a set, by their names alone."""

import os
from collections.abc import Callable
from pathlib import Path

from avae.errors import UserError


def find_first(path: Path, *names: str) -> Path | None:
    """Return what has the first of these names that is there: `path` itself, or something in that folder."""
    path = path.absolute()  # "." has no name
    for name in names:
        for place in (path, path / name):
            if place.name == name and os.path.exists(place):
                return place
    return None


def sibling_if_exists(path: Path, name: str) -> Path | None:
    """Return what has this name in the folder that holds `path`, if it is there."""
    place = path.with_name(name)
    return place if os.path.exists(place) else None


def existing(*paths: Path | None) -> tuple[Path, ...]:
    """Return those that were found."""
    return tuple(path for path in paths if path is not None)


Download = Callable[[str, Path, str, str], object]
"""(what, folder, file name, md5) -> None, as torchvision's: checks the md5; a file already right is kept."""


def fetch_file(download: Download, what: str, path: Path, md5: str) -> None:
    """Download a file whole or not at all; one that is there is left as it is.

    Args:
        what: its URL or id, as `download` takes it.

    Raises:
        Exception: whatever `download` raises.
    """
    if path.exists():
        return
    partial = f".{path.name}.partial"
    download(what, path.parent, partial, md5)
    os.replace(path.with_name(partial), path)


def manual_download_error(name: str, why: str, what: str, folder: Path) -> UserError:
    """Return the error that tells how to get a set without `fetch`.

    Args:
        why: it cannot be fetched.
        what: to get, and where from.
        folder: where it was to go.
    """
    return UserError(
        f"{name}: {why}; get {what}, and put that into {folder}, "
        f"or into a folder of your own and pass --data {name}:FOLDER"
    )
