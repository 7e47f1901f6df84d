"""Distances of sets against closed forms, and what they must not depend on."""

import math

import numpy as np
import pytest
import torch
from made_features import projection

from avae.data.sources.digits import digits_data
from avae.evaluation.distances import (
    FeatureMoments,
    RunningMoments,
    feature_moments,
    frechet_distance,
    kernel_distance,
)
from avae.evaluation.features import extract_features

RANDOM = np.random.default_rng(0)
FIRST_STATE = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def same_draws_in_any_order():
    """Start every test at the same draws, whichever tests its worker ran before."""
    RANDOM.bit_generator.state = FIRST_STATE


def gaussian(count, dimension=6, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimension))


def test_a_known_shift_and_scaling_give_the_analytic_frechet_distance():
    """x -> a x + b: |(a - 1) m + b|^2 + (a - 1)^2 tr C, exactly, with the very moments of x."""
    mixing = RANDOM.normal(size=(6, 6))
    x = gaussian(500) @ mixing + 3
    a, b = 1.7, RANDOM.normal(size=6)
    s = feature_moments(x)
    expected = ((a - 1) * s.mean + b) @ ((a - 1) * s.mean + b) + (a - 1) ** 2 * np.trace(s.covariance)
    assert frechet_distance(s, feature_moments(a * x + b)) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(s, s) == pytest.approx(0, abs=1e-6)


def test_scales_that_differ_by_dimension():
    """Diagonal Gaussians: sum of (m - m')^2 + (s - s')^2."""
    a = FeatureMoments(np.zeros(3), np.diag([1.0, 4.0, 0.0]), 10)
    b = FeatureMoments(np.array([1.0, 0, 2]), np.diag([9.0, 1.0, 4.0]), 10)
    assert frechet_distance(a, b) == pytest.approx((1 + 4) + (4 + 1 + 4))


def test_two_halves_of_one_set_are_as_far_apart_as_chance_has_it():
    """As two samples of a Gaussian with the set's own moments are, in the mean; far less than another set."""
    images = torch.from_numpy(digits_data().train).permute(0, 3, 1, 2) / 127.5 - 1
    features = extract_features(projection(), [images])
    order = np.random.default_rng(1).permutation(len(features))
    half = len(features) // 2
    halves = [feature_moments(features[part]) for part in (order[:half], order[half:])]
    whole = feature_moments(features)
    root = np.linalg.cholesky(whole.covariance)
    chance = [
        frechet_distance(
            *(feature_moments(gaussian(half, 8, 2 * i + j) @ root.T + whole.mean) for j in (0, 1))
        )
        for i in range(50)
    ]
    found = frechet_distance(*halves)
    assert 0.4 * np.mean(chance) < found < 2.5 * np.mean(chance)
    upside_down = feature_moments(extract_features(projection(), [images.flip(2)]))
    assert frechet_distance(whole, upside_down) > 5 * found


def test_order_and_division_make_no_difference():
    x = gaussian(1000) * 5 + 100
    expected = np.cov(x, rowvar=False)
    moments = RunningMoments()
    for part in np.array_split(RANDOM.permutation(x), [1, 7, 300]):
        moments.add(part)
    found = moments.result()
    assert found.count == 1000
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9, atol=1e-9)
    other = feature_moments(gaussian(1000, seed=1))
    assert frechet_distance(found, other) == pytest.approx(
        frechet_distance(feature_moments(x), other), rel=1e-9
    )


def test_what_is_not_finite_or_of_one_image_has_no_frechet_distance():
    good = feature_moments(gaussian(10))
    assert math.isnan(frechet_distance(good, feature_moments(np.full((10, 6), np.nan))))
    assert math.isnan(frechet_distance(good, feature_moments(gaussian(1))))


def test_kid_is_nil_within_its_own_deviation_for_one_distribution_and_not_for_two():
    x, y = gaussian(500), gaussian(500, seed=1)
    mean, deviation = kernel_distance(x, y)
    assert deviation > 0
    assert abs(mean) < deviation
    shifted, _ = kernel_distance(x, y + 0.5)
    assert shifted > 3 * deviation
    again = kernel_distance(RANDOM.permutation(x), y)
    assert abs(again[0] - mean) < deviation
    assert kernel_distance(x, y) == (mean, deviation)


def test_kid_of_a_known_shift():
    """E k(x, y) of the kernel (x y / F + 1)^3 in one dimension: x, x' ~ N(0, 1), y, y' ~ N(a, 1).

    With u = x x' the cube is 1 + 3 u + 3 u^2 + u^3, so that E k is 1 + 3 m m' + 3 q q' + c c' with the
    moments m = a, q = 1 + a^2, c = a^3 + 3 a, and the distance is 3 m^2 + 3 (q - 1)^2 + c^2.
    """
    a = 0.5
    expected = 3 * a**2 + 3 * a**4 + (a**3 + 3 * a) ** 2
    found, deviation = kernel_distance(gaussian(600, 1), gaussian(600, 1, seed=1) + a)
    assert abs(found - expected) < deviation
    assert found == pytest.approx(expected, rel=0.2)
