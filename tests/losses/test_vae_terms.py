"""Eqs. 1, 2, 7, 8, 9, Fig. 1 and VAE/GAN's L_F against closed forms, in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from avae.losses import (
    feature_loss,
    gaussian_nll,
    gaussian_nll_of_codes,
    kl_to_prior,
    soft_introspection,
    vae_loss,
)


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(1, 7), st.floats(1e-3, 10), st.integers(0, 10**6))
def test_kl_is_that_of_torch_distributions(n, d, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    mu = torch.randn(n, d, generator=generator, dtype=torch.float64) * 3
    sigma = torch.rand(d, generator=generator, dtype=torch.float64) * spread + 1e-3
    posterior = Independent(Normal(mu, sigma.expand_as(mu)), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    torch.testing.assert_close(kl_to_prior(mu, sigma), kl_divergence(posterior, prior))


def test_gaussian_nll_is_the_likelihood_less_its_constant():
    x, x_hat = torch.randn(2, 4, 3, 5, 5, dtype=torch.float64)
    likelihood = Normal(x_hat, 1.0).log_prob(x).flatten(1).sum(1)
    constant = x[0].numel() / 2 * math.log(2 * math.pi)
    torch.testing.assert_close(gaussian_nll(x_hat, x), -likelihood - constant)


@pytest.mark.parametrize("shape", [(4, 6), (4, 3, 2, 2)])
def test_feature_loss_is_half_the_squared_distance_of_each_sample(shape):
    features, features_hat = torch.randn(2, *shape, dtype=torch.float64)
    distances = torch.linalg.vector_norm((features - features_hat).flatten(1), dim=1)
    torch.testing.assert_close(feature_loss(features_hat, features), distances**2 / 2)
    torch.testing.assert_close(feature_loss(3 * features_hat, 3 * features), 9 * distances**2 / 2)


def test_vae_loss_is_the_negative_evidence_lower_bound():
    """Eq. 1 with one sample of z, without the constant of the likelihood, with beta on the second term."""
    x, x_hat = torch.randn(2, 4, 6, dtype=torch.float64)
    mu, sigma = torch.randn(4, 3, dtype=torch.float64), torch.rand(3, dtype=torch.float64) + 0.1
    posterior = Independent(Normal(mu, sigma.expand_as(mu)), 1)
    kl = kl_divergence(posterior, Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1))
    nll = -Normal(x_hat, 1.0).log_prob(x).sum(1) - 3 * math.log(2 * math.pi)
    found = vae_loss(gaussian_nll(x_hat, x), kl_to_prior(mu, sigma), beta=10)
    torch.testing.assert_close(found, nll + 10 * kl)


def test_mean_kl_is_information_plus_the_gap_to_the_prior():
    """Eq. 2 for x ~ N(0, s^2), q(z|x) = N(x, sigma^2): the aggregate is N(0, s^2 + sigma^2)."""
    s, sigma = 0.8, 0.4
    x, weight = _gauss_hermite(s)
    mean_kl = (weight * kl_to_prior(x[:, None], torch.tensor([sigma], dtype=torch.float64))).sum()
    information = 0.5 * math.log(1 + s**2 / sigma**2)
    variance = s**2 + sigma**2
    gap = 0.5 * (variance - 1 - math.log(variance))
    assert mean_kl.item() == pytest.approx(information + gap, rel=1e-10)


def test_the_best_reconstruction_of_an_edge_at_an_uncertain_place_is_the_erf_curve():
    """Fig. 1: pixels are 1 to the right of the edge; its position is N(z, sigma^2) given the code."""
    z, sigma = 0.3, 0.5
    places, weight = _trapezoid(z, sigma)
    pixels = torch.linspace(-2, 2, 41, dtype=torch.float64)
    pictures = (pixels > places[:, None]).double()
    drawn = torch.zeros_like(pixels, requires_grad=True)
    loss = (weight * gaussian_nll(drawn.expand_as(pictures), pictures)).sum()
    (gradient,) = torch.autograd.grad(loss, drawn)
    best = drawn - gradient  # the loss is quadratic with unit curvature: one Newton step is exact
    curve = 0.5 * (1 + torch.erf((pixels - z) / (math.sqrt(2) * sigma)))
    torch.testing.assert_close(best, curve, atol=2e-3, rtol=0)


def _gauss_hermite(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    return torch.from_numpy(nodes) * scale, torch.from_numpy(weights / weights.sum())


def _trapezoid(mean: float, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    places = torch.linspace(mean - 8 * sigma, mean + 8 * sigma, 8001, dtype=torch.float64)
    density = Normal(mean, sigma).log_prob(places).exp()
    return places, density / density.sum()


def test_the_likelihood_of_codes_is_that_of_a_normal_distribution():
    torch.manual_seed(0)
    z, mu = torch.randn(2, 5, 3, dtype=torch.float64)
    sigma = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    constant = 3 / 2 * math.log(2 * math.pi)
    expected = -Normal(mu, sigma).log_prob(z).sum(1) - constant
    torch.testing.assert_close(gaussian_nll_of_codes(z, mu, sigma), expected)


def test_introspection_is_half_the_power_of_the_bound():
    """exp(alpha ELBO) / alpha for alpha = 2, with a bound in units of 1 / s."""
    bound = -torch.tensor([0.0, 3.0, 1e4], dtype=torch.float64)
    expected = torch.tensor([0.5, math.exp(-6 * 0.1) / 2, 0.0], dtype=torch.float64)
    torch.testing.assert_close(soft_introspection(-bound, 0 * bound, 7.0, 0.1), expected)
    torch.testing.assert_close(soft_introspection(0 * bound, -bound / 7, 7.0, 0.1), expected)
