"""A model and images for it."""

import pytest

import avae
from avae.data.sources.digits import digits_data
from avae.model import Model


@pytest.fixture
def model(runs) -> Model:
    return avae.load(runs["digits-avae"], device="cpu")


@pytest.fixture
def images():
    """uint8 (10, 16, 16, 1)."""
    return digits_data().test[:10]
