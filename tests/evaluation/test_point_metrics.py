"""Metrics of the toy example."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from avae.data.toy import toy_points
from avae.evaluation.point_metrics import energy_distance, manifold_distance


def test_energy_distance_is_that_of_the_definition():
    x, y = torch.randn(7, 2, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64) + 1
    xy = sum(float((a - b).norm()) for a in x for b in y) / 35
    xx = sum(float((x[i] - x[j]).norm()) for i in range(7) for j in range(7) if i != j) / 42
    yy = sum(float((y[i] - y[j]).norm()) for i in range(5) for j in range(5) if i != j) / 20
    assert energy_distance(x, y) == pytest.approx(2 * xy - xx - yy, rel=1e-12)


def test_energy_distance_is_unbiased_and_sees_a_shift():
    """Two samples of one distribution: nil on the mean of many, negative for some."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(200, 2, generator=generator)  # noqa: E731
    same = torch.tensor([energy_distance(draw(), draw()) for _ in range(60)])
    assert abs(same.mean()) < 3 * same.std() / 60**0.5
    assert (same < 0).any()
    assert energy_distance(draw(), draw() + 1) > 0.3


def test_manifold_distance_grows_off_the_data():
    tree = KDTree(toy_points(20_000, 0, "reference"))
    points = toy_points(500, 0, "points")
    floor = manifold_distance(tree, points)
    assert 0 < floor < 0.06
    assert manifold_distance(tree, points + np.array([0.0, 4.0])) > 10 * floor


def test_manifold_distance_is_the_median_to_the_fifth_neighbour():
    tree = KDTree([[float(i)] for i in range(10)])
    assert manifold_distance(tree, [[0.0], [0.0], [4.0]]) == 4.0
