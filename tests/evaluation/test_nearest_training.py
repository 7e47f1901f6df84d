"""Nearest training images and authenticity, against their definitions and known copies."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avae.evaluation.nearest_training import authenticity, nearest_training


def gaussian(count, dimension=6, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def by_definition(features, training):
    """The share of rows farther from their nearest training row than that is from the next."""
    authentic = 0
    for row in features.tolist():
        star = min(range(len(training)), key=lambda i: math.dist(row, training[i]))
        others = [math.dist(training[star], other) for i, other in enumerate(training) if i != star]
        authentic += math.dist(row, training[star]) > min(others)
    return authentic / len(features)


@given(st.integers(1, 9), st.integers(2, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_authenticity_is_what_its_definition_says(drawn, real, dimension, seed):
    x, y = gaussian(real, dimension, seed), 0.7 * gaussian(drawn, dimension, seed + 1)
    assert authenticity(y, x) == pytest.approx(by_definition(y, x.tolist()))
    assert authenticity(2 * y, 2 * x) == pytest.approx(authenticity(y, x))


def test_nearest_rows_are_those_of_a_search_through_all():
    x, y = gaussian(700, 8), gaussian(300, 8, seed=1)
    distances = np.linalg.norm(y[:, None].astype(float) - x, axis=2)
    found = nearest_training(y, x, 3)
    np.testing.assert_array_equal(found.rows, distances.argsort(1)[:, :3])
    np.testing.assert_allclose(found.distances, np.sort(distances, 1)[:, :3], rtol=1e-12)


def test_copies_are_not_authentic_and_are_found():
    x = gaussian(500, 30)
    new = gaussian(200, 30, seed=1)
    copies = x[::5] + 1e-3
    held_out = authenticity(new, x)
    assert held_out > 0.3
    assert authenticity(copies, x) == 0
    mixed = np.concatenate([new[:100], copies])
    assert authenticity(mixed, x) == pytest.approx(authenticity(new[:100], x) / 2)
    found = nearest_training(copies, x, 1)
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(0, 500, 5))


def test_what_stands_twice_in_the_training_set_is_a_copy_all_the_same():
    """Exact distances: the rounding of float32 would decide otherwise."""
    x = np.repeat(1000 + gaussian(50, 40), 2, axis=0)
    assert authenticity(x[::2], x) == 0


def test_few_training_rows_have_as_many_neighbours_as_there_are():
    found = nearest_training(gaussian(4), gaussian(2, seed=1), 3)
    assert found.rows.shape == found.distances.shape == (4, 2)


def test_features_that_are_not_finite_have_no_authenticity():
    x = gaussian(20)
    broken = np.full_like(x, np.nan)
    assert math.isnan(authenticity(x, broken))
    assert math.isnan(authenticity(broken, x))
