"""Resolve the text after `--data` to the files of a source."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from avae.data.images.archives import is_image_name
from avae.data.images.walk import walk
from avae.data.sources.bundled import BUNDLED, bundled_source
from avae.data.sources.files import manual_download_error
from avae.data.sources.folder import open_folder, source_name
from avae.data.sources.published import PUBLISHED
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.data.sources.splits import AUTOMATIC, SplitFolderError, SplitFolders
from avae.errors import UserError

BUILT_IN = ("toy", *BUNDLED)

_RULES = "2"
"""Version of the rules by which the pictures and splits of a folder or an archive are found. A set that was
packed by other rules is packed again."""


@dataclass(frozen=True)
class ResolvedSource:
    """A source whose files exist.

    Attributes:
        published: the published data set that it is; None for other images.
        files: absolute paths of its files and folders.
        folders: folders of the splits that the user names; a published data set has its own splits.
    """

    published: PublishedDataset | None
    files: tuple[Path, ...]
    folders: SplitFolders = AUTOMATIC

    @property
    def name(self) -> str:
        """The name in result files."""
        return self.published.name if self.published else source_name(self.files[0])

    @property
    def identifier(self) -> str:
        """NAME:PATH, PATH or PATH (train: FOLDER, test: FOLDER): readable and unique."""
        if self.published:
            return f"{self.published.name}:{self.files[0]}"
        return f"{self.files[0]} ({self.folders})" if self.folders else str(self.files[0])

    def open(self, scratch: Path, seed: int) -> ImageSource:
        """Open the source.

        Args:
            scratch: a folder for extracted archives.
            seed: seed of the hold-out; unused by published data sets, which have fixed splits.
        """
        if self.published:
            return self.published.open(self.files, scratch)
        return open_folder(self.files[0], seed, self.folders)

    def fingerprint(self) -> str:
        """Return a hash of the files' names, sizes and modification times; in a folder, of its pictures'."""
        digest = hashlib.sha256(b"" if self.published else f"rules {_RULES}\n".encode())
        for path in self.files:
            files = _files(path) if self.published else _pictures(path, self.folders)
            for name, state in sorted(files):
                digest.update(os.fsencode(f"{name}\0{state}\n"))
        return f"sha256:{digest.hexdigest()}"


def absolute_source(source: str) -> str:
    """Return a source with its path made absolute."""
    if source in BUILT_IN or source in PUBLISHED:
        return source
    published, path = _parse_source(source)
    path = str(_absolute(path))
    return f"{published.name}:{path}" if published else path


def require_source(source: str) -> None:
    """Raise UserError if a source names a path where nothing is."""
    published, path = _parse_source(source)
    if source not in BUILT_IN and published is None and not _absolute(path).exists():
        raise UserError(_unknown_source_message(source))


def resolve_source(source: str, downloads: Path, folders: SplitFolders = AUTOMATIC) -> ResolvedSource:
    """Find the files of NAME (downloaded if necessary), NAME:PATH or PATH.

    Args:
        source: the text after `--data`; a PATH may contain a published data set or any other images.
        downloads: the folder of published data sets given without a path.
        folders: folders of the splits that the user names.

    Raises:
        UserError: the source is missing, or it is a published data set and folders are named.
    """
    resolved = _resolve(source, downloads)
    if folders and resolved.published:
        raise fixed_splits_error(folders, resolved.published.name)
    return replace(resolved, folders=folders)


def fixed_splits_error(folders: SplitFolders, name: str) -> SplitFolderError:
    """Return the error for folders of splits that are named for data whose splits are fixed."""
    return SplitFolderError(f"{folders.flags}: the splits of {name} are fixed; leave it out")


def _resolve(source: str, downloads: Path) -> ResolvedSource:
    if source in BUNDLED:
        bundled = bundled_source(source)
        return ResolvedSource(bundled, bundled.find(Path()) or ())
    if source == "toy":
        raise UserError("toy: made of points, not of pictures; there is nothing to pack or to look at")
    published, given_path = _parse_source(source)
    if published is None:
        return _detect_source(_absolute(given_path), source)
    path = _absolute(given_path) if given_path else downloads / published.name
    files = published.find(path)
    if files is None and not given_path:
        if published.fetch is None:
            raise manual_download_error(published.name, published.no_fetch, path)
        published.fetch(path)
        files = published.find(path)
    if files is None:
        raise UserError(
            f"{path}: no {published.name} here; looked for {published.expected_files} (see docs/data.md)"
        )
    return ResolvedSource(published, tuple(file.absolute() for file in files))


def _absolute(path: str) -> Path:
    """Return an absolute path. Unlike os.path.expanduser, Path.expanduser raises for an unknown user."""
    return Path(os.path.expanduser(path)).absolute()


def _parse_source(source: str) -> tuple[PublishedDataset | None, str]:
    """Split NAME, NAME:PATH or PATH into the published data set, if any, and the path."""
    if source in PUBLISHED:
        return PUBLISHED[source], ""
    name, colon, path = source.partition(":")
    if colon and name in PUBLISHED and not Path(source).exists():
        return PUBLISHED[name], path
    return None, source


def _detect_source(path: Path, source: str) -> ResolvedSource:
    """Detect whether a path contains a published data set or other images."""
    if not path.exists():
        raise UserError(_unknown_source_message(source))
    for published in PUBLISHED.values():
        files = published.find(path)
        if files is not None:
            return ResolvedSource(published, tuple(file.absolute() for file in files))
    return ResolvedSource(None, (path,))


def _unknown_source_message(source: str) -> str:
    """Return the error message for a source that is neither a known name nor an existing path."""
    known = (*BUILT_IN, *PUBLISHED)
    close = get_close_matches(source, known, n=1)
    remedy = (
        f"did you mean {close[0]}?"
        if close
        else f"check the path, or use {', '.join(known[:-1])} or {known[-1]}; "
        "if the data have moved, name their new place with --data"
    )
    return f"{source}: no data set, folder or archive of this name; {remedy}"


def _pictures(path: Path, folders: SplitFolders) -> Iterator[tuple[str, str]]:
    """Yield the name and state of an archive or a picture, or those of all pictures in a folder."""
    if not path.is_dir():
        yield path.name, _state(path.stat())
        return
    for name, entry in walk(path, [name for name in folders.names if (path / name).is_dir()]):
        if not isinstance(entry, str) and is_image_name(name):
            try:
                yield name, _state(os.stat(entry.path))
            except OSError:  # a broken link, or deleted in the meantime
                yield name, "none"


def _files(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and state (size and time) of a file, or of all visible files in a folder."""
    if not path.is_dir():
        yield path.name, _state(path.stat())
        return
    for parent, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                file = os.path.join(parent, name)
                try:
                    yield file, _state(os.stat(file))
                except OSError:  # a broken link, or deleted in the meantime
                    yield file, "none"


def _state(stat: os.stat_result) -> str:
    return f"{stat.st_size} {stat.st_mtime_ns}"
