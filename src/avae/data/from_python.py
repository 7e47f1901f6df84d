"""Pack pictures from Python into the cache, keyed by content."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.cache import fill_preprocessing, folder_lock, folder_name
from avae.data.images.archives import read_bytes
from avae.data.images.decode import probe
from avae.data.images.item import ImageContent, Item, RejectedImage, UnreadableError
from avae.data.images.preprocessing import PreprocessingOverrides
from avae.data.images.workers import preprocess_parallel
from avae.data.packed.format import is_packed, read_meta
from avae.data.packed.pack import PackJob, pack
from avae.data.pictures import (
    FloatRange,
    Picture,
    PixelArray,
    ValueRange,
    as_content,
    each_picture,
    holds_many,
    without_label,
)
from avae.data.sources.folder import SIZES
from avae.data.sources.holdout import hold_out
from avae.data.sources.source import ImageSource
from avae.errors import UserError

_SAMPLE = 200
_SAMPLE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Part:
    """Pictures that can be read by index.

    Attributes:
        count: number of pictures.
        read: index -> content.
        rejected: pictures that could not be read; they have no index.
    """

    count: int
    read: Callable[[int], ImageContent]
    rejected: tuple[RejectedImage, ...] = ()


def pack_from_python(
    data: Any,
    overrides: PreprocessingOverrides,
    cache: Path,
    progress: Progress = SILENT,
    value_range: ValueRange | None = None,
) -> Path:
    """Pack images from Python, and return the folder of the packed set: one folder for each content.

    Arrays, lists of single pictures and Datasets are read by index. Everything else is read once and kept on
    the disk meanwhile; unless size and channels are given, they then follow from the first 200 pictures.

    Args:
        data: pictures in any form, see `avae.data.pictures`, or a pair (train, test) of any of these. Without
            a test part, a tenth is held out.
        value_range: values of black and white in floats; None for (-1, 1).

    Raises:
        UserError: `data` is of another form.
    """
    given = data if isinstance(data, tuple) else (data,)
    if len(given) not in (1, 2):
        raise UserError(f"data: a tuple of {len(given)}; pass pictures, or the pair (train, test)")
    floats, parts = FloatRange(value_range), []
    folder = cache / "packed" / "python"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".given-") as scratch:
        for number, pictures in enumerate(given):
            part = _indexed(pictures, floats)
            if part is None:
                file = Path(scratch) / str(number)
                part, overrides = _spooled(each_picture(pictures, floats, progress), overrides, file)
            if not part.count:
                raise UserError("data: it is empty; pass 2 pictures or more")
            parts.append(part)
        is_array = isinstance(given[0], np.ndarray | Tensor)
        name = "array" if is_array else type(given[0]).__name__.lower()
        dest = _pack(_source(name, parts), overrides, cache, progress)
    floats.warn()
    return dest


def _pack(source: ImageSource, overrides: PreprocessingOverrides, cache: Path, progress: Progress) -> Path:
    """Pack a source, and return the folder of its content."""
    to = fill_preprocessing(overrides, source.suggest_size)
    temporary = cache / "packed" / "python" / f"{source.name}-{uuid.uuid4().hex[:12]}"
    job = PackJob(source, to, f"{source.name} (from Python)", "", temporary)
    try:
        pack(job, progress)
    except BaseException:  # nothing could resume it
        shutil.rmtree(job.partial, ignore_errors=True)
        raise
    checksum = read_meta(temporary).checksum.removeprefix("sha256:")
    dest = temporary.with_name(f"{source.name}-{checksum[:12]}-{folder_name(to)}")
    with folder_lock(dest, cache):
        if is_packed(dest):
            shutil.rmtree(temporary)
        else:
            os.replace(temporary, dest)
    return dest


def _source(name: str, parts: list[Part]) -> ImageSource:
    indices = [(part, i) for part in parts for i in range(part.count)]
    train = parts[0].count
    if len(parts) == 1:
        kept, held_out = hold_out(len(indices), seed=0)
        indices = [indices[i] for i in (*kept, *held_out)]
        train = len(kept)

    def read(start: int) -> Iterator[Item]:
        for row in range(start, len(indices)):
            part, i = indices[row]
            yield Item(row, f"{i}", part.read(i))

    stride = -(-len(indices) // _SAMPLE)
    return ImageSource(
        name=name,
        train=train,
        test=len(indices) - train,
        read=read,
        suggest_size=lambda: _suggest_size_and_channels([part.read(i) for part, i in indices[::stride]]),
        held_out=len(parts) == 1,
        rejected=tuple(rejected for part in parts for rejected in part.rejected),
    )


def _indexed(given: Any, floats: FloatRange) -> Part | None:
    """Return pictures that can be read by index; None if those given cannot."""
    if isinstance(given, np.ndarray | Tensor):
        pixels = PixelArray(given, floats)
        return Part(len(pixels), lambda i: as_content(Picture("", pixels[i : i + 1][0])))
    if isinstance(given, str | bytes | Mapping) or not (
        hasattr(given, "__len__") and hasattr(given, "__getitem__")
    ):
        return None
    if isinstance(given, list | tuple) and any(holds_many(without_label(item)) for item in given):
        return None

    def read(i: int) -> ImageContent:
        found = list(each_picture([given[i]], floats))
        if len(found) != 1:
            raise UserError(f"data: item {i} holds {len(found)} pictures; a Dataset has one in each")
        return as_content(found[0])

    return Part(len(given), read)


def _spooled(
    pictures: Iterator[Picture], overrides: PreprocessingOverrides, file: Path
) -> tuple[Part, PreprocessingOverrides]:
    """Write preprocessed pictures to a file; return them, and the settings that were filled in."""
    first, size = [], 0
    for picture in pictures:
        first.append(picture)
        size += len(picture.content) if isinstance(picture.content, bytes) else 0
        if len(first) == _SAMPLE or size > _SAMPLE_BYTES:
            break
    to = fill_preprocessing(overrides, lambda: _suggest_size_and_channels([as_content(p) for p in first]))
    items = (Item(row, p.name, as_content(p)) for row, p in enumerate(chain(first, pictures)))
    count = 0
    rejected: list[RejectedImage] = []
    with open(file, "wb") as rows:
        for batch in preprocess_parallel(items, to):
            rows.write(batch.images.tobytes())
            count += len(batch.rows)
            rejected += batch.rejected.values()
    if rejected and not count:
        why = f"the first, {rejected[0].name}: {rejected[0].reason}"
        raise UserError(f"data: no picture can be read ({why}); convert them to PNG or JPEG")
    filled = PreprocessingOverrides(**vars(to))
    if not count:
        return Part(0, lambda i: b""), filled
    images = np.memmap(file, np.uint8, "r", shape=(count, to.size, to.size, to.channels))
    return Part(count, lambda i: np.asarray(images[i]), tuple(rejected)), filled


def _suggest_size_and_channels(sample: list[ImageContent]) -> tuple[int, int]:
    """Choose as for a folder: the largest size that enlarges at most half, and 1 channel if all are grey."""
    probes = []
    for content in sample:
        try:
            probes.append(_probe(content))
        except UnreadableError:
            continue
    if not probes:
        return SIZES[0], 3  # nothing can be read; packing reports it
    shorter = median(side for side, _ in probes)
    size = max((size for size in SIZES if size <= shorter), default=SIZES[0])
    return size, 1 if all(grey for _, grey in probes) else 3


def _probe(content: ImageContent) -> tuple[int, bool]:
    """Return (shorter side in pixels, True if grey)."""
    if isinstance(content, np.ndarray):
        return min(content.shape[:2]), content.shape[2:] in ((), (1,))
    if isinstance(content, Image.Image):
        return min(content.size), Image.getmodebase(content.mode) == "L"
    return probe(read_bytes(content))
