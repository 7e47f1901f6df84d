"""Metrics of points: the toy example's (section 5.1)."""

import math
from collections.abc import Iterator
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


def point_metrics(subject: EvaluatedModel, train: Points, test: Points, others: Points) -> Iterator[Metric]:
    """Yield how near the data reconstructions lie, their MSE, and how far the samples' distribution is off.

    Args:
        train: (N, F), the first 50,000 of which stand for the data's manifold.
        test: (M, F), to be reconstructed.
        others: (K, F), the first 20,000 of which samples are compared with.
    """
    from scipy.spatial import KDTree  # slow to import

    tree = KDTree(train[:REFERENCE])
    items = torch.from_numpy(np.ascontiguousarray(test))
    yield "manifold_distance_floor", manifold_distance(tree, test)
    for name, reconstruct in subject.reconstruct.items():
        if isinstance(reconstruct, Unavailable):
            for metric in (f"manifold_distance_{name}", "manifold_distance", f"mse_{name}"):
                yield metric, reconstruct
            continue
        parts = (
            (items[rows.start : rows.stop].to(subject.device), rows)
            for rows in row_chunks(len(items), merge_rest=True)
        )
        drawn = torch.cat([reconstruct(part, rows).cpu() for part, rows in parts])
        distance = manifold_distance(tree, drawn.numpy())
        yield f"manifold_distance_{name}", distance
        if name == subject.default:
            yield "manifold_distance", distance
        yield f"mse_{name}", float((drawn - items).square().mean())
    samples = torch.cat(
        [subject.draw(subject.prior(r), r, 0).cpu() for r in row_chunks(SAMPLES, merge_rest=True)]
    )
    yield (
        "energy_distance",
        energy_distance(samples, torch.from_numpy(np.ascontiguousarray(others[:SAMPLES]))),
    )


def manifold_distance(tree: "KDTree", points: Points) -> float:
    """Median distance of the points to their 5th neighbour among the tree's."""
    distances, _ = tree.query(points, k=[_NEIGHBOUR])
    return float(np.median(distances))


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased: no point is compared with itself (Szekely, Rizzo 2013).

    Args:
        x, y: (N, F), (M, F) samples of two distributions.
    """
    x, y = x.double(), y.double()
    n, m = len(x), len(y)
    return 2 * _total(x, y) / (n * m) - _total(x, x) / (n * (n - 1)) - _total(y, y) / (m * (m - 1))


def _total(x: Tensor, y: Tensor) -> float:
    """Sum of all distances, in bounded memory and by differences, not by the rounding matrix form."""
    return math.fsum(
        float(torch.cdist(part, y, compute_mode="donot_use_mm_for_euclid_dist").sum())
        for part in torch.split(x, 1024)
    )
