"""From what a user writes after `--data` to the files that are meant."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from avae.data.sources.digits import DIGITS
from avae.data.sources.folder import open_folder, source_name
from avae.data.sources.published import PUBLISHED
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.errors import UserError

BUILT_IN = ("toy", "digits")


@dataclass(frozen=True)
class ResolvedSource:
    """A source that is there.

    Attributes:
        named: the published set it is, if it is one.
        files: what it consists of, in whole paths.
    """

    named: PublishedDataset | None
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What to call it."""
        return self.named.name if self.named else source_name(self.files[0])

    @property
    def identifier(self) -> str:
        """What it is and where, for a person and to tell it from every other."""
        return f"{self.named.name}:{self.files[0]}" if self.named else str(self.files[0])

    def open(self, scratch: Path, seed: int) -> ImageSource:
        """Open it.

        Args:
            scratch: a folder for what must be unpacked.
            seed: of the hold-out of a set of one's own; published ones have splits.
        """
        return self.named.open(self.files, scratch) if self.named else open_folder(self.files[0], seed)

    def fingerprint(self) -> str:
        """Return what changes whenever one of the files does: a hash of names, sizes and times."""
        digest = hashlib.sha256()
        for path in self.files:
            for name, state in sorted(_files(path)):
                digest.update(os.fsencode(f"{name}\0{state}\n"))
        return f"sha256:{digest.hexdigest()}"


def absolute_source(source: str) -> str:
    """Return a source as it may be named from any folder."""
    if source in BUILT_IN or source in PUBLISHED:
        return source
    named, path = _parse_source(source)
    path = str(_absolute(path))
    return f"{named.name}:{path}" if named else path


def resolve_source(source: str, downloads: Path) -> ResolvedSource:
    """Find a source: NAME (downloaded if need be), NAME:PATH, or PATH, of a published set or anybody's.

    Args:
        downloads: where published sets are put when no path is given.

    Raises:
        UserError: there is no such source.
    """
    if source == "digits":
        return ResolvedSource(DIGITS, DIGITS.find(Path()) or ())
    if source == "toy":
        raise UserError("toy: made of points, not of pictures; there is nothing to pack or to look at")
    named, place = _parse_source(source)
    if named is None:
        return _detect_source(_absolute(place), source)
    path = _absolute(place) if place else downloads / named.name
    files = named.find(path)
    if files is None and not place:
        named.fetch(path)
        files = named.find(path)
    if files is None:
        raise UserError(f"{path}: no {named.name} here; looked for {named.expected_files} (see docs/data.md)")
    return ResolvedSource(named, tuple(file.absolute() for file in files))


def _absolute(path: str) -> Path:
    """Return a path from any folder; Path.expanduser raises if ~ is followed by no user's name."""
    return Path(os.path.expanduser(path)).absolute()


def _parse_source(source: str) -> tuple[PublishedDataset | None, str]:
    """Divide NAME, NAME:PATH or PATH into the set named, if one is, and the path."""
    if source in PUBLISHED:
        return PUBLISHED[source], ""
    name, colon, path = source.partition(":")
    if colon and name in PUBLISHED and not Path(source).exists():
        return PUBLISHED[name], path
    return None, source


def _detect_source(path: Path, source: str) -> ResolvedSource:
    """Tell what lies at a path."""
    if not path.exists():
        raise UserError(_unknown_source_message(source))
    for named in PUBLISHED.values():
        files = named.find(path)
        if files is not None:
            return ResolvedSource(named, tuple(file.absolute() for file in files))
    return ResolvedSource(None, (path,))


def _unknown_source_message(source: str) -> str:
    """Return what to say of a source that is neither known by name nor there."""
    known = (*BUILT_IN, *PUBLISHED)
    close = get_close_matches(source, known, n=1)
    remedy = (
        f"did you mean {close[0]}?"
        if close
        else f"check the path, or use {', '.join(known[:-1])} or {known[-1]}"
    )
    return f"{source}: no data set, folder or archive of this name; {remedy}"


def _files(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and state of a file, or of all visible files in a folder."""
    if not path.is_dir():
        yield path.name, _state(path.stat())
        return
    for parent, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield os.path.join(parent, name), _state_at(os.path.join(parent, name))


def _state_at(path: str) -> str:
    try:
        return _state(os.stat(path))
    except OSError:  # a broken link, or gone meanwhile
        return "none"


def _state(stat: os.stat_result) -> str:
    return f"{stat.st_size} {stat.st_mtime_ns}"
