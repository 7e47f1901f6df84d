"""The form of data: checksums, tensors, and the order of items."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import noise

from avae.data.dataset import ShuffledOrder, as_images, as_tensor, checksum
from avae.noise import normal_rows


def test_images_survive_the_round_trip() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = np.concatenate([levels, noise(1, 16, 16, 1)])
    tensor = as_tensor(images)
    assert tensor.shape == (2, 1, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min().item(), tensor.max().item()) == (-1, 1)
    assert np.array_equal(as_images(tensor), images)


def test_channels_come_first() -> None:
    images = noise(2, 4, 5, 3)
    tensor = as_tensor(images)
    assert tensor.shape == (2, 3, 4, 5)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor[1, 2, 3, 4].item() == pytest.approx(images[1, 3, 4, 2] / 127.5 - 1)


def test_as_images_clips_what_overshoots() -> None:
    tensor = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 5)
    assert as_images(tensor).ravel().tolist() == [0, 0, 128, 255, 255]


def test_points_pass_unchanged() -> None:
    points = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    assert np.array_equal(as_tensor(points).numpy(), points)


def test_the_checksum_sees_content_shape_type_and_order() -> None:
    a, b = np.arange(6, dtype=np.uint8), np.arange(6, dtype=np.uint8)[::-1]
    variants = [(a, b), (b, a), (a,), (a.reshape(2, 3), b), (a.view(np.int8), b)]
    assert len({checksum(*arrays) for arrays in variants}) == len(variants)
    assert checksum(a, b) == checksum(a.copy(), np.ascontiguousarray(b))


counts, sizes, seeds = st.integers(1, 40), st.integers(1, 100), st.integers(0, 2**64 - 1)


@settings(max_examples=60, deadline=None)
@given(count=counts, size=sizes, seed=seeds)
def test_every_epoch_holds_each_item_once(count: int, size: int, seed: int) -> None:
    order = ShuffledOrder(count, seed)
    steps = -(-3 * count // size)
    drawn = np.concatenate([order.batch(step, size) for step in range(steps)])
    for epoch in range(3):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))


@settings(max_examples=60, deadline=None)
@given(count=counts, size=sizes, seed=seeds, steps=st.lists(st.integers(0, 50), min_size=1, max_size=5))
def test_a_batch_is_a_function_of_seed_and_step(count: int, size: int, seed: int, steps: list[int]) -> None:
    order = ShuffledOrder(count, seed)
    for step in steps:  # in any order, whatever was asked before
        batch = order.batch(step, size)
        assert batch.shape == (size,)
        assert np.array_equal(batch, ShuffledOrder(count, seed).batch(step, size))


@settings(max_examples=30, deadline=None)
@given(count=counts, size=sizes, seed=seeds)
def test_batch_sizes_read_one_sequence(count: int, size: int, seed: int) -> None:
    order = ShuffledOrder(count, seed)
    halves = np.concatenate([order.batch(2, size), order.batch(3, size)])
    assert np.array_equal(halves, order.batch(1, 2 * size))


def test_epochs_and_seeds_differ() -> None:
    order = ShuffledOrder(1000, 0)
    assert not np.array_equal(order.batch(0, 1000), order.batch(1, 1000))
    assert not np.array_equal(order.batch(0, 1000), ShuffledOrder(1000, 1).batch(0, 1000))


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, 400), length=st.integers(0, 200), columns=st.integers(1, 5), seed=seeds)
def test_normal_rows_do_not_depend_on_the_range(start: int, length: int, columns: int, seed: int) -> None:
    whole = normal_rows(range(600), columns, seed, "test")
    part = normal_rows(range(start, start + length), columns, seed, "test")
    assert part.shape == (length, columns)
    assert np.array_equal(part, whole[start : start + length])
