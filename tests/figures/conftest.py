"""Fixtures of the tests of figures: custom features, and further runs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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


@pytest.fixture
def copied(tmp_path) -> Callable[[Path, str], Path]:
    """Return a function that copies a run, to be changed."""

    def copy(run: Path, name: str) -> Path:
        return Path(shutil.copytree(run, tmp_path / name))

    return copy
