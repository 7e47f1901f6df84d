"""Batches: the right items as a model sees them, whoever asks, in whatever order, from wherever they lie."""

import gc
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avae.data import batch_loader
from avae.data.batch_loader import BatchLoader, fits_on_device, on_device, prefetched
from avae.data.dataset import as_tensor
from avae.data.shuffle import EpochShuffler
from picture_files import noise

CPU = torch.device("cpu")
SIZE = 8
WHOLE = range(SIZE)
IMAGES = noise(30, 4, 5, 3)


def feed(items: NDArray[np.generic] = IMAGES, seed: int = 0, flip: bool = False) -> BatchLoader:
    return BatchLoader(items, CPU, seed, SIZE, flip)


def test_a_batch_holds_the_orders_items_as_a_model_sees_them() -> None:
    fed, order = feed(seed=3), EpochShuffler(len(IMAGES), 3)
    for step in range(6):
        batch = fed.batch(step, WHOLE)
        assert torch.equal(batch, as_tensor(IMAGES[order.batch(step, SIZE)]))
        assert batch.is_contiguous(memory_format=torch.channels_last)


def test_points_pass_unchanged() -> None:
    points = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    order = EpochShuffler(30, 0)
    assert np.array_equal(feed(points).batch(4, WHOLE).numpy(), points[order.batch(4, SIZE)])


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**64 - 1),
    asked=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([range(4), range(2, 5), WHOLE])), max_size=6),
)
def test_a_batch_does_not_depend_on_earlier_requests(seed: int, asked: list[tuple[int, range]]) -> None:
    fed = feed(seed=seed, flip=True)
    for step, rows in asked:
        assert torch.equal(fed.batch(step, rows), feed(seed=seed, flip=True).batch(step, rows))


def test_labels_are_those_of_the_items_of_a_batch() -> None:
    numbers = np.arange(30, dtype=np.int32)
    fed = BatchLoader(numbers[:, None].astype(np.float32), CPU, 0, SIZE, labels=numbers)
    for step in (0, 1, 7, 2):  # the items are gathered ahead of these
        for rows in (WHOLE, range(2, 5)):
            labels = fed.labels(step, rows)
            assert labels is not None
            assert labels.dtype == torch.int64
            assert labels.tolist() == fed.batch(step, rows)[:, 0].tolist()


def test_items_without_labels_have_none() -> None:
    assert feed().labels(0, WHOLE) is None


def test_a_batch_is_the_callers_own() -> None:
    fed = feed()
    fed.batch(0, WHOLE).zero_()
    assert torch.equal(fed.batch(0, WHOLE), feed().batch(0, WHOLE))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_shares_of_all_ranks_are_the_whole_batch(ranks: int) -> None:
    own = SIZE // ranks
    feeds = [feed(flip=True) for _ in range(ranks)]
    for step in range(5):
        shares = [fed.batch(step, range(i * own, (i + 1) * own)) for i, fed in enumerate(feeds)]
        assert torch.equal(torch.cat(shares), feed(flip=True).batch(step, WHOLE))


def flips(items: NDArray[np.uint8], seed: int, steps: range) -> list[list[bool]]:
    """Return which rows are mirrored, after checking that the others are unchanged."""
    flipping, plain = feed(items, seed, flip=True), feed(items, seed)
    found = []
    for step in steps:
        pairs = list(zip(flipping.batch(step, WHOLE), plain.batch(step, WHOLE), strict=True))
        found.append([torch.equal(a, b.flip(2)) for a, b in pairs])
        assert found[-1] == [not torch.equal(a, b) for a, b in pairs]
    return found


def test_about_half_are_mirrored_left_to_right() -> None:
    share = np.mean(flips(IMAGES, 0, range(100)))
    assert 0.44 < share < 0.56  # 3.4 standard deviations of 800 draws


def test_flips_are_a_function_of_seed_and_step_alone() -> None:
    here = flips(IMAGES, 0, range(10))
    assert flips(noise(17, 6, 6, 1, seed=1), 0, range(10)) == here
    assert flips(IMAGES, 1, range(10)) != here
    assert len({tuple(row) for row in here}) > 1


def test_points_cannot_be_mirrored() -> None:
    with pytest.raises(ValueError, match="no images"):
        feed(np.zeros((9, 2), np.float32), flip=True)


def test_items_on_the_device_and_items_streamed_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    monkeypatch.setattr(batch_loader, "_CHUNK_BYTES", 1000)  # several chunks, of which the last is smaller
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_the_thread = feed(mapped, flip=True)
        monkeypatch.setattr(batch_loader, "fits_on_device", lambda items, device: True)
        from_the_device = feed(mapped, flip=True)
        for step in range(6):
            batch = from_the_thread.batch(step, WHOLE)
            assert torch.equal(batch, from_the_device.batch(step, WHOLE))
    assert np.array_equal(mapped, IMAGES)


def test_items_move_to_a_gpu_that_stays_half_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    for free, enough in ((2 * IMAGES.nbytes, True), (2 * IMAGES.nbytes - 2, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**12))
        assert fits_on_device(IMAGES, gpu) is enough
    assert not fits_on_device(IMAGES, CPU)


def in_order(step: int, rows: range) -> NDArray[np.int64]:
    return (step * SIZE + np.arange(rows.start, rows.stop)) % len(IMAGES)


def test_resident_items_are_gathered_from_a_copy() -> None:
    items = IMAGES.copy()
    source = on_device(items, in_order, CPU)
    items[:] = 0
    assert np.array_equal(source(1, WHOLE).numpy(), IMAGES[8:16])


def test_consecutive_steps_are_gathered_ahead_and_once() -> None:
    asked = []

    def index(step: int, rows: range) -> NDArray[np.int64]:
        asked.append(step)
        return in_order(step, rows)

    source = prefetched(IMAGES, index, CPU)
    for step in range(20):
        assert np.array_equal(source(step, WHOLE).numpy(), IMAGES[in_order(step, WHOLE)])
    source(50, WHOLE)  # waits for the thread, which has dropped or done what was asked before
    assert asked[:20] == list(range(20))
    assert asked[-1] >= 50


def test_the_thread_is_ahead() -> None:
    reached = threading.Event()

    def index(step: int, rows: range) -> NDArray[np.int64]:
        if step == 2:
            reached.set()
        return in_order(step, rows)

    source = prefetched(IMAGES, index, CPU)
    source(0, WHOLE)
    assert reached.wait(60)


def test_an_error_in_the_thread_reaches_the_caller_in_its_step() -> None:
    def index(step: int, rows: range) -> NDArray[np.int64]:
        if step == 2:
            raise OSError("the disk is gone")
        return in_order(step, rows)

    source = prefetched(IMAGES, index, CPU)
    source(0, WHOLE)
    source(1, WHOLE)
    with pytest.raises(OSError, match="the disk is gone"):
        source(2, WHOLE)
    assert np.array_equal(source(3, WHOLE).numpy(), IMAGES[in_order(3, WHOLE)])


def test_the_thread_ends_with_its_loader() -> None:
    before = set(threading.enumerate())
    fed = feed()
    fed.batch(0, WHOLE)
    (thread,) = set(threading.enumerate()) - before
    del fed
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()


def test_the_thread_does_not_keep_python_alive() -> None:
    code = (
        "import numpy as np, torch\n"
        "from avae.data.batch_loader import BatchLoader\n"
        "feed = BatchLoader(np.zeros((9, 4, 4, 1), np.uint8), torch.device('cpu'), 0, 4)\n"
        "feed.batch(0, range(4))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
