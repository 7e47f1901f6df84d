"""The pictures of a folder, a zip or a tar: their names, and their bytes in memory.

Nothing is ever extracted: members of archives are read in memory, so that a name such as `../x` or `/x`
can write nothing. A file counts as a picture by its extension (`SUFFIXES`, in any case) and is then read by
its content. Passed over: hidden files and folders, `__MACOSX`, whatever is no regular file, links inside
archives and links to folders. A folder's links to files are read: they are its owner's own.
"""

import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from avae.data.decoding import UnreadableError, one_line
from avae.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
MAX_BYTES = 256 * 2**20

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RuntimeError,  # an encrypted zip; NotImplementedError, an unknown compression, is one too
)

Content = bytes | Path | UnreadableError  # a picture's bytes, where to read them, or why there are none


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder or archive.

    Attributes:
        path: the folder or archive.
        names: relative POSIX names, sorted.
        read: hands out the contents of the names given, in the order the archive holds them.
    """

    path: Path
    names: list[str]
    read: Callable[[Collection[str]], Iterator[tuple[str, Content]]]


def open_pictures(path: Path) -> Pictures:
    """List the pictures of a folder, a .zip, a .tar, .tar.gz or .tgz, or a single picture file.

    Raises:
        UserError: the path is missing, is nothing of the kind, is damaged, or holds no pictures.
    """
    pictures = _opened(path)
    if not pictures.names:
        raise UserError(f"{path}: holds no pictures; looked for {', '.join(sorted(SUFFIXES))}")
    return pictures


def load_content(content: Content) -> bytes:
    """Return a picture's bytes; raises UnreadableError."""
    if isinstance(content, Path):
        try:
            content = _guarded(content.stat().st_size, content.read_bytes)
        except OSError as error:
            raise UnreadableError(error.strerror or one_line(error)) from error
    if isinstance(content, UnreadableError):
        raise content
    return content


def _guarded(count: int, read: Callable[[], bytes]) -> bytes | UnreadableError:
    """Read a file of `count` bytes, unless it is too large to be a picture."""
    if count > MAX_BYTES:
        return UnreadableError(f"a file of {count >> 20} MiB, more than the {MAX_BYTES >> 20} allowed")
    return read()


def _opened(path: Path) -> Pictures:
    """Open whatever the path is; the extension tells an archive."""
    name = path.name.lower()
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path")
    if name.endswith(".zip"):
        return _zip(path)
    if name.endswith(TAR_SUFFIXES):
        return _tar(path)
    if path.suffix.lower() in SUFFIXES:
        return Pictures(path, [path.name], lambda names: ((name, path) for name in names))
    raise UserError(
        f"{path}: not a folder, a .zip, {' or '.join(TAR_SUFFIXES)}, nor a picture; give one of these"
    )


def _counts(name: str) -> bool:
    """Whether a relative name is a visible picture's."""
    parts = name.split("/")
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)
    return not hidden and PurePosixPath(name).suffix.lower() in SUFFIXES


def _tidy(name: str) -> str:
    """Return a member's name without `./`, `//` and the like; `..` stays, it opens nothing."""
    return PurePosixPath(name).as_posix()


def _folder(path: Path) -> Pictures:
    """List a folder; files are read when they are decoded."""
    found = []
    for parent, _, files in os.walk(path, onerror=partial(_cannot_list, path)):
        inside = Path(parent).relative_to(path)
        found += [name for name in ((inside / file).as_posix() for file in files) if _counts(name)]
    names = sorted(name for name in found if (path / name).is_file())
    return Pictures(path, names, lambda names: ((name, path / name) for name in names))


def _cannot_list(path: Path, error: OSError) -> None:
    """Say so, rather than train on a part."""
    raise UserError(
        f"{path}: cannot list {error.filename} ({error.strerror}); change its permissions"
    ) from error


@contextmanager
def _archive(path: Path) -> Iterator[None]:
    """Turn the many ways a damaged archive fails into one message."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged archive ({one_line(error)}); make or download it again") from error


def _zip(path: Path) -> Pictures:
    """List a zip; each member stands for itself, so that one damaged member spoils no other."""
    with _archive(path), zipfile.ZipFile(path) as archive:
        # Some programs of Windows write backslashes.
        named = [(_tidy(info.filename.replace("\\", "/")), info) for info in archive.infolist()]
    members = {name: info for name, info in named if _is_file(info) and _counts(name)}
    return Pictures(path, sorted(members), partial(_read_zip, path, members))


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Whether a member is a regular file; archives made elsewhere than on Unix do not say."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return not info.is_dir() and kind in (0, stat.S_IFREG)


def _read_zip(
    path: Path, members: dict[str, zipfile.ZipInfo], names: Collection[str]
) -> Iterator[tuple[str, Content]]:
    with _archive(path), zipfile.ZipFile(path) as archive:
        for name in names:
            yield name, _member(archive, members[name])


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | UnreadableError:
    """Read one member of a zip."""
    try:
        return _guarded(info.file_size, partial(archive.read, info))
    except _DAMAGE as error:
        return UnreadableError(one_line(error))


def _tar(path: Path) -> Pictures:
    """List a tar, keeping only where each member starts, so that reading it is one pass without headers."""
    members: dict[str, tuple[int, int]] = {}
    with _archive(path), tarfile.open(path, "r:*") as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep every header
            name = _tidy(info.name)
            if info.isreg() and not info.issparse() and _counts(name):
                members[name] = (info.offset_data, info.size)
        _check_end(archive)
    return Pictures(path, sorted(members), partial(_read_tar, path, members))


def _check_end(archive: tarfile.TarFile) -> None:
    """Refuse a tar broken off by a bad header, which tarfile takes for its end, or with a bad checksum."""
    stream = archive.fileobj
    assert stream is not None
    stream.seek(archive.offset)
    if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("bad header")
    while stream.read(2**20):
        pass


def _read_tar(
    path: Path, members: dict[str, tuple[int, int]], names: Collection[str]
) -> Iterator[tuple[str, Content]]:
    """Read in the order of the file: a compressed tar can only be read forwards."""
    with _archive(path), tarfile.open(path, "r:*") as archive:
        stream = archive.fileobj
        assert stream is not None
        for name in sorted(names, key=members.__getitem__):
            start, length = members[name]
            stream.seek(start)
            content = _guarded(length, partial(stream.read, length))
            if isinstance(content, bytes) and len(content) < length:
                raise EOFError("it ends early")
            yield name, content
