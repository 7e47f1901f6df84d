"""From a source to the packed form: on all cores, in bounded memory, whole or not at all, and resumable."""

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.images.item import RejectedImage
from avae.data.images.preprocessing import FILTER, Preprocessing
from avae.data.images.workers import preprocess_parallel
from avae.data.packed.format import IMAGES, LABELS, PROGRESS_FILE, REJECTED, PackedMetadata, SplitSizes
from avae.data.sources.source import ImageSource
from avae.errors import UserError
from avae.files import write_atomically

REJECTED_SHARE = 0.9
"""Of the pictures; if more cannot be read, they are not what they were taken for."""

_ROWS = "rows.npy"
_SECONDS = 2.0  # between entries of the journal
_PIECE = 16 * 2**20


@dataclass(frozen=True)
class PackJob:
    """What to pack.

    Attributes:
        source, to: the pictures, and how to prepare them.
        described: the source as the user named it.
        fingerprint: of its files.
        dest: the folder to make, or the packed set to replace.
    """

    source: ImageSource
    to: Preprocessing
    source_id: str
    fingerprint: str
    dest: Path

    @property
    def partial(self) -> Path:
        """The folder it is made in."""
        return self.dest.with_name(f".{self.dest.name}.partial")

    @property
    def count(self) -> int:
        """All pictures, unreadable ones included."""
        return self.source.train + self.source.test

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for a packing that was broken off to be gone on with."""
        what = {"source": self.source_id, "fingerprint": self.fingerprint, "count": self.count}
        return what | dataclasses.asdict(self.to) | {"filter": FILTER, "avae": version("avae")}


@dataclass
class PackProgress:
    """How far a packing has got.

    Attributes:
        done: items of the reading order that are dealt with.
        rejected: those of them that cannot be used, by row.
    """

    done: int = 0
    rejected: dict[int, RejectedImage] = field(default_factory=dict)


def pack(order: PackJob, progress: Progress = SILENT) -> None:
    """Make a packed set; if it is broken off, doing it again goes on from there.

    Args:
        progress: of the pictures.

    Raises:
        UserError: too few pictures can be read, or the disk has no room for them.
    """
    journal = _resume_progress(order) or _start_fresh(order)
    _write_rows(order, journal, progress)
    good = np.delete(np.arange(order.count), sorted(journal.rejected))
    split = _split(order, journal, good)
    _write_images(order, good)
    _write_metadata(order, journal, good, split)
    _publish(order)


def _resume_progress(order: PackJob) -> PackProgress | None:
    """Return the journal of an earlier attempt at the very same, if there is one."""
    try:
        said = json.loads((order.partial / PROGRESS_FILE).read_text())
        if said["identity"] != order.identity or not any(
            (order.partial / name).exists() for name in (_ROWS, IMAGES)
        ):
            return None
        rejected = {row: RejectedImage(name, reason) for row, name, reason in said["rejected"]}
        return PackProgress(said["done"], rejected)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _start_fresh(order: PackJob) -> PackProgress:
    """Make room for a new set."""
    shutil.rmtree(order.partial, ignore_errors=True)
    order.partial.mkdir(parents=True)
    needed, free = order.count * _row_bytes(order), shutil.disk_usage(order.partial).free
    if needed > free:
        raise UserError(
            f"{order.dest}: {order.count:,} pictures take {needed / 2**30:.1f} GiB and the disk has "
            f"{free / 2**30:.1f} GiB left: free some, name another disk, or choose a smaller --size"
        )
    with open(order.partial / _ROWS, "wb") as file:
        _write_header(file, order, order.count)
        file.truncate(file.tell() + needed)
    return PackProgress()


def _write_rows(order: PackJob, journal: PackProgress, progress: Progress) -> None:
    """Write every picture to its row."""
    if journal.done == order.count:
        return
    progress.update(journal.done, order.count)
    noted, row_bytes = time.monotonic(), _row_bytes(order)
    with open(order.partial / _ROWS, "r+b") as file:
        start = _data_offset(file)
        for some in preprocess_parallel(order.source.read(journal.done), order.to):
            # Not through a memory map: its pages would count as this process's memory.
            for row, image in zip(some.rows, some.images, strict=True):
                _write_at(file, image.tobytes(), start + row * row_bytes)
            journal.rejected |= some.rejected
            journal.done += some.count
            progress.update(journal.done, order.count)
            if time.monotonic() - noted > _SECONDS:
                _save_progress(order, journal, file)
                noted = time.monotonic()
        _save_progress(order, journal, file)
    if journal.done != order.count:
        raise UserError(
            f"{order.source_id}: {journal.done:,} pictures came, of {order.count:,} listed; try again"
        )


def _write_at(file: BinaryIO, data: bytes, place: int) -> None:
    """Write all of it there; on a full disk, a part may be written without an error."""
    while data:
        written = os.pwrite(file.fileno(), data, place)
        data, place = data[written:], place + written


def _save_progress(order: PackJob, journal: PackProgress, file: BinaryIO) -> None:
    """Write the journal, once the rows it speaks of are on the disk."""
    os.fsync(file.fileno())
    rejected = [(row, item.name, item.reason) for row, item in journal.rejected.items()]
    said = {"identity": order.identity, "done": journal.done, "rejected": rejected}
    write_atomically(order.partial / PROGRESS_FILE, json.dumps(said).encode())


def _split(order: PackJob, journal: PackProgress, good: NDArray[np.int64]) -> SplitSizes:
    """Return how many good pictures each split has; raise UserError if that is too few."""
    rejected = sorted(journal.rejected.values(), key=lambda item: item.name)
    why = f"the first, {rejected[0].name}: {rejected[0].reason}" if rejected else ""
    if not len(good):
        raise _discard_and_error(order, f"no picture can be read ({why}); convert them to PNG or JPEG")
    if len(rejected) > REJECTED_SHARE * order.count:
        share = f"{len(rejected):,} of {order.count:,} pictures"
        raise _discard_and_error(
            order, f"{share} cannot be read, more than {REJECTED_SHARE:.0%} ({why}); is this the right place?"
        )
    train = int((good < order.source.train).sum())
    test = len(good) - train
    if order.source.held_out and not test:
        test = max(1, train // 10)  # should all of so few be broken
        train -= test
    if not (train and test):
        why = f" ({why})" if why else ""
        raise _discard_and_error(
            order, f"too few readable pictures, training and test need one each; add some{why}"
        )
    return SplitSizes(train, test)


def _discard_and_error(order: PackJob, why: str) -> UserError:
    """Return what to raise, with nothing left behind."""
    shutil.rmtree(order.partial, ignore_errors=True)
    return UserError(f"{order.source_id}: {why}")


def _write_images(order: PackJob, good: NDArray[np.int64]) -> None:
    """Make images.npy of the good rows, unless that was done before a kill."""
    rows, images = order.partial / _ROWS, order.partial / IMAGES
    if not images.exists():
        if len(good) < order.count:
            _copy_rows(order, good, rows, order.partial / f".{IMAGES}")
            rows = order.partial / f".{IMAGES}"
        os.replace(rows, images)
    (order.partial / _ROWS).unlink(missing_ok=True)


def _copy_rows(order: PackJob, good: NDArray[np.int64], source: Path, dest: Path) -> None:
    row_bytes = _row_bytes(order)
    with open(source, "rb") as rows, open(dest, "wb") as file:
        start = _data_offset(rows)
        _write_header(file, order, len(good))
        for row in good:
            file.write(os.pread(rows.fileno(), row_bytes, start + int(row) * row_bytes))
        file.flush()
        os.fsync(file.fileno())


def _write_metadata(
    order: PackJob, journal: PackProgress, good: NDArray[np.int64], split: SplitSizes
) -> None:
    """Write all but the images."""
    source, folder = order.source, order.partial
    rejected = sorted((*source.rejected, *journal.rejected.values()), key=lambda item: item.name)
    if rejected:
        lines = "".join(f"{json.dumps(dataclasses.asdict(item))}\n" for item in rejected)
        write_atomically(folder / REJECTED, lines.encode())
    if source.labels is not None:
        np.save(folder / LABELS, source.labels[good])
    PackedMetadata(
        name=source.name,
        source=order.source_id,
        fingerprint=order.fingerprint,
        split=split,
        count=len(good),
        **dataclasses.asdict(order.to),
        checksum=_checksum(folder / IMAGES, order.to, split),
        rejected=len(rejected),
        classes=source.classes,
    ).write(folder)


def _publish(order: PackJob) -> None:
    """Give the folder its name; who has a replaced set mapped into memory keeps it.

    The journal goes last: a kill before that costs no second reading.
    """
    old = order.dest.with_name(f".{order.dest.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if order.dest.exists():
        os.replace(order.dest, old)
    os.replace(order.partial, order.dest)
    (order.dest / PROGRESS_FILE).unlink(missing_ok=True)
    shutil.rmtree(old, ignore_errors=True)


def _checksum(path: Path, to: Preprocessing, split: SplitSizes) -> str:
    """Return the `checksum` of both splits, read from the file: a map would fill the memory."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(_data_offset(file))
        for count in (split.train, split.test):
            shape = (count, to.size, to.size, to.channels)
            digest.update(f"{shape}{np.dtype(np.uint8)}".encode())
            for piece in _read_chunks(file, count * to.size**2 * to.channels):
                digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def _read_chunks(file: BinaryIO, count: int) -> Iterator[bytes]:
    """Read so many bytes, piece by piece."""
    while count > 0:
        piece = file.read(min(count, _PIECE))
        if not piece:
            raise OSError(f"{file.name} ends early")
        count -= len(piece)
        yield piece


def _row_bytes(order: PackJob) -> int:
    return order.to.size**2 * order.to.channels


def _write_header(file: BinaryIO, order: PackJob, count: int) -> None:
    shape = (count, order.to.size, order.to.size, order.to.channels)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _data_offset(file: BinaryIO) -> int:
    """Return where the rows of a .npy file start."""
    file.seek(0)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()
