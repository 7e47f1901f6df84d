"""Fixtures of the tests of figures: custom features, and further runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import avae

FEATURES = '''
import torch

class Coarse(torch.nn.Module):
    """The picture in 3 x 3 squares, as 9 features of its mean colour."""
    def forward(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 3).flatten(1)
'''


@pytest.fixture
def features(tmp_path) -> str:
    """What `--features` takes: a file's callable without arguments."""
    path = tmp_path / "own_features.py"
    path.write_text(FEATURES)
    return f"{path}:Coarse"


@pytest.fixture(scope="session")
def without_xi(once, tiny) -> Callable[[str], Path]:
    """Return a function from a recipe to a finished AVAE run without xi; train where `small_toy` is."""

    def train(recipe: str, out: Path) -> None:
        code_dim = 1 if recipe == "toy" else 4
        own = {"xi_dim": 0, "code_dim": code_dim, "seed": 5}
        model = avae.train(recipe, **tiny | own, out=str(out))
        with torch.no_grad():
            model.framework.encoder.log_sigma.fill_(-0.5)  # after so short a training
        model.save(out / "model")

    return lambda recipe: once(f"{recipe}-without-xi", lambda out: train(recipe, out))


@pytest.fixture
def copied(tmp_path) -> Callable[[Path, str], Path]:
    """Return a function that copies a run, to be changed."""

    def copy(run: Path, name: str) -> Path:
        return Path(shutil.copytree(run, tmp_path / name))

    return copy
