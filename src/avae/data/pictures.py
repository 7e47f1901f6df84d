"""Pictures from a folder, a zip or a tar, each turned into a small square array.

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
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from avae.data.dataset import Rejected
from avae.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
MAX_PIXELS = 89_478_485  # Pillow's own default: a gigabyte once in memory
MAX_BYTES = 256 * 2**20

_BATCH_COUNT, _BATCH_BYTES = 64, 4 * 2**20  # what one thread is handed at a time
_FINER = 4  # a JPEG is decoded at the smallest scale that leaves so many pixels for one of the result

Item = TypeVar("Item")
Result = TypeVar("Result")

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

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Named one by one: Image.open would also try formats that run other programs, and warns of large pictures
# through a filter that belongs to the whole process.
_READERS: tuple[tuple[bytes, Callable[[IO[bytes]], Image.Image]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.jpeg_factory),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"II", TiffImagePlugin.TiffImageFile),
    (b"MM", TiffImagePlugin.TiffImageFile),
)


class UnreadableError(ValueError):
    """A picture that cannot be used; the message is a short reason, fit for `Rejected`."""


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


def list_pictures(path: str | Path) -> list[str]:
    """Return the sorted relative names of the pictures; raises as `open_pictures`."""
    return open_pictures(Path(path)).names


def read_pictures(
    path: str | Path,
    size: int,
    channels: int,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> tuple[list[str], NDArray[np.uint8], tuple[Rejected, ...]]:
    """Read every picture of a folder, an archive or a single file.

    Args:
        on_progress: called with (pictures done, pictures in all).

    Returns:
        The names, sorted; uint8 (N, size, size, channels) in that order; the pictures left out.

    Raises:
        UserError: as `open_pictures`, or no picture can be read.
    """
    pictures = open_pictures(Path(path))
    return decode_named(pictures, pictures.names, size, channels, on_progress)


def decode_named(
    pictures: Pictures,
    names: list[str],
    size: int,
    channels: int,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> tuple[list[str], NDArray[np.uint8], tuple[Rejected, ...]]:
    """Decode the pictures named, on all cores; arguments, results and errors as `read_pictures`."""
    if size < 1 or channels not in (1, 3):
        raise UserError(f"size {size}, channels {channels}: give a size of at least 1, and 1 or 3 channels")
    rows = {name: row for row, name in enumerate(names)}
    out = np.empty((len(names), size, size, channels), dtype=np.uint8)
    rejected: dict[str, Rejected] = {}
    done = 0
    for count, refused in _on_all_cores(partial(_decode_batch, rows, out), _batches(pictures.read(names))):
        rejected |= {item.name: item for item in refused}
        done += count
        if on_progress is not None:
            on_progress(done, len(names))
    if len(rejected) == len(names):
        first = rejected[names[0]]
        why = f"the first, {first.name}: {first.reason}"
        raise UserError(f"{pictures.path}: no picture can be read ({why}); convert them to PNG or JPEG")
    kept = [name for name in names if name not in rejected]
    return kept, compact(out, [rows[name] for name in kept]), tuple(rejected[n] for n in sorted(rejected))


def compact(array: NDArray[np.uint8], kept: list[int]) -> NDArray[np.uint8]:
    """Move the rows `kept` (rising) to the front, in place, and return them: no second array."""
    for new, old in enumerate(kept):
        if new != old:
            array[new] = array[old]
    return array[: len(kept)]


def decode(data: bytes, size: int, channels: int) -> NDArray[np.uint8]:
    """Decode one picture to uint8 (size, size, channels).

    It is set upright (EXIF), put on white where transparent, reduced to 8 bits, cropped to the central
    square and resized without aliasing; of several frames the first counts. A picture that already has
    the size comes back as it is.

    Raises:
        UnreadableError: whatever is wrong with the file.
    """
    with _declared(), _reader(data) as image:
        _check_extent(image)
        image.draft(None, (_FINER * size, _FINER * size))
        return fit(image, size, channels)


def probe(content: Content) -> tuple[int, bool]:
    """Return a picture's shorter side and whether it is grey, from its header; raises UnreadableError."""
    with _declared(), _reader(_load(content)) as image:
        _check_extent(image)
        return min(image.size), Image.getmodebase(image.mode) == "L"


def open_picture(picture: str | Path | Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Turn a file or a PIL image into uint8 (size, size, channels), as `decode` does.

    Raises:
        UserError: names the file and what is wrong with it.
    """
    try:
        if isinstance(picture, Image.Image):
            with _declared():
                return fit(picture, size, channels)
        return decode(_load(Path(picture)), size, channels)
    except UnreadableError as error:
        name = "the PIL image" if isinstance(picture, Image.Image) else picture
        raise UserError(
            f"{name}: cannot be read as a picture ({error}); convert it to PNG or JPEG"
        ) from error


def fit(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Turn a PIL image into uint8 (size, size, channels); see `decode`."""
    image = _plain(_square(_upright(image)), channels)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(image, dtype=np.uint8).reshape(size, size, channels)


# One picture


@contextmanager
def _declared() -> Iterator[None]:
    """Turn whatever a decoder raises, and each has its own ways to fail, into an UnreadableError."""
    try:
        yield
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(_one_line(error)) from error


def _reader(data: bytes) -> Image.Image:
    """Open a picture by its first bytes, without decoding it."""
    if not data:
        raise UnreadableError("the file is empty")
    for start, reader in _READERS:
        if data.startswith(start):
            return reader(BytesIO(data))
    raise UnreadableError("not a PNG, JPEG, WebP, BMP, TIFF or GIF picture")


def _check_extent(image: Image.Image) -> None:
    """Refuse what would not fit in memory: a few bytes can claim billions of pixels."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableError(f"{width}x{height} pixels, more than the {MAX_PIXELS:,} allowed")


def _upright(image: Image.Image) -> Image.Image:
    """Turn the picture as its EXIF tag asks."""
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken metadata spoils no pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def _square(image: Image.Image) -> Image.Image:
    """Crop to the central square."""
    width, height = image.size
    side = min(width, height)
    if side < 1:
        raise UnreadableError("it has no pixels")
    left, top = (width - side) // 2, (height - side) // 2
    return image if width == height else image.crop((left, top, left + side, top + side))


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Reduce any mode to 8-bit grey (1 channel) or RGB (3)."""
    if image.mode == "F":
        raise UnreadableError("floating-point pixels have no known range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, 65535 to 255."""
    levels = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _one_line(error: Exception) -> str:
    """Return an exception's message, short enough for a table."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= 120 else message[:117] + "..."


# Many pictures


def _load(content: Content) -> bytes:
    """Return a picture's bytes; raises UnreadableError."""
    if isinstance(content, Path):
        try:
            content = _guarded(content.stat().st_size, content.read_bytes)
        except OSError as error:
            raise UnreadableError(error.strerror or _one_line(error)) from error
    if isinstance(content, UnreadableError):
        raise content
    return content


def _guarded(count: int, read: Callable[[], bytes]) -> bytes | UnreadableError:
    """Read a file of `count` bytes, unless it is too large to be a picture."""
    if count > MAX_BYTES:
        return UnreadableError(f"a file of {count >> 20} MiB, more than the {MAX_BYTES >> 20} allowed")
    return read()


def _batches(items: Iterable[tuple[str, Content]]) -> Iterator[list[tuple[str, Content]]]:
    """Group pictures into batches bounded in number and in bytes held."""
    batch: list[tuple[str, Content]] = []
    held = 0
    for name, content in items:
        batch.append((name, content))
        held += len(content) if isinstance(content, bytes) else 0
        if len(batch) == _BATCH_COUNT or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _decode_batch(
    rows: dict[str, int], out: NDArray[np.uint8], batch: list[tuple[str, Content]]
) -> tuple[int, list[Rejected]]:
    """Decode pictures into their rows of `out`; return how many there were and those refused."""
    rejected = []
    for name, content in batch:
        try:
            out[rows[name]] = decode(_load(content), out.shape[1], out.shape[3])
        except UnreadableError as error:
            rejected.append(Rejected(name, str(error)))
    return len(batch), rejected


def _on_all_cores(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Map in threads (Pillow decodes outside Python's lock), in order, few items ahead."""
    cores = os.cpu_count() or 1
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


# Folders and archives


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
        raise UserError(f"{path}: damaged archive ({_one_line(error)}); make or download it again") from error


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
        return UnreadableError(_one_line(error))


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
