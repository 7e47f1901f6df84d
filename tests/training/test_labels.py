"""Labels in training: each batch has those of its items, in every phase and micro-batch, and after a stop."""

import numpy as np
import pytest
import torch

import avae
from avae.data.batch_loader import BatchLoader
from avae.data.load import load_data
from avae.engine.step import Phase
from avae.frameworks.base import LABELS
from avae.recipes.registry import get_recipe, with_overrides
from avae.recipes.resolve import resolve
from avae.training.batches import BatchStream
from picture_files import encoded, folder

LEVELS = {"bright": 250, "dark": 5, "grey": 128}
FLAT = {
    f"{name}/{i}.png": encoded(np.full((16, 16), LEVELS[name], np.uint8)) for name in LEVELS for i in range(9)
}


@pytest.fixture
def data(tmp_path):
    return load_data(str(folder(tmp_path / "set", FLAT)), 16, 1)


def stream(data, precision="fp32", labels=True):
    config = with_overrides(
        get_recipe("folder"),
        {"data": "set", "steps": 9, "batch_size": 8, "micro_batches": 4, "precision": precision},
    )
    config, cpu = resolve(config, data), torch.device("cpu")
    loader = BatchLoader(data.train, cpu, 0, 8, labels=data.labels if labels else None)
    return BatchStream(loader, config, cpu, torch.float64 if precision == "fp64" else torch.float32)


def phase(name):
    return Phase(name, lambda x, noise: ({}, {}), {}, noise_shapes=lambda n: {"z": (n, 3)})


def levels(x):
    return ((x[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_every_micro_batch_has_the_labels_of_its_items(data, precision):
    batches = stream(data, precision)
    for step in range(7):
        for name in ("main", "r1"):
            for x, noise in batches.micro_batches(step, phase(name)):
                assert len(x) == len(noise[LABELS]) == len(noise["z"]) == 2
                assert noise[LABELS].dtype == torch.int64
                assert levels(x) == [LEVELS[data.classes[label]] for label in noise[LABELS]]


def test_labels_are_a_function_of_the_step(data):
    """So that a resumed run sees those of the run it continues."""
    alone, resumed = stream(data), stream(data)
    course = [alone.micro_batches(step, phase("main")) for step in range(7)]
    assert [b[LABELS].tolist() for _, b in course[5]] == [
        b[LABELS].tolist() for _, b in resumed.micro_batches(5, phase("main"))
    ]
    assert len({tuple(torch.cat([b[LABELS] for _, b in batch]).tolist()) for batch in course}) > 1


def test_items_and_noise_do_not_depend_on_labels(data):
    for labelled, plain in zip(
        stream(data).micro_batches(3, phase("main")),
        stream(data, labels=False).micro_batches(3, phase("main")),
        strict=True,
    ):
        assert torch.equal(labelled[0], plain[0])
        assert torch.equal(labelled[1]["z"], plain[1]["z"])
        assert LABELS not in plain[1]


def test_a_run_on_class_folders_hands_labels_to_its_losses(tmp_path, tiny, monkeypatch):
    seen = []
    losses = avae.frameworks.avae.AVAE.losses

    def and_look(self, x, noise):
        seen.append((levels(x), noise[LABELS].tolist()))
        return losses(self, x, noise)

    monkeypatch.setattr("avae.frameworks.avae.AVAE.losses", and_look)
    source = folder(tmp_path / "set", FLAT)
    settings = tiny | {"steps": 2, "size": 16, "warm_start": 0.0, "data": source, "out": tmp_path / "run"}
    avae.train("folder", **settings, compile="off", representation="classifier")
    classes = sorted(LEVELS)
    assert len(seen) == 2
    for found, labels in seen:
        assert found == [LEVELS[classes[label]] for label in labels]
