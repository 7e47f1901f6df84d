"""Pictures of a folder or archive as arrays, decoded on all cores."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avae.data.archives import Content, Pictures, load_content, open_pictures
from avae.data.dataset import Rejected
from avae.data.decoding import UnreadableError, decode, fit_image
from avae.errors import UserError

_BATCH_COUNT, _BATCH_BYTES = 64, 4 * 2**20  # what one thread is handed at a time

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def open_picture(picture: str | Path | Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Turn a file or a PIL image into uint8 (size, size, channels), as `decode` does.

    Raises:
        UserError: names the file and what is wrong with it.
    """
    try:
        if isinstance(picture, Image.Image):
            return fit_image(picture, size, channels)
        return decode(load_content(Path(picture)), size, channels)
    except UnreadableError as error:
        name = "the PIL image" if isinstance(picture, Image.Image) else picture
        raise UserError(
            f"{name}: cannot be read as a picture ({error}); convert it to PNG or JPEG"
        ) from error


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
            out[rows[name]] = decode(load_content(content), out.shape[1], out.shape[3])
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
