"""Precision, recall, density and coverage against their definitions, other programs and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_prc import prc_features_to_metric

from avae.evaluation.neighbourhoods import neighbourhoods


def gaussian(count, dimension=6, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimension))


def by_definition(generated, real, k=5):
    """Density and coverage, written as the equations of Naeem et al. (2020) are."""
    ball = [sorted(math.dist(a, b) for j, b in enumerate(real) if j != i)[k - 1] for i, a in enumerate(real)]
    inside = [[math.dist(x, y) < radius for x, radius in zip(real, ball, strict=True)] for y in generated]
    density = sum(sum(row) for row in inside) / (k * len(generated))
    return density, sum(any(column) for column in zip(*inside, strict=True)) / len(real)


@given(
    st.integers(6, 14), st.integers(6, 14), st.integers(1, 4), st.floats(0.1, 3), st.integers(0, 2**32 - 1)
)
@settings(max_examples=50)
def test_density_and_coverage_are_what_their_equations_say(drawn, real, dimension, scale, seed):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(real, dimension)), scale * random.normal(size=(drawn, dimension))
    found = neighbourhoods(y, x)
    assert (found.density, found.coverage) == pytest.approx(by_definition(y, x))
    assert 0 <= found.coverage <= 1
    assert 0 <= found.density <= real / 5
    moved = neighbourhoods(3 * y - 1, 3 * x - 1)
    assert moved == pytest.approx(found)
    assert neighbourhoods(y[::-1].copy(), x[::-1].copy()) == pytest.approx(found)


@pytest.mark.parametrize(("drawn", "real", "dimension"), [(1203, 740, 5), (40, 30, 60)])
def test_precision_and_recall_are_those_of_torch_fidelity(drawn, real, dimension):
    y, x = 1.2 * gaussian(drawn, dimension), gaussian(real, dimension, seed=1) + 0.2
    expected = prc_features_to_metric(
        torch.from_numpy(y), torch.from_numpy(x), prc_neighborhood=3, verbose=False, save_cpu_ram=True
    )
    found = neighbourhoods(y, x)
    assert 0 < found.recall < 1
    assert found.precision == pytest.approx(expected["precision"], rel=1e-6)
    assert found.recall == pytest.approx(expected["recall"], rel=1e-6)


def test_for_two_draws_of_one_distribution_density_is_1_and_coverage_nearly():
    """E density = 1; E coverage = 1 - (N - 1)...(N - 5) / ((2 N - 1)...(2 N - 5)), Naeem et al., Eq. 9."""
    n = 250
    found = [neighbourhoods(gaussian(n, 4, 2 * i), gaussian(n, 4, 2 * i + 1)) for i in range(20)]
    missed = math.prod((n - i) / (2 * n - i) for i in range(1, 6))
    for name, expected in (("density", 1), ("coverage", 1 - missed)):
        values = [getattr(one, name) for one in found]
        assert abs(np.mean(values) - expected) < 4 * np.std(values) / math.sqrt(20)


def test_precision_is_of_samples_near_data_and_recall_of_data_near_samples():
    x, y = gaussian(400, 2), gaussian(400, 2, seed=1)
    both = neighbourhoods(y, x)
    assert min(both) > 0.9
    beyond = neighbourhoods(np.concatenate([y[:200], y[200:] + 100]), x)
    assert beyond.precision == pytest.approx(both.precision / 2, abs=0.05)
    assert beyond.recall == pytest.approx(both.recall, abs=0.05)
    one_mode = neighbourhoods(0.05 * y, x)
    assert one_mode.precision > 0.9
    assert one_mode.recall < 0.1
    assert one_mode.coverage < 0.1


def test_one_picture_far_off_does_not_widen_density_as_it_does_precision():
    """The reason for density: the ball of a real row that lies apart takes in whatever is drawn there."""
    x = np.concatenate([gaussian(300, 2), [[40.0, 0.0]]])
    y = gaussian(300, 2, seed=1) * 0.5 + [25, 0]
    found = neighbourhoods(y, x)
    assert found.precision > 0.9
    assert found.density < 0.3
    assert found.coverage < 0.01


def test_features_that_are_not_finite_have_none_of_these():
    x, broken = gaussian(20), np.full((20, 6), np.nan)
    for pair in ((x, broken), (broken, x)):
        assert all(math.isnan(value) for value in neighbourhoods(*pair))
