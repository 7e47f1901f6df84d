"""Eqs. 12 and 16, and their values for a perfect generator."""

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

from avae.losses import (
    code_scale_a,
    code_scale_b,
    latent_loss,
    posterior_level,
)


def latent_loss_a(mu, z, sigma):
    """Eq. 12."""
    return latent_loss(mu, z, sigma, code_scale_a(sigma))


def latent_loss_b(mu, z, sigma):
    """Eq. 16."""
    return latent_loss(mu, z, sigma, code_scale_b(sigma))


def test_a_is_the_posteriors_log_density_less_its_constants():
    mu, z = torch.randn(2, 6, 4, dtype=torch.float64)
    sigma = torch.rand(4, dtype=torch.float64) + 0.05
    density = Independent(Normal(mu, sigma.expand_as(mu)), 1)
    peak = Independent(Normal(mu, sigma.expand_as(mu)), 1).log_prob(mu)
    torch.testing.assert_close(latent_loss_a(mu, z, sigma), peak - density.log_prob(z))


def test_b_is_nil_where_the_mean_code_has_the_variance_of_a_vaes():
    z, sigma = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0.1, 0.5, 0.9, 0.999]).double()
    mu = (1 - sigma**2).sqrt() * z
    torch.testing.assert_close(latent_loss_b(mu, z, sigma), torch.zeros(6).double())
    assert (latent_loss_a(mu, z, sigma) > 0).all()


@pytest.mark.parametrize("sigma", [1e-30, 1e-8, 1e-3, 0.5, 1.0, 1.0 + 1e-9, 3.0, 1e6])
@pytest.mark.parametrize("loss", [latent_loss_a, latent_loss_b])
def test_finite_with_sigma_above_at_and_far_below_one(loss, sigma):
    mu = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    value = loss(mu, torch.randn(5, 3, dtype=torch.float64), torch.full((3,), sigma, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(value.sum(), mu)
    assert value.isfinite().all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("loss", [latent_loss_a, latent_loss_b])
def test_sigma_is_a_constant(loss):
    sigma = torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True)
    mu = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    gradients = torch.autograd.grad(
        loss(mu, torch.randn(2, 3).double(), sigma).sum(), (mu, sigma), allow_unused=True
    )
    assert gradients[0] is not None
    assert gradients[1] is None


def test_code_scales():
    sigma = torch.tensor([1e-9, 0.6, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(code_scale_a(sigma), torch.ones(4).double())
    torch.testing.assert_close(code_scale_b(sigma), torch.tensor([1.0, 0.8, 0.0, 0.0]).double())


def test_posterior_level_in_closed_form():
    """2 s^2 / (1 + s) under Eq. 16 and 1 under Eq. 12, if the code carries any information."""
    sigma = torch.tensor([0.01, 0.3, 0.8, 0.9999], dtype=torch.float64)
    s = (1 - sigma**2).sqrt()
    expected = (2 * s**2 / (1 + s)).mean()
    torch.testing.assert_close(posterior_level(sigma, code_scale_b(sigma)), expected)
    torch.testing.assert_close(posterior_level(sigma, code_scale_a(sigma)), torch.ones(()).double())
    assert posterior_level(sigma, code_scale_b(sigma)).shape == ()


def test_posterior_level_is_one_for_sharp_and_nil_for_empty_dimensions():
    sharp, empty = torch.tensor([0.01], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert posterior_level(sharp, code_scale_b(sharp)) == pytest.approx(1, abs=1e-3)
    assert posterior_level(empty, code_scale_b(empty)) == 0


@pytest.mark.parametrize("c", [0.0, 0.5, 1.0, 1.3])
def test_posterior_level_is_the_latent_loss_of_a_posterior_sampler(c):
    """mu = s u and z = mu + sigma v, u and v standard normal, integrated exactly."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    u, v = (t.flatten()[:, None] for t in torch.meshgrid(*[torch.from_numpy(nodes)] * 2, indexing="ij"))
    weight = torch.from_numpy(np.outer(weights, weights).flatten() / weights.sum() ** 2)
    sigma = torch.tensor([0.1, 0.6, 0.95], dtype=torch.float64)
    mu = (1 - sigma**2).sqrt() * u
    scale = torch.full_like(sigma, c)
    measured = 2 * (weight * latent_loss(mu, mu + sigma * v, sigma, scale)).sum() / 3
    torch.testing.assert_close(posterior_level(sigma, scale), measured)


@pytest.mark.parametrize("scale", [code_scale_a, code_scale_b])
@pytest.mark.parametrize("sigma", [1e-30, 1.0, 1e6])
def test_posterior_level_is_finite(sigma, scale):
    sigma = torch.full((3,), sigma, dtype=torch.float64)
    assert posterior_level(sigma, scale(sigma)).isfinite()
