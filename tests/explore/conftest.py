import pytest
import torch

import avae
from avae.explore.explored import Explored, open_explored
from avae.load_data import load_dataset_for
from avae.model import Model


@pytest.fixture(scope="session")
def digits(runs) -> Model:
    """An AVAE with xi; codes of 4 dimensions, of which the last says nothing."""
    return avae.load(runs["digits-avae"], device="cpu")


@pytest.fixture(scope="session")
def explored(digits) -> Explored:
    """A model with its data."""
    return open_explored(digits, load_dataset_for(digits, "digits"))


@pytest.fixture(scope="session")
def in_classes(digits, pictures, own_cache) -> Explored:
    """The same model with pictures in two classes, even and odd."""
    return open_explored(digits, load_dataset_for(digits, str(pictures)))


@pytest.fixture
def normals():
    """A function from a shape to standard normal numbers."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator)
