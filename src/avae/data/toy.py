"""The two-dimensional toy data of the paper, section 5.1."""

import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import Dataset, checksum
from avae.rng import normal

TRAIN_COUNT = 1_000_000
TEST_COUNT = 50_000


def toy_points(count: int, seed: int, stream: str) -> NDArray[np.float32]:
    """Draw points x = (3 z1 + 0.1 eps, cos(3 z1) + tanh(3 z2) + 0.1 eps), z1, z2, eps ~ N(0, 1).

    Both coordinates share one eps, as in the paper.

    Returns:
        float32 (count, 2), a function of (seed, stream); asking for more points keeps the first ones.
    """
    z1, z2, eps = normal((count, 3), seed, stream).T
    return np.stack([3 * z1 + 0.1 * eps, np.cos(3 * z1) + np.tanh(3 * z2) + 0.1 * eps], axis=1)


def toy_data(seed: int = 0) -> Dataset:
    """Return 1,000,000 training and 50,000 test points."""
    train = toy_points(TRAIN_COUNT, seed, "toy-train")
    test = toy_points(TEST_COUNT, seed, "toy-test")
    return Dataset("toy", train, test, checksum(train, test))
