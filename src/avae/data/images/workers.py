"""Preprocess images on all cores."""

import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker

import loky
import numpy as np
from loky.process_executor import TerminatedWorkerError
from numpy.typing import NDArray
from PIL import Image

from avae.data.images.decode import prepare
from avae.data.images.item import ImageContent, Item, RejectedImage, UnreadableError
from avae.data.images.preprocessing import Preprocessing

_BATCH_COUNT, _BATCH_BYTES = 64, 4 * 2**20  # limits of one batch
_SERIAL_SECONDS = 0.5  # about the time to start worker processes

LEVELS, DARK = 65_535, 32_767
"""Largest value of 16 bits, and the value that the brightest of several pictures should exceed."""

CRASHED = "its decoder crashed"


@dataclass(frozen=True)
class PreprocessedBatch:
    """A batch of preprocessed items.

    Attributes:
        count: number of items, unreadable ones included.
        rows: the rows of the readable items.
        images: uint8 (len(rows), size, size, channels).
        rejected: the unreadable items, by row.
        values: smallest and largest value of the images of more than 8 bits; None without any.
    """

    count: int
    rows: list[int]
    images: NDArray[np.uint8]
    rejected: dict[int, RejectedImage]
    values: tuple[float, float] | None = None


def hull(*ranges: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the smallest and largest of the values of several images, or None without any."""
    known = [range_ for range_ in ranges if range_ is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def values_warning(values: tuple[float, float] | None, to: Preprocessing) -> str:
    """Return a warning if the values of pictures of more than 8 bits come out black or white, else ""."""
    if values in (None, (0, 0)) or to.range is not None or (values[0] >= 0 and DARK < values[1] <= LEVELS):
        return ""
    return (
        f"warning: pictures of more than 8 bits have values from {values[0]:g} to {values[1]:g}, "
        f"and 0 becomes black and {LEVELS} white"
    )


def preprocess_parallel(items: Iterable[Item], to: Preprocessing) -> Iterator[PreprocessedBatch]:
    """Preprocess items on all cores, in their order, with a few batches in memory at a time.

    Worker processes are used instead of threads, since small images spend most of their time in Python. They
    are started only if this process alone takes longer than `_SERIAL_SECONDS`.
    """
    batches = _batches(items)
    start = time.monotonic()
    for batch in batches:
        yield preprocess_batch(to, batch)
        if time.monotonic() - start > _SERIAL_SECONDS:
            yield from _on_all_cores(to, batches)


def preprocess_batch(to: Preprocessing, batch: list[Item]) -> PreprocessedBatch:
    """Preprocess a batch in this process."""
    rows, images, rejected, values = [], [], {}, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings about metadata do not name the file
        for item in batch:
            try:
                prepared = prepare(item.content, to)
                images.append(prepared.pixels)
                rows.append(item.row)
                values = hull(values, prepared.values)
            except UnreadableError as error:
                rejected[item.row] = RejectedImage(item.name, str(error))
    shape = (len(images), to.size, to.size, to.channels)
    pixels = np.array(images, dtype=np.uint8).reshape(shape)
    return PreprocessedBatch(len(batch), rows, pixels, rejected, values)


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Group items into batches bounded in number and in bytes."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += _approx_bytes(item.content)
        if len(batch) == _BATCH_COUNT or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _approx_bytes(content: ImageContent) -> int:
    """Return the approximate number of bytes of an image's content in memory."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, np.ndarray):
        return content.nbytes
    return content.width * content.height * len(content.getbands()) if isinstance(content, Image.Image) else 0


def _on_all_cores(to: Preprocessing, batches: Iterator[list[Item]]) -> Iterator[PreprocessedBatch]:
    """Map batches in worker processes, a few ahead; an item whose decoder crashes its worker is rejected."""
    pending: deque[list[Item]] = deque()
    while True:
        try:
            yield from _map_until_crash(to, batches, pending)
        except TerminatedWorkerError:
            yield _bisect_crash(to, pending.popleft())
        else:
            return


def _map_until_crash(
    to: Preprocessing, batches: Iterator[list[Item]], pending: deque[list[Item]]
) -> Iterator[PreprocessedBatch]:
    """Map until a worker crashes; `pending` then holds the unfinished batches, the first one crashed."""
    count = loky.cpu_count()
    with _process_pool(count) as pool:
        futures = deque(pool.submit(preprocess_batch, to, batch) for batch in pending)
        for batch in batches:
            pending.append(batch)
            futures.append(pool.submit(preprocess_batch, to, batch))
            if len(pending) > 2 * count:
                yield _pop_first(futures, pending)
        while pending:
            yield _pop_first(futures, pending)


def _pop_first(futures: deque[Future[PreprocessedBatch]], pending: deque[list[Item]]) -> PreprocessedBatch:
    """Return the first result; if its worker crashed, leave its batch in `pending`."""
    result = futures.popleft().result()
    pending.popleft()
    return result


def _bisect_crash(to: Preprocessing, batch: list[Item]) -> PreprocessedBatch:
    """Preprocess a batch in a new worker; if that crashes, halve the batch until the item is found."""
    try:
        with _process_pool(1) as pool:
            result: PreprocessedBatch = pool.submit(preprocess_batch, to, batch).result()
            return result
    except TerminatedWorkerError:
        if len(batch) == 1:
            images = np.empty((0, to.size, to.size, to.channels), dtype=np.uint8)
            return PreprocessedBatch(1, [], images, {batch[0].row: RejectedImage(batch[0].name, CRASHED)})
    middle = len(batch) // 2
    a, b = _bisect_crash(to, batch[:middle]), _bisect_crash(to, batch[middle:])
    images = np.concatenate([a.images, b.images])
    values = hull(a.values, b.values)
    return PreprocessedBatch(a.count + b.count, a.rows + b.rows, images, a.rejected | b.rejected, values)


@contextmanager
def _process_pool(count: int) -> Iterator[loky.ProcessPoolExecutor]:
    """Start worker processes, and stop them on exit.

    loky's workers do not import the caller's script; those of the standard library do, and so need a script
    with a `__main__` guard.
    """
    pool = loky.ProcessPoolExecutor(count, initializer=_exit_with_parent, initargs=(os.getpid(),))
    try:
        _start_ignoring_sigint(pool)
        yield pool
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _start_ignoring_sigint(pool: loky.ProcessPoolExecutor) -> None:
    """Start workers with SIGINT blocked; the parent stops them, so they print no tracebacks."""
    resource_tracker.ensure_running()  # if started with the workers, it would undo the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _exit_with_parent(parent: int) -> None:
    """Stop this worker soon after its parent ends, since a killed parent cannot stop it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
