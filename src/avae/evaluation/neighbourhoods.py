"""How two sets of features cover each other: precision and recall, density and coverage."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from avae.evaluation.distances import Features

PRECISION_NEIGHBOUR = 3
"""A ball of precision and recall reaches to this neighbour (Kynkäänniemi et al., 2019)."""

DENSITY_NEIGHBOUR = 5
"""A ball of density and coverage reaches to this neighbour (Naeem et al., 2020)."""

_DISTANCE_ROWS = 500
"""Rows of the distance matrix in memory at a time."""


class Neighbourhoods(NamedTuple):
    """What two sets of features have of each other; docs/metrics explains each."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhoods(generated: Features, real: Features) -> Neighbourhoods:
    """Return precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020).

    The ball around a row reaches to its k-th nearest other row of the same set: to the third for precision
    and recall, which count a row on its surface; to the fifth for density and coverage, which do not.

    - precision: share of generated rows inside the ball of a real row;
    - recall: share of real rows inside the ball of a generated row;
    - density: number of real rows whose ball a generated row is inside, divided by k, in the mean;
    - coverage: share of real rows whose ball holds a generated row.

    Args:
        generated, real: (N, F), (M, F); 6 rows or more.

    Returns:
        All NaN if a feature is not finite: such a row, in no ball, would count as 0.
    """
    if not (np.isfinite(generated).all() and np.isfinite(real).all()):
        return Neighbourhoods(math.nan, math.nan, math.nan, math.nan)
    x, y = torch.from_numpy(real), torch.from_numpy(generated)
    near, far = _radii(x, PRECISION_NEIGHBOUR, DENSITY_NEIGHBOUR)
    (reach,) = _radii(y, PRECISION_NEIGHBOUR)
    recalled = torch.zeros(len(x), dtype=torch.bool)
    covered = torch.zeros(len(x), dtype=torch.bool)
    precise = balls = 0
    for rows, distances in _distances(y, x):
        precise += int((distances <= near).any(1).sum())
        recalled |= (distances <= reach[rows, None]).any(0)
        inside = distances < far
        balls += int(inside.sum())
        covered |= inside.any(0)
    return Neighbourhoods(
        precise / len(y),
        recalled.double().mean().item(),
        balls / (DENSITY_NEIGHBOUR * len(y)),
        covered.double().mean().item(),
    )


def _radii(x: Tensor, *neighbours: int) -> list[Tensor]:
    """Return the distance (N,) from every row of x (N, F) to its k-th nearest other row, for each k."""
    # The nearest row is the row itself.
    nearest = [d.topk(max(neighbours) + 1, largest=False).values for _, d in _distances(x, x)]
    return list(torch.cat(nearest)[:, list(neighbours)].T)


def _distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of rows of a, and their distances to all rows of b."""
    for start in range(0, len(a), _DISTANCE_ROWS):
        rows = slice(start, start + _DISTANCE_ROWS)
        yield rows, torch.cdist(a[rows], b)
