"""Metrics of points, for the toy example (section 5.1)."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.unavailable import Unavailable
from avae.rng import row_chunks

if TYPE_CHECKING:
    from scipy.spatial import KDTree

REFERENCE = 50_000
SAMPLES = 20_000
_NEIGHBOUR = 5

Points = NDArray[np.float32]


def point_metrics(model: EvaluatedModel, train: Points, test: Points, others: Points) -> Iterator[Metric]:
    """Yield reconstructions' distance to the data manifold and MSE, and the energy distance of samples.

    Args:
        train: (N, F); the first 50,000 represent the data manifold.
        test: (M, F); the points to reconstruct.
        others: (K, F); the first 20,000 are compared with samples of the model's prior.
    """
    from scipy.spatial import KDTree  # slow to import

    tree = KDTree(train[:REFERENCE])
    items = torch.from_numpy(np.ascontiguousarray(test))
    yield "manifold_distance_floor", manifold_distance(tree, test)
    for name, reconstruct in model.reconstruct.items():
        if isinstance(reconstruct, Unavailable):
            for metric in (f"manifold_distance_{name}", "manifold_distance", f"mse_{name}"):
                yield metric, reconstruct
            continue
        parts = (
            (items[rows.start : rows.stop].to(model.device), rows)
            for rows in row_chunks(len(items), model.batch, merge_rest=True)
        )
        drawn = torch.cat([reconstruct(part, rows).cpu() for part, rows in parts])
        distance = manifold_distance(tree, drawn.numpy())
        yield f"manifold_distance_{name}", distance
        if name == model.default:
            yield "manifold_distance", distance
        yield f"mse_{name}", float((drawn - items).square().mean())
    yield "energy_distance", drawn_energy_distance(model, others, model.learned_prior or model.prior)


def manifold_distance(tree: "KDTree", points: Points) -> float:
    """Return the median distance of points to their 5th nearest neighbour in a tree."""
    distances, _ = tree.query(points, k=[_NEIGHBOUR])
    return float(np.median(distances))


def drawn_energy_distance(model: EvaluatedModel, others: Points, codes: Callable[[range], Tensor]) -> float:
    """Return the energy distance of `others` (K, F) to 20,000 points drawn from codes, a function of rows."""
    drawn = torch.cat(
        [model.draw(codes(r), r, 0).cpu() for r in row_chunks(SAMPLES, model.batch, merge_rest=True)]
    )
    return energy_distance(drawn, torch.from_numpy(np.ascontiguousarray(others[:SAMPLES])))


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Return 2 E|x - y| - E|x - x'| - E|y - y'| (Szekely and Rizzo, 2013).

    The estimate is unbiased: no point is compared with itself.

    Args:
        x, y: (N, F), (M, F) samples of two distributions.
    """
    x, y = x.double(), y.double()
    n, m = len(x), len(y)
    return (
        2 * _distance_sum(x, y) / (n * m)
        - _distance_sum(x, x) / (n * (n - 1))
        - _distance_sum(y, y) / (m * (m - 1))
    )


def _distance_sum(x: Tensor, y: Tensor) -> float:
    """Return the sum of all distances, in bounded memory; by differences, as the matrix form rounds more."""
    return math.fsum(
        float(torch.cdist(part, y, compute_mode="donot_use_mm_for_euclid_dist").sum())
        for part in torch.split(x, 1024)
    )
