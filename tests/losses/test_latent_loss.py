"""Eqs. 12 and 16."""

import pytest
import torch
from torch.distributions import Independent, Normal

from avae.losses import code_scale_a, code_scale_b, latent_loss_a, latent_loss_b


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
