"""List the images of a folder, a zip or a tar, and read their bytes.

Nothing is extracted: members of archives are read into memory, so a name such as `../x` or `/x` can write
nothing. A file is an image if its extension is in `SUFFIXES` (in any case); its format is then detected from
its content. Other files, archives among them, are counted by their extension. Ignored: hidden files and
folders, `__MACOSX`. Rejected, with a reason: entries with an image's extension that are not regular files,
including links inside archives, and folders that are not entered (see `walk`). A folder's links to files are
read: its owner made them.

Names are printable: control characters, and bytes that are not text, are written as `\\x1b`. If two members
have the same name, the last one counts, as in tar.
"""

import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from avae.data.images import tar
from avae.data.images.item import RejectedImage, UnreadableError, one_line
from avae.data.images.walk import Entry, is_hidden, walk
from avae.errors import UserError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
MAX_BYTES = 256 * 2**20

_ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_NO_SUFFIX, _LINKS = "no extension", "links"
_NAMED_KINDS, _LONGEST_SUFFIX = 6, 12  # of files that are passed over, in a note

_CHUNK_BYTES = 4096  # LZMA returns a decompressed chunk whole, up to 7000 times its size; bzip2, a million
_ENCRYPTED = 1  # a flag of a zip's member
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
    RuntimeError,  # includes NotImplementedError, for a zip of a later version
)

Content = bytes | Path | UnreadableError  # the bytes or path of an image, or the reason why it is unreadable
Location = TypeVar("Location")


@dataclass(frozen=True)
class ImageCollection:
    """The images of a folder or archive.

    Attributes:
        path: the folder or archive.
        names: relative POSIX names, sorted.
        read: names -> (name, content) of each, in reading order.
        reading_order: sorts names into the order of fastest reading: for a tar, by position.
        rejected: entries with an image's extension that are not regular files, and folders that are not
            entered; not in `names`.
        passed_over: number of visible files without an image's extension, by extension.
    """

    path: Path
    names: list[str]
    read: Callable[[Collection[str]], Iterator[tuple[str, Content]]]
    reading_order: Callable[[Collection[str]], list[str]] = list
    rejected: tuple[RejectedImage, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @property
    def passed_over_note(self) -> str:
        """What was passed over, in words; "" if nothing was."""
        if not self.passed_over:
            return ""
        kinds = sorted(self.passed_over.items(), key=lambda item: (-item[1], item[0]))
        few = ", ".join(f"{kind} {count:,}" for kind, count in kinds[:_NAMED_KINDS])
        more = f", and {len(kinds) - _NAMED_KINDS} more kinds" if len(kinds) > _NAMED_KINDS else ""
        inner = "; archives inside are not opened" if _ARCHIVE_SUFFIXES & self.passed_over.keys() else ""
        count = sum(self.passed_over.values())
        files = "file that is no picture by its name" if count == 1 else "files that are no pictures by name"
        return f"passed over {count:,} {files} ({few}{more}{inner})"


def open_collection(path: Path, named: Collection[str] = ()) -> ImageCollection:
    """List the images of a folder, a .zip, a .tar, .tar.gz or .tgz, or a single image file.

    Args:
        named: folders inside a folder to enter even if they are links that lead out of it.

    Raises:
        UserError: the path is missing, of another kind, damaged, or has no images.
    """
    collection = _open_any(path, named)
    if not collection.names:
        if collection.rejected:
            first = collection.rejected[0]
            raise UserError(f"{path}: no picture can be read (the first, {first.name}: {first.reason})")
        note = collection.passed_over_note
        raise UserError(
            f"{path}: holds no pictures; looked for {', '.join(sorted(SUFFIXES))}{note and f', {note}'}"
        )
    return collection


def read_bytes(content: Content) -> bytes:
    """Return the bytes of an image; raise UnreadableError."""
    if isinstance(content, UnreadableError):
        raise content
    return _load(content) if isinstance(content, Path) else content


def _load(path: Path) -> bytes:
    """Read a file; reject one that is too large, or a pipe, which would block."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError(_IRREGULAR)
        _check_size(status.st_size)
        with path.open("rb") as file:
            return file.read(status.st_size)
    except OSError as error:
        raise UnreadableError(error.strerror or one_line(error)) from error


def _check_size(count: int) -> None:
    if count > MAX_BYTES:
        raise UnreadableError(f"a file of {count >> 20} MiB, more than the {MAX_BYTES >> 20} allowed")


def _open_any(path: Path, named: Collection[str]) -> ImageCollection:
    """Open a folder, an archive (recognised by its extension) or an image file."""
    name = path.name.lower()
    if os.path.isdir(path):
        return _folder(path, named)
    if not os.path.isfile(path):  # unlike Path.is_file, never raises
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


def is_image_name(name: str) -> bool:
    """Return True if a name has an image's extension."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def _is_visible(name: str) -> bool:
    """Return True if a relative name has no hidden part."""
    return not any(is_hidden(part) for part in name.split("/"))


def _kind(name: str) -> str:
    """Return the extension by which a file that is no image is counted."""
    suffix = os.path.splitext(name)[1].lower()
    return f"{suffix[:_LONGEST_SUFFIX]}..." if len(suffix) > _LONGEST_SUFFIX else suffix or _NO_SUFFIX


def _normalise_name(name: str) -> str:
    """Return a member's name, printable and without `./`, `//` and the like."""
    return _escape_unprintable(PurePosixPath(name).as_posix())


def _escape_unprintable(name: str) -> str:
    """Write control characters, and surrogates of undecodable bytes, as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", name)


def _folder(path: Path, named: Collection[str]) -> ImageCollection:
    """List a folder; its files are read when they are decoded."""
    names, rejected, passed_over = set(), [], Counter[str]()
    unescaped: dict[str, str] = {}  # escaped name -> name of the file, where they differ
    for file, entry in walk(path, [name for name in named if os.path.isdir(path / name)]):
        name = _escape_unprintable(file)
        reason = entry if isinstance(entry, str) else _rejection_reason(entry)
        if not isinstance(entry, str) and not is_image_name(name):
            passed_over[_kind(name)] += 1
        elif reason is not None:
            rejected.append(RejectedImage(name, reason))
        else:
            names.add(name)
            if name != file:
                unescaped[name] = file
    return ImageCollection(
        path,
        sorted(names),
        lambda names: ((name, path / unescaped.get(name, name)) for name in names),
        rejected=_sorted(rejected),
        passed_over=passed_over,
    )


def _rejection_reason(entry: Entry) -> str | None:
    """Return the reason not to open an entry of a folder, or None."""
    if entry.is_symlink():
        return None if os.path.isfile(entry.path) else "a broken link, or one to no regular file"
    return None if entry.is_file(follow_symlinks=False) else _IRREGULAR


def _sorted(rejected: list[RejectedImage]) -> tuple[RejectedImage, ...]:
    return tuple(sorted(rejected, key=lambda item: item.name))


@contextmanager
def _damage_as_user_error(path: Path) -> Iterator[None]:
    """Convert the many errors of damaged archives to one UserError."""
    try:
        yield
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged archive ({one_line(error)}); make or download it again") from error


def _split_rejected(
    entries: Mapping[str, Location | str],
) -> tuple[dict[str, Location], tuple[RejectedImage, ...]]:
    """Split entries into images, with their locations, and rejected ones, with their reasons."""
    members = {name: location for name, location in entries.items() if not isinstance(location, str)}
    rejected = [RejectedImage(name, reason) for name, reason in entries.items() if isinstance(reason, str)]
    return members, _sorted(rejected)


def _zip(path: Path) -> ImageCollection:
    """List a zip; members are independent, so one damaged member affects no other."""
    found: dict[str, zipfile.ZipInfo | str] = {}
    passed_over = Counter[str]()
    with _damage_as_user_error(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            # Some Windows programs write backslashes.
            name = _normalise_name(info.filename.replace("\\", "/"))
            if not _is_visible(name) or _is_folder(info):
                continue
            if is_image_name(name):
                found[name] = _irregular_reason(info) or info
            else:
                passed_over[_LINKS if _irregular_reason(info) == _LINK else _kind(name)] += 1
    members, rejected = _split_rejected(found)
    read = partial(_read_zip, path, members)
    return ImageCollection(path, sorted(members), read, rejected=rejected, passed_over=passed_over)


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.is_dir() or stat.S_ISDIR(info.external_attr >> 16)


def _irregular_reason(info: zipfile.ZipInfo) -> str | None:
    """Return the reason why a member is not a regular file, or None; only archives made on Unix record it."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind in (0, stat.S_IFREG):
        return None
    return _LINK if kind == stat.S_IFLNK else _IRREGULAR


def _read_zip(
    path: Path, members: dict[str, zipfile.ZipInfo], names: Collection[str]
) -> Iterator[tuple[str, Content]]:
    with _damage_as_user_error(path), zipfile.ZipFile(path) as archive:
        for name in names:
            yield name, _member(archive, members[name])


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Content:
    """Read one member of a zip, in chunks: only then does zipfile stop at the declared size."""
    if info.flag_bits & _ENCRYPTED:
        return UnreadableError("encrypted; unpack the archive with its password")
    if info.compress_type == zipfile.ZIP_BZIP2:
        return UnreadableError("compressed by bzip2; make the archive again by another method")
    try:
        _check_size(info.file_size)
        with archive.open(info) as stream:
            return b"".join(iter(partial(stream.read, _CHUNK_BYTES), b""))
    except Exception as error:  # each compression method raises different errors
        return UnreadableError(one_line(error))


def _tar(path: Path) -> ImageCollection:
    """List a tar and the location of each member, so that reading is one pass without headers."""
    found: dict[str, tuple[int, int] | str] = {}
    passed_over = Counter[str]()
    with _damage_as_user_error(path):
        for member in tar.members(path):
            name = _normalise_name(member.name)
            if not _is_visible(name) or member.kind == tarfile.DIRTYPE:
                continue
            if is_image_name(name):
                location = (member.start, member.size)
                found[name] = location if member.kind in _FILES else _KINDS.get(member.kind, _IRREGULAR)
            else:
                link = member.kind in (tarfile.LNKTYPE, tarfile.SYMTYPE)
                passed_over[_LINKS if link else _kind(name)] += 1
    members, rejected = _split_rejected(found)
    order = partial(sorted, key=members.__getitem__)
    read = partial(_read_tar, path, members)
    return ImageCollection(path, sorted(members), read, order, rejected, passed_over)


def _read_tar(
    path: Path, members: dict[str, tuple[int, int]], names: Collection[str]
) -> Iterator[tuple[str, Content]]:
    """Read members in the order of the file: a compressed tar can only be read forwards."""
    with _damage_as_user_error(path), tar.open_stream(path) as stream:
        for name in sorted(names, key=members.__getitem__):
            start, length = members[name]
            try:
                _check_size(length)
            except UnreadableError as error:
                yield name, error
                continue
            stream.seek(start)
            yield name, tar.read(stream, length)
