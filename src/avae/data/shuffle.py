"""Shuffle items anew every epoch."""

import numpy as np
from numpy.typing import NDArray

from avae.rng import rng


class EpochShuffler:
    """An endless order of items, shuffled anew every epoch: a function of (seed, step) alone.

    Each epoch contains every one of the `count` items once. A batch may span two or more epochs.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._epochs: dict[int, NDArray[np.int64]] = {}

    def batch(self, step: int, size: int) -> NDArray[np.int64]:
        """Return the `size` item numbers of a step."""
        start, stop = step * size, (step + 1) * size
        epochs = range(start // self.count, (stop - 1) // self.count + 1)
        self._keep(epochs)
        return np.concatenate(
            [self._epochs[e][max(start - e * self.count, 0) : stop - e * self.count] for e in epochs]
        )

    def _keep(self, epochs: range) -> None:
        """Keep the permutations of these epochs and drop the others."""
        self._epochs = {
            epoch: self._epochs[epoch]
            if epoch in self._epochs
            else rng(self.seed, "order", epoch).permutation(self.count)
            for epoch in epochs
        }
