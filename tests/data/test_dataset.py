"""The form of data: checksums and tensors."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avae.data.dataset import as_images, as_tensor, checksum
from avae.rng import normal_rows
from picture_files import noise


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


def test_the_values_of_all_runs_to_come() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert torch.equal(as_tensor(levels).flatten(), torch.arange(256).float() / 127.5 - 1)


def test_as_images_clips_what_overshoots() -> None:
    tensor = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 5)
    assert as_images(tensor).ravel().tolist() == [0, 0, 128, 255, 255]


def test_points_pass_unchanged() -> None:
    points = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    assert np.array_equal(as_tensor(points).numpy(), points)


def test_a_read_only_map_is_read_without_a_warning(tmp_path: Path) -> None:
    for items in (noise(5, 4, 4, 3), np.ones((5, 2), np.float32)):
        np.save(tmp_path / "items.npy", items)
        mapped = np.load(tmp_path / "items.npy", mmap_mode="r")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(as_tensor(mapped[1:4]), as_tensor(items[1:4]))


def test_the_checksum_sees_content_shape_type_and_order() -> None:
    a, b = np.arange(6, dtype=np.uint8), np.arange(6, dtype=np.uint8)[::-1]
    variants = [(a, b), (b, a), (a,), (a.reshape(2, 3), b), (a.view(np.int8), b)]
    assert len({checksum(*arrays) for arrays in variants}) == len(variants)
    assert checksum(a, b) == checksum(a.copy(), np.ascontiguousarray(b))


seeds = st.integers(0, 2**64 - 1)


@settings(max_examples=60)
@given(start=st.integers(0, 400), length=st.integers(0, 200), columns=st.integers(1, 5), seed=seeds)
def test_normal_rows_do_not_depend_on_the_range(start: int, length: int, columns: int, seed: int) -> None:
    whole = normal_rows(range(600), columns, seed, "test")
    part = normal_rows(range(start, start + length), columns, seed, "test")
    assert part.shape == (length, columns)
    assert np.array_equal(part, whole[start : start + length])
