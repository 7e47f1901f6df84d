"""Noise that is drawn before it is needed."""

import threading

import numpy as np
import pytest
import torch

from avae.data.batch_loader import BatchLoader
from avae.engine.step import Phase
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults
from avae.rng import normal_items
from avae.training.batches import BatchStream

CPU = torch.device("cpu")
PHASE = Phase(
    "path_length", lambda x, noise: ({}, {}), {}, every=4, noise_shapes=lambda n: {"y": (n, 1, 16, 16)}
)


@pytest.fixture
def threads(monkeypatch):
    """The names of the threads that draw image-sized noise."""
    seen = []

    def noted(*args):
        seen.append(threading.current_thread().name)
        return normal_items(*args)

    monkeypatch.setattr("avae.training.batches.normal_items", noted)
    return seen


def stream(steps=100):
    config = with_defaults(Config("", "", "", steps, batch_size=4, size=16, channels=1, width=2))
    items = np.zeros((8, 16, 16, 1), np.uint8)
    return BatchStream(BatchLoader(items, CPU, 0, 4), config, CPU, torch.float32)


def noise(batches, step):
    ((_, noise),) = batches.micro_batches(step, PHASE)
    return noise["y"]


def test_image_sized_noise_is_drawn_ahead_and_the_same(threads):
    batches = stream()
    found = [noise(batches, step) for step in (0, 4, 8)]
    assert threads[0] == threading.main_thread().name
    assert all(name.startswith("noise") for name in threads[1:])
    for step, y in zip((0, 4, 8), found, strict=True):
        assert torch.equal(y, torch.from_numpy(normal_items(range(4), (1, 16, 16), 0, "path_length/y", step)))


def test_after_a_rollback_the_noise_is_that_of_the_step():
    batches = stream()
    first = noise(batches, 8)
    noise(batches, 0)
    assert torch.equal(noise(batches, 8), first)
    assert torch.equal(noise(batches, 4), noise(stream(), 4))


def test_nothing_is_drawn_for_steps_after_the_last(threads):
    noise(batches := stream(steps=8), 4)
    batches._thread.shutdown()
    assert len(threads) == 1
