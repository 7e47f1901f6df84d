"""Scheduled coefficients."""

import copy
import dataclasses
import math

import pytest
import torch

from avae.errors import UserError
from avae.frameworks.coefficients import (
    ControllerSettings,
    DecoderVariance,
    ExponentialDecay,
    PIController,
    current_value,
)
from avae.losses import gaussian_nll, vae_loss
from avae.model import Model
from avae.recipes.build import build_framework, build_regularizers
from avae.recipes.registry import get_recipe
from avae.recipes.resolve import with_defaults
from avae.recipes.validate import validate
from avae.saved_model import load_weights

SETTINGS = ControllerSettings(
    start=1.0, lowest=0.01, highest=100.0, integral_gain=0.02, proportional_gain=1.0
)


def settle(control, respond, steps):
    """Close the loop: the term follows its equilibrium with a delay, as KL follows beta."""
    term = 1e-6
    values = []
    for _ in range(steps):
        term += (respond(float(control.value)) - term) / 30
        control.update({"kl": torch.tensor(term)})
        values.append(term)
    return values


def test_a_control_reaches_and_holds_its_target():
    values = settle(PIController("kl", 20.0, SETTINGS), lambda beta: 60 / beta, 1000)
    assert all(abs(value / 20 - 1) < 0.01 for value in values[500:])


def test_a_negative_gain_is_for_a_term_that_grows_with_the_coefficient():
    settings = ControllerSettings(1.0, 0.01, 100.0, -0.02, -1.0)
    values = settle(PIController("kl", 20.0, settings), lambda beta: 60 * beta, 1000)
    assert values[-1] == pytest.approx(20, rel=0.01)


def test_the_first_updates_by_hand():
    control = PIController("kl", 2.0, SETTINGS)
    control.update({"kl": torch.tensor(4.0)})
    first = 0.02 * math.log(2)
    assert float(control.value) == pytest.approx(math.exp(first + math.log(2)))
    control.update({"kl": torch.tensor(2e9)})  # cut to one
    assert float(control.value) == pytest.approx(math.exp(first + 0.02 + 1))


def test_at_its_target_it_stays_and_above_it_grows():
    control = PIController("kl", 3.0, SETTINGS)
    control.update({"kl": torch.tensor(3.0)})
    assert float(control.value) == 1
    control.update({"kl": torch.tensor(6.0)})
    assert float(control.value) > 1


@pytest.mark.parametrize(("term", "bound"), [(0.0, 0.01), (1e30, 100.0)])
def test_the_value_stays_within_its_bounds_and_finite(term, bound):
    control = PIController("kl", 1.0, SETTINGS)
    for _ in range(1000):
        control.update({"kl": torch.tensor(term)})
    assert float(control.value) == pytest.approx(bound)


def test_a_target_of_zero_counts_as_small():
    control = PIController("kl", 0.0, SETTINGS)
    control.update({"kl": torch.tensor(0.1)})
    assert 1 < float(control.value) < 100


def test_a_target_may_be_another_term():
    control = PIController("error", "level", SETTINGS)
    for level, moved in ((2.0, 0), (1.0, 1), (4.0, -1)):
        before = float(control.value)
        control.update({"error": torch.tensor(2.0), "level": torch.tensor(level)})
        assert (float(control.value) > before) - (float(control.value) < before) == moved


def test_a_step_without_the_term_changes_nothing():
    """A warm start has no codes of generated items."""
    control = PIController("error", "level", SETTINGS)
    control.update({"error": torch.tensor(2.0), "level": torch.tensor(1.0)})
    before = control.state.clone()
    control.update({"kl": torch.tensor(1.0)})
    assert torch.equal(control.state, before)


@pytest.mark.parametrize(
    ("representation", "weighting"),
    [
        ("vae", "annealed:1"),
        ("run:x", "annealed:1"),
        ("classifier", "posterior"),
        ("vae+x.py:f", "posterior"),
    ],
)
def test_the_weight_of_the_latent_loss_depends_on_the_representation(representation, weighting):
    config = dataclasses.replace(
        get_recipe("folder"), size=16, channels=3, width=2, steps=10, representation=representation
    )
    assert with_defaults(config).latent_weighting == weighting


def test_an_annealed_value_falls_exponentially():
    rho = ExponentialDecay(1.0, 0.01, 200)
    for _ in range(100):
        rho.update({})
    assert float(rho.value) == pytest.approx(0.1, rel=1e-4)


def test_a_constant_is_its_own_value():
    assert current_value(0.3) == 0.3
    assert current_value(ExponentialDecay(0.3, 0.1, 5)) == pytest.approx(0.3)


@pytest.fixture
def framework():
    moving = {"latent_weighting": "annealed", "target_kl": 3.0, "path_length": 1.0, "learning_rate": 1e-3}
    config = with_defaults(dataclasses.replace(get_recipe("toy"), channels=2, **moving))
    framework = build_framework(config)
    build_regularizers(config, framework)
    return framework


def test_coefficients_go_where_their_framework_goes(framework):
    assert list(framework.coefficients) == ["beta", "rho", "path_length_target"]
    framework.to(torch.float64).to("meta")
    for coefficient in framework.coefficients.values():
        assert (coefficient.state.dtype, coefficient.state.device.type) == (torch.float64, "meta")


def test_a_copy_of_a_framework_has_coefficients_of_its_own(framework):
    other = copy.deepcopy(framework)
    other.coefficients["rho"].update({})
    assert other.coefficients["rho"].value < framework.coefficients["rho"].value == 1


def test_a_saved_model_holds_networks_only(framework, tmp_path):
    config = with_defaults(dataclasses.replace(get_recipe("toy"), channels=2, latent_weighting="annealed"))
    Model(framework, config, {"name": "toy", "checksum": ""}).save(tmp_path)
    names = load_weights(tmp_path).keys()
    assert names == {
        f"{name}.{key}" for name, network in framework.networks.items() for key in network.state_dict()
    }
    assert names.isdisjoint({"beta.state", "weighting.rho.state", "path_length_target.state"})
    assert {"encoder", "decoder", "generator", "critic"} == {name.partition(".")[0] for name in names}


# The variance of a decoder


def negative_elbo(error, kl, beta, n):
    """-ELBO of n values with a decoder N(D(v), beta I), without the constant of pi."""
    return error / (2 * beta) + n / 2 * math.log(beta) + kl


def test_the_best_variance_is_the_mean_squared_error():
    n, mse, kl = 48, 0.037, 5.0
    at_best = negative_elbo(n * mse, kl, mse, n)
    assert all(negative_elbo(n * mse, kl, factor * mse, n) > at_best for factor in (0.99, 1.01, 0.1, 10))
    control = DecoderVariance(start=1.0)
    for _ in range(2000):
        control.update({"mse": torch.tensor(mse)})
    assert float(control.value) == pytest.approx(mse, rel=1e-5)


def test_a_step_at_a_learned_variance_is_one_on_the_bound():
    """L_R + beta L_P is beta times the ELBO's opposite, up to a constant of the networks."""
    x, x_hat, beta, kl = torch.rand(5, 1, 4, 4), torch.rand(5, 1, 4, 4), 0.02, torch.tensor(3.0)
    loss = vae_loss(gaussian_nll(x_hat, x).mean(), kl, beta)
    error = float((x - x_hat).square().flatten(1).sum(1).mean())
    expected = beta * (negative_elbo(error, 3.0, beta, 16) - 8 * math.log(beta))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_variance_is_a_running_mean_with_a_minimum_and_waits_without_an_error():
    control = DecoderVariance(start=0.5, memory=0.9, least=0.1)
    control.update({"mse": torch.tensor(0.3)})
    assert float(control.value) == pytest.approx(0.48)
    control.update({"critic": torch.tensor(1.0)})
    assert float(control.value) == pytest.approx(0.48)
    for _ in range(100):
        control.update({"mse": torch.tensor(0.0)})
    assert float(control.value) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"framework": "vaegan"}, "--beta learned: a vaegan has no Gaussian decoder alone"),
        ({"framework": "vae", "target_kl": 3.0}, "--beta learned: must be a positive number for --target-kl"),
        (
            {"representation": "classifier", "latent_codes": "pairs"},
            "--beta learned: --representation classifier has no variance to learn",
        ),
    ],
)
def test_where_there_is_no_variance_to_learn_it_is_refused(settings, says):
    config = dataclasses.replace(get_recipe("digits"), beta="learned", **settings)
    with pytest.raises(UserError, match=says):
        validate(config)
