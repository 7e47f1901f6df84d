"""Figures of codes, of subjects where they are known."""

import math
from dataclasses import replace

import pytest
import torch

from avae.evaluation.evaluated_model import EvaluatedModel
from avae.evaluation.latent_metrics import (
    aggregate_posterior_gap,
    bits_per_dimension,
    code_metrics,
    latent_consistency,
    xi_use,
)
from avae.losses import posterior_level
from avae.rng import normal_rows

SIGMA = torch.tensor([0.2, 0.6, 1.0])
SCALE = (1 - SIGMA**2).sqrt()
D = 3


def _noise(rows, stream):
    return torch.from_numpy(normal_rows(rows, D, 0, stream))


def _made_model(draw, scale=SCALE, has_xi=True):
    return EvaluatedModel(
        {}, "decoder", lambda x: x, draw, lambda rows: _noise(rows, "z"), scale, SIGMA, has_xi
    )


def test_a_perfect_inverse_has_none():
    assert latent_consistency(_made_model(lambda z, rows, seed: SCALE * z), SIGMA, 100)[""] == pytest.approx(
        0, abs=1e-12
    )


@pytest.mark.parametrize("scale", [SCALE, torch.ones(D)])
def test_a_posterior_sampler_shows_the_yardstick(scale):
    """z | mu ~ N(mu, sigma^2) and mu ~ N(0, s^2) make mu | z ~ N(s^2 z, s^2 sigma^2)."""

    def draw(z, rows, seed):
        return SCALE**2 * z + SCALE * SIGMA * _noise(rows, "posterior")

    measured = latent_consistency(_made_model(draw, scale), SIGMA, 40_000)[""]
    assert measured == pytest.approx(float(posterior_level(SIGMA, scale)), rel=0.03)


def test_xi_use_is_the_variance_over_xi_at_a_fixed_code():
    def draw(z, rows, seed):
        return z + 0.5 * _noise(rows, f"xi-{seed}")

    assert xi_use(_made_model(draw), 2000) == pytest.approx(0.25, rel=0.05)
    assert xi_use(_made_model(lambda z, rows, seed: z), 100) == 0


def test_bits_per_dimension_are_those_of_a_gaussian_channel():
    """At a VAE's optimum, mu ~ N(0, 1 - sigma^2): the mean KL of a dimension is -log sigma."""
    sigma = SIGMA.double()
    mu = torch.randn(100_000, D, generator=torch.Generator().manual_seed(0)).double() * SCALE
    expected = float(-sigma.log2().mean())
    assert bits_per_dimension(mu, sigma) == pytest.approx(expected, rel=0.02)


def test_the_aggregate_posterior_gap_is_the_divergence_of_two_gaussians():
    mu = torch.tensor([[1.0, 0, 2], [-1.0, 0, 2], [1.0, 0, 2], [-1.0, 0, 2]]).double()
    sigma = torch.tensor([1.0, 0.5, 2.0]).double()
    variance, mean = (2.0, 0.25, 4.0), (0.0, 0.0, 2.0)
    expected = sum(v + m * m - 1 - math.log(v) for v, m in zip(variance, mean, strict=True)) / 2
    assert aggregate_posterior_gap(mu, sigma) == pytest.approx(expected, rel=1e-12)


def test_the_aggregate_posterior_gap_of_the_prior_is_that_of_the_number_of_items():
    """About d^2 / 4N: all d (d + 1) / 2 covariances are off by chance, and d means."""
    d, count = 20, 2000
    mu = torch.randn(count, d, generator=torch.Generator().manual_seed(0)).double() * 0.6
    expected = (d * (d + 1) / 4 + d / 2) / count
    sigma = torch.full((d,), 0.8).double()
    assert 0 < aggregate_posterior_gap(mu, sigma) < 1.5 * expected
    whole = torch.randn(count, d, generator=torch.Generator().manual_seed(1)).double()
    assert aggregate_posterior_gap(whole, torch.zeros(d)) == pytest.approx(expected, rel=0.3)
    assert aggregate_posterior_gap(whole[:d], torch.zeros(d)) == math.inf


def test_active_units_are_those_whose_mean_code_varies():
    """Its variance over items must be above 0.01 (Burda et al., 2016)."""
    items = torch.randn(5000, D, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 0.12, 0.08])
    model = _made_model(lambda z, rows, seed: z)
    model = replace(model, reconstruct={"decoder": lambda x, rows: x})
    assert dict(code_metrics(model, items.numpy(), 10))["active_units"] == 2
