"""The pictures of a folder, a zip or a tar: their names, and their bytes in memory.

Nothing is ever extracted: members of archives are read in memory, so that a name such as `../x` or `/x`
can write nothing. A file counts as a picture by its extension (`SUFFIXES`, in any case) and is then read by
its content. Passed over: hidden files and folders, `__MACOSX`, links to folders, archives inside archives.
Rejected, with a reason: what has a picture's name and is no regular file, links inside archives among them.
A folder's links to files are read: they are its owner's own.

Names are fit to be printed: control characters, and bytes that are not text, are written as `\\x1b`. Of two
members of the same name the last counts, as tar has it.
"""

import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from avae.data.images import tar
from avae.data.images.item import RejectedImage, UnreadableError, one_line
from avae.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
MAX_BYTES = 256 * 2**20

_PIECE = 4096  # that of LZMA hands out all that a piece holds, up to 7000 times its size; bzip2's, a million
_ENCRYPTED = 1  # among the flags of a zip's member
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_LINK = "a link; archives are read without following any"
_IRREGULAR = "not a regular file"
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_KINDS = {
    tarfile.LNKTYPE: _LINK,
    tarfile.SYMTYPE: _LINK,
    tarfile.GNUTYPE_SPARSE: "a sparse file; pack it again without holes",
}

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    MemoryError,  # a directory that claims terabytes
    RuntimeError,  # NotImplementedError, a zip of a later version, is one too
)

Content = bytes | Path | UnreadableError  # a picture's bytes, where to read them, or why there are none
Place = TypeVar("Place")


@dataclass(frozen=True)
class ImageCollection:
    """The pictures of a folder or archive.

    Attributes:
        path: the folder or archive.
        names: relative POSIX names, sorted.
        read: hands out the contents of the names given, in their reading order.
        reading_order: sorts names as they are read fastest: a tar's by their place in it.
        rejected: what has a picture's name and is none; not among the names.
    """

    path: Path
    names: list[str]
    read: Callable[[Collection[str]], Iterator[tuple[str, Content]]]
    reading_order: Callable[[Collection[str]], list[str]] = list
    rejected: tuple[RejectedImage, ...] = ()


def open_collection(path: Path) -> ImageCollection:
    """List the pictures of a folder, a .zip, a .tar, .tar.gz or .tgz, or a single picture file.

    Raises:
        UserError: the path is missing, is nothing of the kind, is damaged, or holds no pictures.
    """
    pictures = _open_any(path)
    if not pictures.names:
        if pictures.rejected:
            first = pictures.rejected[0]
            raise UserError(f"{path}: no picture can be read (the first, {first.name}: {first.reason})")
        raise UserError(f"{path}: holds no pictures; looked for {', '.join(sorted(SUFFIXES))}")
    return pictures


def read_bytes(content: Content) -> bytes:
    """Return a picture's bytes; raises UnreadableError."""
    if isinstance(content, UnreadableError):
        raise content
    return _load(content) if isinstance(content, Path) else content


def _load(path: Path) -> bytes:
    """Read a file, unless it is too large to be a picture, or a pipe, which would make us wait."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError(_IRREGULAR)
        _check_size(found.st_size)
        with path.open("rb") as file:
            return file.read(found.st_size)
    except OSError as error:
        raise UnreadableError(error.strerror or one_line(error)) from error


def _check_size(count: int) -> None:
    if count > MAX_BYTES:
        raise UnreadableError(f"a file of {count >> 20} MiB, more than the {MAX_BYTES >> 20} allowed")


def _open_any(path: Path) -> ImageCollection:
    """Open whatever the path is; the extension tells an archive."""
    name = path.name.lower()
    if os.path.isdir(path):
        return _folder(path)
    if not os.path.isfile(path):  # unlike Path.exists, never raises
        raise UserError(f"{path}: no such file or folder; check the path")
    if name.endswith(".zip"):
        return _zip(path)
    if name.endswith(TAR_SUFFIXES):
        return _tar(path)
    if path.suffix.lower() in SUFFIXES:
        return ImageCollection(path, [path.name], lambda names: ((name, path) for name in names))
    raise UserError(
        f"{path}: not a folder, a .zip, {' or '.join(TAR_SUFFIXES)}, nor a picture; give one of these"
    )


def _is_visible_image(name: str) -> bool:
    """Whether a relative name is a visible picture's."""
    return _is_picture(name) and not any(_is_hidden(part) for part in name.split("/"))


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _is_hidden(part: str) -> bool:
    """Whether to pass over a file or folder; `..` opens nothing."""
    return part == "__MACOSX" or (part.startswith(".") and part != "..")


def _normalise_name(name: str) -> str:
    """Return a member's name without `./`, `//` and the like, fit to be printed."""
    return _escape_unprintable(PurePosixPath(name).as_posix())


def _escape_unprintable(name: str) -> str:
    """Write control characters, and the surrogates that stand for bytes, as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", name)


def _folder(path: Path) -> ImageCollection:
    """List a folder; files are read when they are decoded."""
    names, rejected = set(), []
    written: dict[str, str] = {}  # where that is not the name
    for file, entry in _files(path):
        name = _escape_unprintable(file)
        if name != file:
            written[name] = file
        if (reason := _rejection_reason(entry)) is None:
            names.add(name)
        else:
            rejected.append(RejectedImage(name, reason))
    return ImageCollection(
        path,
        sorted(names),
        lambda names: ((name, path / written.get(name, name)) for name in names),
        rejected=_sorted(rejected),
    )


def _files(path: Path) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Walk the visible folders; hand out whatever else has a picture's name. What it is, listing tells."""
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(path / inside) as found:
                entries = list(found)
        except OSError as error:
            raise _listing_error(path, error) from error
        for entry in entries:
            if _is_hidden(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{inside}{entry.name}/")
            elif _is_picture(entry.name):
                yield f"{inside}{entry.name}", entry


def _rejection_reason(entry: "os.DirEntry[str]") -> str | None:
    """Return why an entry of a folder is not to be opened."""
    if entry.is_symlink():
        return None if os.path.isfile(entry.path) else "a broken link, or one to no regular file"
    return None if entry.is_file(follow_symlinks=False) else _IRREGULAR


def _sorted(rejected: list[RejectedImage]) -> tuple[RejectedImage, ...]:
    return tuple(sorted(rejected, key=lambda item: item.name))


def _listing_error(path: Path, error: OSError) -> UserError:
    """Say so, rather than train on a part."""
    return UserError(f"{path}: cannot list {error.filename} ({error.strerror}); change its permissions")


@contextmanager
def _archive(path: Path) -> Iterator[None]:
    """Turn the many ways a damaged archive fails into one message."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged archive ({one_line(error)}); make or download it again") from error


def _split_rejected(found: Mapping[str, Place | str]) -> tuple[dict[str, Place], tuple[RejectedImage, ...]]:
    """Tell the pictures, with their places, from what is rejected, with its reason."""
    members = {name: place for name, place in found.items() if not isinstance(place, str)}
    return members, _sorted([RejectedImage(name, why) for name, why in found.items() if isinstance(why, str)])


def _zip(path: Path) -> ImageCollection:
    """List a zip; each member stands for itself, so that one damaged member spoils no other."""
    found: dict[str, zipfile.ZipInfo | str] = {}
    with _archive(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = _normalise_name(
                info.filename.replace("\\", "/")
            )  # some programs of Windows write backslashes
            if _is_visible_image(name) and not _is_folder(info):
                found[name] = _irregular_reason(info) or info
    members, rejected = _split_rejected(found)
    return ImageCollection(path, sorted(members), partial(_read_zip, path, members), rejected=rejected)


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.is_dir() or stat.S_ISDIR(info.external_attr >> 16)


def _irregular_reason(info: zipfile.ZipInfo) -> str | None:
    """Return why a member is no file; archives made elsewhere than on Unix do not say what it is."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind in (0, stat.S_IFREG):
        return None
    return _LINK if kind == stat.S_IFLNK else _IRREGULAR


def _read_zip(
    path: Path, members: dict[str, zipfile.ZipInfo], names: Collection[str]
) -> Iterator[tuple[str, Content]]:
    with _archive(path), zipfile.ZipFile(path) as archive:
        for name in names:
            yield name, _member(archive, members[name])


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Content:
    """Read one member of a zip; zipfile ends at the size declared, but must be read in pieces for that."""
    if info.flag_bits & _ENCRYPTED:
        return UnreadableError("encrypted; unpack the archive with its password")
    if info.compress_type == zipfile.ZIP_BZIP2:
        return UnreadableError("compressed by bzip2; make the archive again by another method")
    try:
        _check_size(info.file_size)
        with archive.open(info) as stream:
            return b"".join(iter(partial(stream.read, _PIECE), b""))
    except Exception as error:  # each compression fails in ways of its own
        return UnreadableError(one_line(error))


def _tar(path: Path) -> ImageCollection:
    """List a tar, keeping only where each member starts, so that reading it is one pass without headers."""
    found: dict[str, tuple[int, int] | str] = {}
    with _archive(path):
        for member in tar.members(path):
            name = _normalise_name(member.name)
            if _is_visible_image(name) and member.kind != tarfile.DIRTYPE:
                place = (member.start, member.size)
                found[name] = place if member.kind in _FILES else _KINDS.get(member.kind, _IRREGULAR)
    members, rejected = _split_rejected(found)
    order = partial(sorted, key=members.__getitem__)
    return ImageCollection(path, sorted(members), partial(_read_tar, path, members), order, rejected)


def _read_tar(
    path: Path, members: dict[str, tuple[int, int]], names: Collection[str]
) -> Iterator[tuple[str, Content]]:
    """Read in the order of the file: a compressed tar can only be read forwards."""
    with _archive(path), tar.open_stream(path) as stream:
        for name in sorted(names, key=members.__getitem__):
            start, length = members[name]
            try:
                _check_size(length)
            except UnreadableError as error:
                yield name, error
                continue
            stream.seek(start)
            yield name, tar.read(stream, length)
