"""Pack a source: on all cores, in bounded memory, atomically and resumably."""

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.images.item import RejectedImage
from avae.data.images.preprocessing import FILTER, Preprocessing
from avae.data.images.workers import hull, preprocess_parallel, values_warning
from avae.data.packed.format import (
    IMAGES,
    LABELS,
    NAMES,
    PROGRESS_FILE,
    REJECTED,
    PackedMetadata,
    SplitSizes,
)
from avae.data.sources.source import ImageSource
from avae.errors import UserError
from avae.files import remove_partials, write_atomically
from avae.json_io import read_json

REJECTED_SHARE = 0.9
"""Largest share of unreadable images; above it, the source is probably not what the user meant."""

_ROWS = "rows.npy"
_SECONDS = 2.0  # between two writes of the progress file
_CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class PackJob:
    """A source to pack and where to write it.

    Attributes:
        source, to: the images and their preprocessing.
        source_id: the source, as the user named it.
        fingerprint: hash of the source's file names, sizes and times.
        dest: the folder to make, or the packed set to replace.
    """

    source: ImageSource
    to: Preprocessing
    source_id: str
    fingerprint: str
    dest: Path

    @property
    def partial(self) -> Path:
        """The folder of the unfinished set."""
        return self.dest.with_name(f".{self.dest.name}.partial")

    @property
    def count(self) -> int:
        """Number of images, unreadable ones included."""
        return self.source.train + self.source.test

    @property
    def identity(self) -> dict[str, Any]:
        """Fields that must match for an interrupted packing to be resumed."""
        source = {"source": self.source_id, "fingerprint": self.fingerprint, "count": self.count}
        return source | dataclasses.asdict(self.to) | {"filter": FILTER, "avae": version("avae")}


@dataclass(frozen=True)
class _ProgressFile:
    """The content of the progress file."""

    identity: dict[str, Any]
    done: int
    rejected: list[tuple[int, str, str]]
    values: tuple[float, float] | None


@dataclass
class PackProgress:
    """Progress of a packing.

    Attributes:
        done: number of items processed, in reading order.
        rejected: the unreadable ones among them, by row.
        values: smallest and largest value of those of more than 8 bits; None without any.
    """

    done: int = 0
    rejected: dict[int, RejectedImage] = field(default_factory=dict)
    values: tuple[float, float] | None = None


def pack(job: PackJob, progress: Progress = SILENT) -> None:
    """Write a packed data set; a second call resumes an interrupted one.

    Args:
        progress: receives the number of images packed.

    Raises:
        UserError: too few images can be read, or the disk has too little space.
    """
    state = _resume_progress(job) or _start_fresh(job)
    _write_rows(job, state, progress)
    good = np.delete(np.arange(job.count), sorted(state.rejected))
    split = _split(job, state, good)
    _write_images(job, good)
    _write_metadata(job, state, good, split)
    _publish(job)


def _resume_progress(job: PackJob) -> PackProgress | None:
    """Return the progress of an interrupted packing with the same identity, if any."""
    try:
        saved = read_json(job.partial / PROGRESS_FILE, _ProgressFile)
        if saved.identity != job.identity or not any(
            (job.partial / name).exists() for name in (_ROWS, IMAGES)
        ):
            return None
    except (OSError, ValueError, UserError):
        return None
    rejected = {row: RejectedImage(name, reason) for row, name, reason in saved.rejected}
    if not (0 <= saved.done <= job.count and all(0 <= row < job.count for row in rejected)):
        return None
    remove_partials(job.partial)
    return PackProgress(saved.done, rejected, saved.values)


def _start_fresh(job: PackJob) -> PackProgress:
    """Reserve disk space for a new set."""
    shutil.rmtree(job.partial, ignore_errors=True)
    job.partial.mkdir(parents=True)
    needed, free = job.count * _row_bytes(job), shutil.disk_usage(job.partial).free
    if needed > free:
        raise UserError(
            f"{job.dest}: {job.count:,} pictures take {needed / 2**30:.1f} GiB and the disk has "
            f"{free / 2**30:.1f} GiB left: free some, name another disk, or choose a smaller --size"
        )
    with open(job.partial / _ROWS, "wb") as file:
        _write_header(file, job, job.count)
        file.truncate(file.tell() + needed)
    return PackProgress()


def _write_rows(job: PackJob, state: PackProgress, progress: Progress) -> None:
    """Write each image to its row of a temporary file."""
    if state.done == job.count:
        return
    progress.update(state.done, job.count)
    saved_at, row_bytes = time.monotonic(), _row_bytes(job)
    with open(job.partial / _ROWS, "r+b") as file:
        start = _data_offset(file)
        for batch in preprocess_parallel(job.source.read(state.done), job.to):
            # Not through a memory map: its pages would count as this process's memory.
            for row, image in zip(batch.rows, batch.images, strict=True):
                _write_at(file, image.tobytes(), start + row * row_bytes)
            state.rejected |= batch.rejected
            state.values = hull(state.values, batch.values)
            state.done += batch.count
            progress.update(state.done, job.count)
            if time.monotonic() - saved_at > _SECONDS:
                _save_progress(job, state, file)
                saved_at = time.monotonic()
        _save_progress(job, state, file)
    if state.done != job.count:
        raise UserError(
            f"{job.source_id}: {state.done:,} pictures were read, but {job.count:,} are listed; try again"
        )


def _write_at(file: BinaryIO, data: bytes, offset: int) -> None:
    """Write all bytes at an offset; on a full disk, os.pwrite may write only some, without an error."""
    while data:
        written = os.pwrite(file.fileno(), data, offset)
        data, offset = data[written:], offset + written


def _save_progress(job: PackJob, state: PackProgress, file: BinaryIO) -> None:
    """Write the progress file, after the rows it counts are on the disk."""
    os.fsync(file.fileno())
    rejected = [(row, item.name, item.reason) for row, item in state.rejected.items()]
    values = {"identity": job.identity, "done": state.done, "rejected": rejected, "values": state.values}
    write_atomically(job.partial / PROGRESS_FILE, json.dumps(values).encode())


def _split(job: PackJob, state: PackProgress, good: NDArray[np.int64]) -> SplitSizes:
    """Return the number of readable images in each split; raise UserError if there are too few."""
    rejected = sorted(state.rejected.values(), key=lambda item: item.name)
    why = f"the first, {rejected[0].name}: {rejected[0].reason}" if rejected else ""
    if not len(good):
        raise _discard_and_error(job, f"no picture can be read ({why}); convert them to PNG or JPEG")
    if len(rejected) > REJECTED_SHARE * job.count:
        share = f"{len(rejected):,} of {job.count:,} pictures"
        raise _discard_and_error(
            job, f"{share} cannot be read, more than {REJECTED_SHARE:.0%} ({why}); is this the right place?"
        )
    train = int((good < job.source.train).sum())
    test = len(good) - train
    if job.source.held_out and not test:
        test = max(1, train // 10)  # every held-out image is unreadable
        train -= test
    if not (train and test):
        why = f" ({why})" if why else ""
        raise _discard_and_error(
            job, f"too few readable pictures, training and test need one each; add some{why}"
        )
    return SplitSizes(train, test)


def _discard_and_error(job: PackJob, why: str) -> UserError:
    """Delete the unfinished set and return the error to raise."""
    shutil.rmtree(job.partial, ignore_errors=True)
    return UserError(f"{job.source_id}: {why}")


def _write_images(job: PackJob, good: NDArray[np.int64]) -> None:
    """Write the readable rows to images.npy, unless an interrupted packing already has."""
    rows, images = job.partial / _ROWS, job.partial / IMAGES
    if not images.exists():
        if len(good) < job.count:
            _copy_rows(job, good, rows, job.partial / f".{IMAGES}")
            rows = job.partial / f".{IMAGES}"
        os.replace(rows, images)
    (job.partial / _ROWS).unlink(missing_ok=True)


def _copy_rows(job: PackJob, good: NDArray[np.int64], source: Path, dest: Path) -> None:
    row_bytes = _row_bytes(job)
    with open(source, "rb") as rows, open(dest, "wb") as file:
        start = _data_offset(rows)
        _write_header(file, job, len(good))
        for row in good:
            file.write(os.pread(rows.fileno(), row_bytes, start + int(row) * row_bytes))
        file.flush()
        os.fsync(file.fileno())


def _write_metadata(job: PackJob, state: PackProgress, good: NDArray[np.int64], split: SplitSizes) -> None:
    """Write all files except the images."""
    source, folder = job.source, job.partial
    rejected = sorted((*source.rejected, *state.rejected.values()), key=lambda item: item.name)
    if rejected:
        _write_lines(folder / REJECTED, map(dataclasses.asdict, rejected))
    if source.labels is not None:
        np.save(folder / LABELS, source.labels[good])
    if source.names:
        _write_lines(folder / NAMES, (source.names[row] for row in good))
    PackedMetadata(
        name=source.name,
        source=job.source_id,
        fingerprint=job.fingerprint,
        split=split,
        count=len(good),
        **dataclasses.asdict(job.to),
        checksum=_checksum(folder / IMAGES, job.to, split),
        rejected=len(rejected),
        classes=source.classes,
        notes=tuple(filter(None, (*source.notes, _warning(state.values, job.to)))),
    ).write(folder)


def _write_lines(path: Path, values: Iterable[object]) -> None:
    """Write a line of JSON for each value."""
    write_atomically(path, "".join(f"{json.dumps(value)}\n" for value in values).encode())


def _warning(values: tuple[float, float] | None, to: Preprocessing) -> str:
    """Return `values_warning` with its remedy."""
    warning = values_warning(values, to)
    if warning and values:
        low, high = min(values[0], 0), max(values[1], 0)
        return f"{warning}: set other ends with --range, such as --range={low:g}:{high:g}"
    return warning


def _publish(job: PackJob) -> None:
    """Rename the unfinished folder to its final name; processes that have a replaced set mapped keep it.

    The progress file is deleted last: after a kill before that, no image is read again.
    """
    old = job.dest.with_name(f".{job.dest.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if job.dest.exists():
        os.replace(job.dest, old)
    os.replace(job.partial, job.dest)
    (job.dest / PROGRESS_FILE).unlink(missing_ok=True)
    shutil.rmtree(old, ignore_errors=True)


def _checksum(path: Path, to: Preprocessing, split: SplitSizes) -> str:
    """Return the `checksum` of both splits, read in chunks: a memory map would count as memory used."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(_data_offset(file))
        for count in (split.train, split.test):
            shape = (count, to.size, to.size, to.channels)
            digest.update(f"{shape}{np.dtype(np.uint8)}".encode())
            for chunk in _read_chunks(file, count * to.size**2 * to.channels):
                digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _read_chunks(file: BinaryIO, count: int) -> Iterator[bytes]:
    """Read `count` bytes in chunks; raise OSError if the file ends early."""
    while count > 0:
        chunk = file.read(min(count, _CHUNK_BYTES))
        if not chunk:
            raise OSError(f"{file.name} ends early")
        count -= len(chunk)
        yield chunk


def _row_bytes(job: PackJob) -> int:
    return job.to.size**2 * job.to.channels


def _write_header(file: BinaryIO, job: PackJob, count: int) -> None:
    shape = (count, job.to.size, job.to.size, job.to.channels)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _data_offset(file: BinaryIO) -> int:
    """Return the offset of the first row in a .npy file."""
    file.seek(0)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()
