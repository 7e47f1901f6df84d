"""Hold out a test split from images without one."""

import numpy as np
from numpy.typing import NDArray

from avae.rng import rng

SHARE, LIMIT = 10, 10_000  # one in ten


def hold_out(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split range(count) into training numbers and a tenth of test numbers, each sorted."""
    tenth = min(max(1, count // SHARE), LIMIT)
    order = rng(seed, "holdout").permutation(count)
    return np.sort(order[tenth:]), np.sort(order[:tenth])
