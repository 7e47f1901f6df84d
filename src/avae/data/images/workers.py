"""Preparing pictures on all cores."""

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

from avae.data.images.decode import preprocess
from avae.data.images.item import ImageContent, Item, RejectedImage, UnreadableError
from avae.data.images.preprocessing import Preprocessing

_BATCH_COUNT, _BATCH_BYTES = 64, 4 * 2**20  # what a process is handed at a time
_SERIAL_SECONDS = 0.5  # about what starting the other processes takes
_IDLE_SECONDS = 30  # after which one ends by itself, should this one have been killed

CRASHED = "its decoder crashed"


@dataclass(frozen=True)
class PreprocessedBatch:
    """A few items, prepared.

    Attributes:
        count: how many there were.
        rows: of those that could be read.
        images: theirs, uint8 (len(rows), size, size, channels).
        rejected: the others, by row.
    """

    count: int
    rows: list[int]
    images: NDArray[np.uint8]
    rejected: dict[int, RejectedImage]


def preprocess_parallel(items: Iterable[Item], to: Preprocessing) -> Iterator[PreprocessedBatch]:
    """Prepare items on all cores, in their order, holding a few batches at a time.

    Processes, not threads: of small pictures, most of the time goes to Python itself. They are started once
    this one alone has been at it for a while.
    """
    batches = _batches(items)
    begun = time.monotonic()
    for batch in batches:
        yield preprocess_batch(to, batch)
        if time.monotonic() - begun > _SERIAL_SECONDS:
            yield from _on_all_cores(to, batches)


def preprocess_batch(to: Preprocessing, batch: list[Item]) -> PreprocessedBatch:
    """Prepare some items in this process."""
    rows, images, rejected = [], [], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of metadata: they name no picture
        for item in batch:
            try:
                images.append(preprocess(item.content, to))
                rows.append(item.row)
            except UnreadableError as error:
                rejected[item.row] = RejectedImage(item.name, str(error))
    shape = (len(images), to.size, to.size, to.channels)
    return PreprocessedBatch(len(batch), rows, np.array(images, dtype=np.uint8).reshape(shape), rejected)


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Group items into batches bounded in number and in bytes held."""
    batch: list[Item] = []
    held = 0
    for item in items:
        batch.append(item)
        held += _approx_bytes(item.content)
        if len(batch) == _BATCH_COUNT or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _approx_bytes(content: ImageContent) -> int:
    """Return about how many bytes a picture takes while it waits."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, np.ndarray):
        return content.nbytes
    return content.width * content.height * len(content.getbands()) if isinstance(content, Image.Image) else 0


def _on_all_cores(to: Preprocessing, batches: Iterator[list[Item]]) -> Iterator[PreprocessedBatch]:
    """Map in processes, few batches ahead; what makes one of them crash is found and left out."""
    waiting: deque[list[Item]] = deque()
    while True:
        try:
            yield from _map_until_crash(to, batches, waiting)
        except TerminatedWorkerError:
            yield _bisect_crash(to, waiting.popleft())
        else:
            return


def _map_until_crash(
    to: Preprocessing, batches: Iterator[list[Item]], waiting: deque[list[Item]]
) -> Iterator[PreprocessedBatch]:
    """Map until a process crashes; then `waiting` holds what is not done."""
    count = loky.cpu_count()
    with _process_pool(count) as pool:
        futures = deque(pool.submit(preprocess_batch, to, batch) for batch in waiting)
        for batch in batches:
            waiting.append(batch)
            futures.append(pool.submit(preprocess_batch, to, batch))
            if len(waiting) > 2 * count:
                yield _first(futures, waiting)
        while waiting:
            yield _first(futures, waiting)


def _first(futures: deque[Future[PreprocessedBatch]], waiting: deque[list[Item]]) -> PreprocessedBatch:
    done = futures.popleft().result()
    waiting.popleft()
    return done


def _bisect_crash(to: Preprocessing, batch: list[Item]) -> PreprocessedBatch:
    """Prepare, in processes of their own, items of which one may make its process crash."""
    try:
        with _process_pool(1) as pool:
            done: PreprocessedBatch = pool.submit(preprocess_batch, to, batch).result()
            return done
    except TerminatedWorkerError:
        if len(batch) == 1:
            return _crashed(to, batch[0])
    middle = len(batch) // 2
    a, b = _bisect_crash(to, batch[:middle]), _bisect_crash(to, batch[middle:])
    images = np.concatenate([a.images, b.images])
    return PreprocessedBatch(a.count + b.count, a.rows + b.rows, images, a.rejected | b.rejected)


def _crashed(to: Preprocessing, item: Item) -> PreprocessedBatch:
    images = np.empty((0, to.size, to.size, to.channels), dtype=np.uint8)
    return PreprocessedBatch(1, [], images, {item.row: RejectedImage(item.name, CRASHED)})


@contextmanager
def _process_pool(count: int) -> Iterator[loky.ProcessPoolExecutor]:
    """Start processes that do not import the caller's script again, and end them whatever happens.

    loky's, for those of the standard library need the script to be written for it.
    """
    pool = loky.ProcessPoolExecutor(count, initializer=_exit_with_parent, initargs=(os.getpid(),))
    try:
        _start_ignoring_sigint(pool)
        yield pool
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _start_ignoring_sigint(pool: loky.ProcessPoolExecutor) -> None:
    """Start its processes deaf to Ctrl-C: this one ends them, and each would print a traceback."""
    resource_tracker.ensure_running()  # started with them, it would undo the mask
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _exit_with_parent(parent: int) -> None:
    """End this process soon after its parent, which may be killed before it can see to that."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
