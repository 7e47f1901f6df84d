"""Walk a data folder: every visible file once, through links to folders that stay inside or that are named.

A link to a folder is followed if it leads to a place inside the data folder, or if the user named it. Every
folder is listed once, whatever links lead to it, so a walk ends, and no picture counts twice: training on one
and testing on the other would be cheating. Runs and packed sets of avae inside the folder are no data.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from avae.errors import UserError

Entry = os.DirEntry[str]

_LISTED = "a link to a folder that is listed already"
_OUTSIDE = "a link out of the data folder, which is not followed: copy the folder, or name it"
_RUN = "a run or model of avae"
_PACKED = "a packed set of avae"


@dataclass(frozen=True)
class _Folder:
    """A folder to list.

    Attributes:
        prefix: its relative POSIX name and a slash, "" for the data folder itself.
        target: its real path.
        linked: True if a link leads here.
    """

    prefix: str
    target: str
    linked: bool = False


def walk(root: Path, named: Collection[str] = ()) -> Iterator[tuple[str, Entry | str]]:
    """Yield (relative POSIX name, entry) of every visible file, and (name, reason) of folders left out.

    The order depends on the names alone.

    Args:
        named: relative names of folders to follow wherever they lead.

    Raises:
        UserError: a folder cannot be listed, so that no run trains on a part of the data.
    """
    homes = {prefix: os.path.realpath(root / prefix) for prefix in ("", *named)}
    waiting = deque(_Folder(f"{name}/" if name else "", target) for name, target in homes.items())
    waiting.rotate(-1)  # named folders first, so that their pictures have the names that the user gave
    links: deque[_Folder] = deque()  # last, so that a picture has its name without links where it has one
    seen: set[str] = set()
    while waiting or links:
        folder = waiting.popleft() if waiting else links.popleft()
        if folder.target in seen:
            if folder.linked:
                yield folder.prefix[:-1], _LISTED
            continue
        seen.add(folder.target)
        entries = _entries(root, folder.prefix)
        if folder.prefix and (reason := _made_by_avae({entry.name for entry in entries})):
            yield folder.prefix[:-1], reason
            continue
        for entry in entries:
            name = f"{folder.prefix}{entry.name}"
            if is_hidden(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(_Folder(f"{name}/", os.path.join(folder.target, entry.name)))
            elif entry.is_symlink() and os.path.isdir(entry.path):
                target = os.path.realpath(entry.path)
                if name in homes or any(_lies_in(target, home) for home in homes.values()):
                    links.append(_Folder(f"{name}/", target, linked=name not in homes))
                else:
                    yield name, _OUTSIDE
            else:
                yield name, entry


def is_hidden(part: str) -> bool:
    """Return True if a file or folder is to be ignored; `..` is harmless, since nothing is extracted."""
    return part == "__MACOSX" or (part.startswith(".") and part != "..")


def _entries(root: Path, prefix: str) -> list[Entry]:
    """List a folder, sorted by name."""
    try:
        with os.scandir(root / prefix) as scan:
            return sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{root}: cannot list {error.filename} ({error.strerror}); change its permissions"
        ) from error


def _made_by_avae(names: set[str]) -> str | None:
    """Return what avae made a folder with these names for, or None."""
    if "config.json" in names and names & {"stats.jsonl", "state", "model.safetensors"}:
        return _RUN
    return _PACKED if {"meta.json", "images.npy"} <= names else None


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
