"""Fetching the published files of a set, or saying how to fetch them by hand."""

import os
from collections.abc import Callable
from pathlib import Path

from avae.errors import UserError

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


def by_hand(name: str, why: str, what: str, folder: Path) -> UserError:
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
