"""Finding the published files of a set, by their names alone."""

import os
from pathlib import Path


def part(path: Path, *names: str) -> Path | None:
    """Return what has the first of these names that is there: `path` itself, or something in that folder."""
    path = path.absolute()  # "." has no name
    for name in names:
        for place in (path, path / name):
            if place.name == name and os.path.exists(place):
                return place
    return None


def beside(path: Path, name: str) -> Path | None:
    """Return what has this name in the folder that holds `path`, if it is there."""
    place = path.with_name(name)
    return place if os.path.exists(place) else None


def present(*paths: Path | None) -> tuple[Path, ...]:
    """Return those that were found."""
    return tuple(path for path in paths if path is not None)
