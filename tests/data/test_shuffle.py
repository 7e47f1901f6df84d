"""The order of items: what it was in every run so far, and what a run relies on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avae.data.shuffle import EpochShuffler
from avae.rng import rng

counts, sizes, seeds = st.integers(1, 40), st.integers(1, 100), st.integers(0, 2**64 - 1)


@settings(max_examples=100)
@given(count=counts, size=sizes, seed=seeds, step=st.integers(0, 50))
def test_items_come_in_the_order_of_their_epochs_permutations(
    count: int, size: int, seed: int, step: int
) -> None:
    expected = [
        rng(seed, "order", place // count).permutation(count)[place % count]
        for place in range(step * size, (step + 1) * size)
    ]
    batch = EpochShuffler(count, seed).batch(step, size)
    assert batch.dtype == np.int64
    assert batch.tolist() == expected


def test_the_order_of_all_runs_to_come() -> None:
    order = EpochShuffler(10, 7)
    drawn = [order.batch(step, 4).tolist() for step in (0, 2)]
    assert drawn == [[0, 2, 1, 9], [4, 5, 7, 1]]


@settings(max_examples=60)
@given(count=counts, size=sizes, seed=seeds)
def test_every_epoch_holds_each_item_once(count: int, size: int, seed: int) -> None:
    order = EpochShuffler(count, seed)
    steps = -(-3 * count // size)
    drawn = np.concatenate([order.batch(step, size) for step in range(steps)])
    for epoch in range(3):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))


@settings(max_examples=60)
@given(count=counts, size=sizes, seed=seeds, steps=st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_a_batch_is_a_function_of_seed_and_step(count: int, size: int, seed: int, steps: list[int]) -> None:
    order = EpochShuffler(count, seed)
    for step in steps:  # in any order, whatever was asked before
        batch = order.batch(step, size)
        assert batch.shape == (size,)
        assert np.array_equal(batch, EpochShuffler(count, seed).batch(step, size))


@settings(max_examples=30)
@given(count=counts, size=sizes, seed=seeds)
def test_batch_sizes_read_one_sequence(count: int, size: int, seed: int) -> None:
    order = EpochShuffler(count, seed)
    halves = np.concatenate([order.batch(2, size), order.batch(3, size)])
    assert np.array_equal(halves, order.batch(1, 2 * size))


def test_epochs_and_seeds_differ() -> None:
    order = EpochShuffler(1000, 0)
    assert not np.array_equal(order.batch(0, 1000), order.batch(1, 1000))
    assert not np.array_equal(order.batch(0, 1000), EpochShuffler(1000, 1).batch(0, 1000))


def test_a_permutation_is_drawn_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counting(seed: int, stream: str, epoch: int) -> np.random.Generator:
        drawn.append(epoch)
        return rng(seed, stream, epoch)

    monkeypatch.setattr("avae.data.shuffle.rng", counting)
    order = EpochShuffler(100, 0)
    for step in range(25):
        order.batch(step, 10)
    assert drawn == [0, 1, 2]
