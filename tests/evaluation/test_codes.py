"""Latent consistency and xi use of subjects whose figures are known."""

import pytest
import torch

from avae.evaluation.codes import latent_consistency, xi_use
from avae.evaluation.subject import Subject
from avae.losses import posterior_level
from avae.noise import normal_rows

SIGMA = torch.tensor([0.2, 0.6, 1.0])
SCALE = (1 - SIGMA**2).sqrt()
D = 3


def _noise(rows, stream):
    return torch.from_numpy(normal_rows(rows, D, 0, stream))


def _subject(draw, scale=SCALE, has_xi=True):
    return Subject({}, "decoder", lambda x: x, draw, lambda rows: _noise(rows, "z"), scale, SIGMA, has_xi)


def test_a_perfect_inverse_has_none():
    assert latent_consistency(_subject(lambda z, rows, seed: SCALE * z), SIGMA, 100) == pytest.approx(
        0, abs=1e-12
    )


@pytest.mark.parametrize("scale", [SCALE, torch.ones(D)])
def test_a_posterior_sampler_shows_the_yardstick(scale):
    """z | mu ~ N(mu, sigma^2) and mu ~ N(0, s^2) make mu | z ~ N(s^2 z, s^2 sigma^2)."""

    def draw(z, rows, seed):
        return SCALE**2 * z + SCALE * SIGMA * _noise(rows, "posterior")

    measured = latent_consistency(_subject(draw, scale), SIGMA, 40_000)
    assert measured == pytest.approx(float(posterior_level(SIGMA, scale)), rel=0.03)


def test_xi_use_is_the_variance_over_xi_at_a_fixed_code():
    def draw(z, rows, seed):
        return z + 0.5 * _noise(rows, f"xi-{seed}")

    assert xi_use(_subject(draw), 2000) == pytest.approx(0.25, rel=0.05)
    assert xi_use(_subject(lambda z, rows, seed: z), 100) == 0
