"""Eqs. 13, 14 and 15, and BiGAN's loss, for two known Gaussians, by quadrature in float64."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from avae.losses import (
    NON_SATURATING_LOSS,
    RELATIVISTIC_LOSS,
    critic_loss,
    energy_score,
    joint_loss,
    log_odds_of_fake,
    manifold_loss,
    non_saturating_loss,
    ternary_critic_loss,
)

REAL, FAKE = Normal(0.0, 1.0), Normal(0.7, 0.8)
X = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
STEP = (X[1] - X[0]).item()
P, P_FAKE = REAL.log_prob(X).exp(), FAKE.log_prob(X).exp()
LOG_RATIO = FAKE.log_prob(X) - REAL.log_prob(X)
ZERO = torch.zeros_like(X)


def _mean_critic_loss(l_real: torch.Tensor, l_fake: torch.Tensor) -> torch.Tensor:
    """Return the mean over independent real and generated images; the loss is a sum of one term for each."""
    at_real = critic_loss(l_real, ZERO) - critic_loss(ZERO, ZERO) / 2
    at_fake = critic_loss(ZERO, l_fake) - critic_loss(ZERO, ZERO) / 2
    return ((P * at_real + P_FAKE * at_fake) * STEP).sum()


def test_the_log_density_ratio_is_the_critics_optimum():
    logits = LOG_RATIO.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_mean_critic_loss(logits, logits), logits)
    assert gradient.abs().max() < 1e-12
    for wrong in (-LOG_RATIO, LOG_RATIO + 0.1, 0.9 * LOG_RATIO):
        assert _mean_critic_loss(wrong, wrong) > _mean_critic_loss(LOG_RATIO, LOG_RATIO)


@pytest.mark.parametrize("signs", [(-1, 1), (1, -1), (-1, -1)])
def test_no_flipped_sign_has_that_optimum(signs):
    logits = LOG_RATIO.clone().requires_grad_()
    loss = _mean_critic_loss(signs[0] * logits, signs[1] * logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient.abs().max() > 1e-4


def test_manifold_loss_at_the_optimum_is_the_divergence_from_the_data():
    mean = (P_FAKE * manifold_loss(LOG_RATIO) * STEP).sum()
    assert mean.item() == pytest.approx(kl_divergence(FAKE, REAL).item(), rel=1e-6)
    assert mean > 0  # a flipped sign would reward leaving the data


def test_joint_loss_is_the_cross_entropy_with_the_labels_exchanged():
    real, fake = torch.randn(2, 7, dtype=torch.float64)
    entropy = -torch.sigmoid(real).log() - (1 - torch.sigmoid(fake)).log()
    torch.testing.assert_close(joint_loss(real, fake), entropy)
    assert joint_loss(real, fake).shape == (7,)


def test_joint_loss_at_the_optimum_is_the_critics_and_both_divergences():
    """Because softplus(-l) = softplus(l) - l, and the means of l are KL(p_G || p) and -KL(p || p_G)."""
    joint = ((P * joint_loss(LOG_RATIO, ZERO) + P_FAKE * joint_loss(ZERO, LOG_RATIO)) * STEP).sum()
    critic = ((P * critic_loss(LOG_RATIO, ZERO) + P_FAKE * critic_loss(ZERO, LOG_RATIO)) * STEP).sum()
    divergences = kl_divergence(REAL, FAKE) + kl_divergence(FAKE, REAL)
    assert (joint - critic).item() == pytest.approx(divergences.item(), rel=1e-6)


def test_joint_loss_has_a_gradient_where_the_critic_has_won():
    """This is why the negative of the critic's loss is not minimised: it has no gradient there."""
    real, fake = torch.tensor([[-30.0], [30.0]], dtype=torch.float64, requires_grad=True)
    for_real, for_fake = torch.autograd.grad(joint_loss(real, fake).sum(), (real, fake))
    assert for_real.item() == pytest.approx(-1)
    assert for_fake.item() == pytest.approx(1)


def test_an_ignorant_critic_pays_two_log_two():
    nothing = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(critic_loss(nothing, nothing), torch.full((3,), 2.0).double().log() * 2)


def test_critic_loss_is_finite_for_runaway_logits():
    huge = torch.tensor([1e4], dtype=torch.float64)
    assert critic_loss(huge, -huge).item() == pytest.approx(2e4)
    assert critic_loss(-huge, huge).item() == 0


def test_the_non_saturating_loss_is_the_cross_entropy_of_taking_the_fake_for_real():
    real, fake = torch.randn(2, 7, dtype=torch.float64)
    torch.testing.assert_close(NON_SATURATING_LOSS.generator(real, fake), -(1 - torch.sigmoid(fake)).log())
    torch.testing.assert_close(NON_SATURATING_LOSS.critic(real, fake), critic_loss(real, fake))


def test_the_relativistic_loss_depends_on_differences_alone_and_its_sides_are_opposed():
    real, fake = torch.randn(2, 7, dtype=torch.float64)
    for loss in (RELATIVISTIC_LOSS.generator, RELATIVISTIC_LOSS.critic):
        torch.testing.assert_close(loss(real + 3, fake + 3), loss(real, fake))
    # -log of the probability that the critic puts the two in order, large being generated.
    torch.testing.assert_close(RELATIVISTIC_LOSS.critic(real, fake), -torch.sigmoid(fake - real).log())
    torch.testing.assert_close(RELATIVISTIC_LOSS.generator(real, fake), -torch.sigmoid(real - fake).log())


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.25, 2.0])
def test_the_energy_score_is_best_for_draws_from_the_distribution_of_x(scale):
    """Its mean for normal draws is known: E|a - b| of N(m, s^2) and N(0, t^2) is that of a folded normal."""
    torch.manual_seed(0)
    x, a, b = torch.randn(3, 400_000, 1, dtype=torch.float64)
    right, wrong = energy_score(x, a, b).mean(), energy_score(x, scale * a, scale * b).mean()
    expected = (2 / torch.pi) ** 0.5 * ((1 + scale**2) ** 0.5 - scale / 2**0.5)
    assert wrong.item() == pytest.approx(expected, abs=3e-3)
    assert right.item() == pytest.approx(torch.pi**-0.5, abs=3e-3)
    assert wrong > right
    assert energy_score(x, a + 0.5, b + 0.5).mean() > right


def test_equal_draws_have_a_finite_gradient():
    draws = torch.ones(3, 4, requires_grad=True)
    energy_score(torch.ones(3, 4), draws, draws).sum().backward()
    assert torch.isfinite(draws.grad).all()


def test_the_ternary_critics_loss_is_the_sum_of_its_cross_entropies():
    real, rebuilt, generated = torch.randn(3, 7, 3, dtype=torch.float64)
    expected = [-logits.softmax(1)[:, k].log() for k, logits in enumerate((real, rebuilt, generated))]
    torch.testing.assert_close(ternary_critic_loss(real, rebuilt, generated), sum(expected))
    guess = torch.zeros(7, 3, dtype=torch.float64)
    guessing = torch.full((7,), 3 * math.log(3), dtype=torch.float64)
    torch.testing.assert_close(ternary_critic_loss(guess, guess, guess), guessing)


def test_the_odds_of_a_fake_are_those_of_a_ternary_critic_that_names_no_kind():
    logits = torch.randn(7, 3, dtype=torch.float64)
    real = logits.softmax(1)[:, 0]
    torch.testing.assert_close(log_odds_of_fake(logits), ((1 - real) / real).log())
    torch.testing.assert_close(non_saturating_loss(log_odds_of_fake(logits)), -real.log())
    assert log_odds_of_fake(torch.tensor([[400.0, -400.0, -400.0]])).isfinite().all()
