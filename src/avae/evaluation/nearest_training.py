"""Training images that are nearest to samples: has a model memorised them?"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

ITEMS = 2_000
"""Maximum number of samples, and of held-out images, whose authenticity is measured."""

_CANDIDATES = 4
"""Further rows compared exactly, since rounding may change the places of rows that are about as near."""

_ROWS = 256
"""Rows of the distance matrix in memory at a time."""


class Nearest(NamedTuple):
    """The nearest training images of some images, the nearest first: row numbers and distances, (N, k)."""

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]


def nearest_training(features: NDArray[Any], training: NDArray[np.float32], count: int) -> Nearest:
    """Return the `count` nearest of the training features (M, F) of each row of features (N, F).

    The search is in float32, and what it finds is compared in float64.
    """
    searched, parts = torch.from_numpy(training), []
    candidates_of_each = min(count + _CANDIDATES, len(training))
    for start in range(0, len(features), _ROWS):
        rows = features[start : start + _ROWS]
        found = torch.cdist(torch.from_numpy(rows.astype(np.float32)), searched)
        candidates = found.topk(candidates_of_each, largest=False).indices.numpy()
        exact = np.linalg.norm(rows[:, None].astype(np.float64) - training[candidates], axis=2)
        order = exact.argsort(1, kind="stable")[:, :count]
        parts.append((np.take_along_axis(candidates, order, 1), np.take_along_axis(exact, order, 1)))
    rows, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Nearest(rows, distances)


def authenticity(features: NDArray[Any], training: NDArray[np.float32]) -> float:
    """Return the share of images that are no copies by Alaa et al. (2022, arXiv 2102.08921).

    An image is authentic if it is farther from its nearest training image than that one is from the next
    training image.

    Args:
        features: (N, F).
        training: (M, F), two rows or more.

    Returns:
        NaN if a feature is not finite.
    """
    if not (np.isfinite(features).all() and np.isfinite(training).all()):
        return float("nan")
    found = nearest_training(features, training, 1)
    copied, of_image = np.unique(found.rows[:, 0], return_inverse=True)
    others = nearest_training(training[copied], training, 2)
    # The first of the two is the image itself, unless there is another one in the same place.
    to_next = np.where(others.rows[:, 0] == copied, others.distances[:, 1], others.distances[:, 0])
    return float((found.distances[:, 0] > to_next[of_image]).mean())
