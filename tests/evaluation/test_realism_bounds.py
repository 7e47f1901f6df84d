"""Bounds of realistic reconstructions against closed forms, and the bias that they correct."""

import math

import numpy as np
import pytest
import torch

from avae.evaluation.realism_bounds import (
    GROUPS,
    MomentSums,
    PairSums,
    gelbrich_distance,
    jackknife,
    realism_bounds,
    shrink,
)


def images(rows, channels=1):
    """Rows (N, F) as float64 images."""
    side = math.isqrt(rows.shape[1] // channels)
    return torch.from_numpy(np.asarray(rows, np.float64)).reshape(len(rows), channels, side, side)


def whitened(count, dimension, seed=0):
    """Draws whose mean is 0 and whose covariance is the identity, exactly."""
    x = np.random.default_rng(seed).normal(size=(count, dimension))
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / (count - 1))).T


def grouped(x, y):
    return [PairSums.of(x[first::GROUPS], y[first::GROUPS]) for first in range(GROUPS)]


def test_in_one_dimension_it_is_the_distance_of_means_and_of_deviations():
    x = whitened(50, 1)
    a, b = MomentSums.of(images(2 * x + 3)), MomentSums.of(images(0.5 * x - 1))
    assert gelbrich_distance(a, b) == pytest.approx((3 + 1) ** 2 + (2 - 0.5) ** 2, rel=1e-9)


def test_of_covariances_that_commute_it_is_the_sum_over_their_directions():
    """W2^2 of N(m, Q S Q^T) and N(m', Q S' Q^T) is |m - m'|^2 + |S^1/2 - S'^1/2|^2."""
    random = np.random.default_rng(1)
    q = np.linalg.qr(random.normal(size=(16, 16)))[0]
    s, other = random.uniform(0, 3, 16), random.uniform(0, 3, 16)
    other[:5] = 0  # as of a decoder
    shift = random.normal(size=16)
    a, b = whitened(200, 16) * s @ q.T, whitened(90, 16, seed=2) * other @ q.T + shift
    expected = shift @ shift + np.square(s - other).sum()
    found = gelbrich_distance(MomentSums.of(images(a)), MomentSums.of(images(b)))
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("side", [16, 24, 31, 64])
def test_shrunk_images_are_orthonormal_coordinates(side):
    x = torch.randn(3, 2, side, side, dtype=torch.float64)
    small = shrink(x)
    square = next(s for s in range(1, 65) if side % s == 0 and side // s <= 16)
    enlarged = (small / square).reshape(3, 2, side // square, side // square)
    enlarged = enlarged.repeat_interleave(square, 2).repeat_interleave(square, 3)
    torch.testing.assert_close(small.square().sum(1), enlarged.flatten(1).square().sum(1))
    torch.testing.assert_close(shrink(enlarged), small)
    assert side > 16 or torch.equal(small, x.flatten(1))


def test_of_larger_images_it_is_a_lower_bound_that_sees_lost_detail():
    """Against the distance of Gaussians on all pixels, of images of 20 px that lose details or all."""
    x = images(np.random.default_rng(0).normal(size=(900, 400)) * np.linspace(0.1, 1, 400))
    plain = torch.zeros_like(x)
    blurred = 0.7 * x.mean((2, 3), keepdim=True) + 0.3 * x
    for y, at_least in ((plain, 1), (blurred, 0.95), (x, 0)):
        covariances = [np.cov(part.flatten(1).numpy(), rowvar=False) for part in (x, y)]
        roots = np.linalg.eigvals(covariances[0] @ covariances[1]).astype(complex) ** 0.5
        means = float((x.mean(0) - y.mean(0)).square().sum())
        whole = means + sum(map(np.trace, covariances)) - 2 * roots.real.sum()
        found = gelbrich_distance(MomentSums.of(x), MomentSums.of(y))
        assert at_least * whole - 1e-3 <= found <= whole + 1e-3


def test_sums_of_parts_are_those_of_the_whole():
    x, y = (images(np.random.default_rng(seed).normal(size=(53, 36))) for seed in (0, 1))
    whole, parts = PairSums.of(x, y), grouped(x, y)
    added = sum(parts[1:], parts[0])
    assert added.error == pytest.approx(whole.error)
    for name in ("images", "reconstructions"):
        for key, value in vars(getattr(whole, name)).items():
            np.testing.assert_allclose(getattr(getattr(added, name), key), value, atol=1e-9)


def gaussian_code(count, seed):
    """Pictures N(0, S), 8 x 8, and the best decoder's reconstructions of a code: of a noisy channel.

    With the shares s of each variance, x* = s x + sqrt(s (1 - s) S) e has E[x | x*] = x*. Then D is the sum
    of (1 - s) S, and W2^2 that of (1 - sqrt(s))^2 S, as the covariances commute.
    """
    random = np.random.default_rng(seed)
    variances = 1 / np.arange(1, 65)
    share = (1 - variances[12] / variances).clip(0)
    x = random.normal(size=(count, 64)) * variances**0.5
    best = share * x + random.normal(size=(count, 64)) * (share * (1 - share) * variances) ** 0.5
    error = ((1 - share) * variances).mean()
    return images(x), images(best), error, error + ((1 - share**0.5) ** 2 * variances).mean()


@pytest.mark.parametrize("count", [50, 400])
def test_the_jackknife_takes_the_bias_of_few_images_away(count):
    found = [realism_bounds(grouped(*gaussian_code(count, seed)[:2])) for seed in range(12)]
    *_, error, floor = gaussian_code(count, 0)
    by_chance = 4 * np.std([bounds.floor for bounds in found]) / 12**0.5
    assert abs(np.mean([bounds.floor for bounds in found]) - floor) < by_chance
    bias = np.mean([bounds.floor_uncorrected for bounds in found]) - floor
    assert bias > by_chance or count > 50
    assert bias > 0
    errors = np.mean([bounds.floor_error for bounds in found])
    assert errors == pytest.approx(np.std([bounds.floor for bounds in found]), rel=0.6)
    for bounds in found:
        assert bounds.mse <= bounds.floor <= bounds.ceiling == 2 * bounds.mse
        assert bounds.mse == pytest.approx(error, rel=0.5)


def test_a_decoder_that_loses_nothing_has_no_bound_above_its_error():
    x = images(np.random.default_rng(0).normal(size=(100, 16)))
    bounds = realism_bounds(grouped(x, x))
    assert bounds.mse == bounds.ceiling == 0
    assert bounds.floor == pytest.approx(0, abs=1e-6)


def test_the_jackknife_of_a_mean_is_the_mean_and_its_standard_error():
    x = np.random.default_rng(0).normal(size=20)
    mean, error = jackknife(x.mean(), [np.delete(x, i).mean() for i in range(20)])
    assert mean == pytest.approx(x.mean())
    assert error == pytest.approx(x.std(ddof=1) / math.sqrt(20))


def test_the_jackknife_takes_away_what_falls_with_the_count():
    assert jackknife(3 + 5 / 100, [3 + 5 / 90] * 10)[0] == pytest.approx(3)
