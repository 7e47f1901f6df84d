"""What averaging draws gains, of generators whose posterior is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import avae
from avae.data.dataset import as_tensor
from avae.data.sources.digits import digits_data
from avae.evaluation.evaluated_model import NO_XI, EvaluatedModel
from avae.evaluation.posterior_metrics import DRAWS, ITEMS, NAMES, posterior_metrics
from avae.evaluation.protocol import PROTOCOLS
from avae.evaluation.unavailable import Unavailable
from avae.present_model import evaluated_model
from avae.rng import normal_rows

F = 64
SPREAD = 0.3


def known(x):
    """The mean of x given its code, which is its first half."""
    return torch.cat([x[:, :F], torch.zeros(len(x), F)], 1)


def made_model(spread, bias=0.0):
    """Draws of the second half are N(bias, spread^2); the items' are N(0, SPREAD^2)."""

    def redraw(x, rows, xi_seed):
        xi = torch.from_numpy(normal_rows(rows, F, xi_seed, "xi"))
        return torch.cat([x[:, :F], bias + spread * xi], 1)

    kinds = {"generator": lambda x, rows: redraw(x, rows, 0), "decoder": lambda x, rows: known(x)}
    nothing = torch.ones(1)
    return EvaluatedModel(kinds, "generator", None, None, None, nothing, nothing, True, redraw)


def items(count=1000):
    return np.random.default_rng(0).normal(size=(count, 2 * F)).astype(np.float32) * SPREAD


@pytest.mark.parametrize(
    ("spread", "bias"), [(SPREAD, 0.0), (0.0, 0.0), (SPREAD / 2, 0.0), (2 * SPREAD, 0.0), (SPREAD, 0.4)]
)
def test_the_gain_is_that_of_the_spread_and_the_bias_of_draws(spread, bias):
    """One draw has the error v + b^2 + s^2, the mean of P draws v + b^2 + s^2 / P."""
    found = dict(posterior_metrics(made_model(spread, bias), items()))
    of_one, of_mean = (SPREAD**2 + bias**2 + spread**2 / draws for draws in (1, DRAWS))
    assert found["posterior_gain"] == pytest.approx(10 * math.log10(of_one / of_mean), abs=0.03)
    assert found["mse_mean_of_draws"] == pytest.approx(of_mean / 2, rel=0.02)  # the first half is known


def test_a_sampler_of_the_posterior_has_the_ideals():
    found = dict(posterior_metrics(made_model(SPREAD), items()))
    assert found["posterior_gain_ideal"] == pytest.approx(2.4988, abs=1e-4)
    assert found["posterior_gain"] == pytest.approx(found["posterior_gain_ideal"], abs=0.03)
    assert found["mse_mean_of_draws"] == pytest.approx(found["mse_mean_of_draws_ideal"], rel=0.01)


def test_the_cost_is_bounded():
    model, redrawn = made_model(SPREAD), []

    def counted(x, rows, xi_seed):
        redrawn.append(len(rows))
        return model.redraw(x, rows, xi_seed)

    found = dict(posterior_metrics(replace(model, redraw=counted), items(ITEMS + 500)))
    assert sum(redrawn) == ITEMS * DRAWS
    assert found["posterior_gain"] == pytest.approx(found["posterior_gain_ideal"], abs=0.03)


def test_draws_without_error_have_no_gain():
    exact = replace(made_model(0.0), redraw=lambda x, rows, xi_seed: x)
    assert math.isnan(dict(posterior_metrics(exact, items()))["posterior_gain"])


def test_without_xi_they_are_unavailable():
    model = replace(made_model(0.0), redraw=NO_XI)
    assert dict(posterior_metrics(model, items())) == dict.fromkeys(NAMES, Unavailable("the model has no xi"))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_draws_differ_in_xi_alone_and_the_first_is_the_reconstruction(protocol, runs):
    model = avae.load(runs["digits-avae"], device="cpu")
    x, rows = as_tensor(digits_data().test[:64]), range(64)
    evaluated = evaluated_model(model, 3, protocol)
    with torch.inference_mode():
        draws = [evaluated.redraw(x, rows, xi_seed) for xi_seed in range(3)]
        assert torch.equal(draws[0], evaluated.reconstruct[evaluated.default](x, rows))
        assert not torch.allclose(draws[1], draws[2])
        model.noise = lambda rows, seed: type(model).noise(model, rows, 3)  # the same xi for every seed
        assert torch.equal(evaluated.redraw(x, rows, 2), draws[0])
