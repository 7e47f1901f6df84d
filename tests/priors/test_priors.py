"""Priors fitted to codes whose distribution is known, and on disk."""

import logging
import math
import warnings
from typing import get_args

import pytest
import torch
from torch.testing import assert_close

import avae
from avae.errors import UserError
from avae.evaluation.point_metrics import energy_distance
from avae.fit_prior import fit_prior
from avae.load_data import load_dataset_for
from avae.priors import early_stopping, flow, gmm, parzen, two_stage, vamp
from avae.priors.fit import MIN_CODES, fit_to_codes
from avae.priors.gmm import Mixture
from avae.priors.parzen import Parzen
from avae.priors.posteriors import Posteriors
from avae.priors.prior import standard_normal_log_density, standard_prior
from avae.priors.registry import STANDARD, LearnedKind
from avae.recipes.config import Config
from avae.recipes.validate import validate

KINDS = get_args(LearnedKind)
CLOSED = [kind for kind in KINDS if kind != "two-stage"]
"""Kinds with a likelihood in closed form."""

every = pytest.mark.parametrize("kind", KINDS)
INFORMATIVE = torch.tensor([True, False, True])


@pytest.fixture(autouse=True)
def short_descent(monkeypatch):
    """Descend for a few steps, with small networks."""
    monkeypatch.setattr(early_stopping, "STEPS", 20)
    monkeypatch.setattr(early_stopping, "CHECK_EVERY", 10)
    monkeypatch.setattr(flow, "WIDTH", 32)
    monkeypatch.setattr(two_stage, "WIDTH", 32)
    monkeypatch.setattr(vamp, "STEPS", 10)


@pytest.fixture
def longer_descent(monkeypatch, short_descent):
    """Descend for as long as it takes to fit `made_codes`."""
    monkeypatch.setattr(early_stopping, "STEPS", 400)
    monkeypatch.setattr(early_stopping, "CHECK_EVERY", 100)
    monkeypatch.setattr(early_stopping, "LEARNING_RATE", 5e-3)
    monkeypatch.setattr(two_stage, "MEMORY", 0.98)


@pytest.fixture(autouse=True)
def few_components(monkeypatch):
    monkeypatch.setattr(gmm, "COMPONENTS", (1, 2, 4, 8))


def made_codes(count: int, seed: int = 0) -> torch.Tensor:
    """(N, 3): two narrow, tilted clouds in dimensions 0 and 2, and N(0, 1) in dimension 1."""
    g = torch.Generator().manual_seed(seed)
    side = torch.randint(0, 2, (count, 1), generator=g) * 2.0 - 1
    noise = torch.randn(count, 3, generator=g)
    first = 1.5 * side[:, 0] + 0.3 * noise[:, 0]
    return torch.stack([first, noise[:, 1], 0.5 * first - side[:, 0] + 0.2 * noise[:, 2]], 1)


def fit(kind: str, codes: torch.Tensor, informative: torch.Tensor, seed: int = 0):
    """`fit_to_codes` with an encoder whose items are their own codes, for the kind that asks for one."""
    sigma = torch.full((codes.shape[1],), 0.3)
    return fit_to_codes(
        kind, codes, informative, seed, Posteriors(codes.__getitem__, torch.clone, sigma.diag())
    )


def made_log_density(codes: torch.Tensor) -> torch.Tensor:
    """log p of `made_codes`."""
    by_side = []
    for side in (-1, 1):
        first, last = codes[:, 0] - 1.5 * side, codes[:, 2] - 0.5 * codes[:, 0] + side
        scaled = torch.stack([first / 0.3, codes[:, 1], last / 0.2], 1)
        by_side.append(standard_normal_log_density(scaled) - math.log(2 * 0.3 * 0.2))
    return torch.stack(by_side).logsumexp(0)


def noise_for(prior, count: int, seed: int = 1) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    shapes = {"z": (count, 3)} | prior.noise_shapes(count)
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}


@every
def test_a_fitted_prior_is_nearer_to_the_codes_than_the_standard_one(kind, longer_descent):
    prior = fit(kind, made_codes(2000), INFORMATIVE).prior
    fresh, noise = made_codes(1500, seed=2), noise_for(prior, 1500)
    learned, standard = (energy_distance(codes, fresh) for codes in (prior.codes(noise), noise["z"]))
    assert learned < {"gmm": 0.05, "parzen": 0.05, "flow": 0.2}.get(kind, 0.5) * standard
    assert torch.equal(prior.codes(noise)[:, 1], noise["z"][:, 1]), "an uninformative dimension is N(0, 1)"


def test_a_mixture_finds_a_mixture():
    prior = fit_to_codes("gmm", made_codes(4000), INFORMATIVE).prior
    fresh = made_codes(4000, seed=2)
    assert_close(prior.log_likelihood(fresh).mean(), made_log_density(fresh).mean(), atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", CLOSED)
def test_the_likelihood_of_a_prior_integrates_to_one(kind):
    codes = made_codes(1000)[:, [0, 2]]
    prior = fit(kind, codes, torch.tensor([True, True])).prior.double()
    axis = torch.linspace(-6, 6, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = prior.log_likelihood(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1, abs=2e-3)


def test_no_likelihood_is_claimed_without_a_closed_form():
    fitted = fit_to_codes("two-stage", made_codes(100), INFORMATIVE)
    assert fitted.prior.log_likelihood(fitted.held_out) is None


@every
def test_a_code_is_a_function_of_its_own_noise(kind):
    prior = fit(kind, made_codes(300), INFORMATIVE).prior
    noise = noise_for(prior, 12)
    whole = prior.codes(noise)
    for rows in (slice(0, 1), slice(1, 6), slice(6, 12)):
        part = prior.codes({name: tensor[rows] for name, tensor in noise.items()})
        assert_close(part, whole[rows], atol=1e-5, rtol=1e-5)


@every
def test_the_same_codes_and_seed_give_the_same_bits(kind):
    codes = made_codes(200)
    first, second, other = (fit(kind, codes, INFORMATIVE, seed).prior for seed in (3, 3, 4))
    assert all(torch.equal(a, second.state_dict()[name]) for name, a in first.state_dict().items())
    noise = noise_for(first, 5)
    assert not torch.equal(first.codes(noise), other.codes(noise))


@every
def test_a_prior_is_saved_with_its_model(kind, runs, tmp_path):
    model = avae.load(runs["digits-vae"], device="cpu")
    informative = torch.tensor([True, False, True, True])
    codes = torch.cat([made_codes(200), made_codes(200, seed=5)[:, :1]], 1)
    model.set_prior(fit(kind, codes, informative).prior)
    model.save(tmp_path)
    before = torch.get_rng_state()
    again = avae.load(tmp_path, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert again.prior.kind == kind
    state, expected = again.prior.state_dict(), model.prior.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert torch.equal(again.sample(5), model.sample(5))
    assert not torch.equal(again.sample(5), again.sample(5, prior="standard"))
    with torch.inference_mode():
        expected = model.framework.sample(model.noise(range(5), 0))
    assert torch.equal(again.sample(5, prior="standard"), expected)


def test_the_standard_prior_adds_nothing_to_a_model(runs, tmp_path):
    model = avae.load(runs["digits-gan"], device="cpu")
    model.save(tmp_path)
    again = avae.load(tmp_path, device="cpu")
    assert again.prior.kind == STANDARD
    assert torch.equal(again.sample(3), again.sample(3, prior="standard"))
    with pytest.raises(UserError, match="no learned prior: fit one with avae prior RUN"):
        again.sample(3, prior="learned")
    with pytest.raises(UserError, match="prior='gmm'"):
        again.sample(3, prior="gmm")
    noise = {"z": torch.randn(4, 2)}
    assert standard_prior(2).codes(noise) is noise["z"]
    assert_close(standard_prior(2).log_likelihood(noise["z"]), standard_normal_log_density(noise["z"]))


@pytest.mark.parametrize(
    ("codes", "informative", "says"),
    [
        (made_codes(MIN_CODES - 1), INFORMATIVE, f"{MIN_CODES - 1} codes are too few"),
        (made_codes(50) / 0, INFORMATIVE, "NaN or infinite"),
        (made_codes(50), ~INFORMATIVE & INFORMATIVE, "no dimension"),
    ],
)
def test_codes_that_no_prior_fits_are_refused(codes, informative, says):
    with pytest.raises(UserError, match=says):
        fit_to_codes("gmm", codes, informative)


@every
@pytest.mark.parametrize("codes", [made_codes(MIN_CODES), torch.ones(100, 3), made_codes(5).repeat(20, 1)])
def test_poor_codes_are_fitted_all_the_same(kind, codes):
    """Few of them, all alike, or the same again and again."""
    prior = fit(kind, codes, torch.ones(3, dtype=torch.bool)).prior
    drawn = prior.codes(noise_for(prior, 50))
    assert (drawn - codes.mean(0)).abs().max() < 10


# Parzen windows


def test_windows_keep_the_covariance_and_are_as_new_as_asked():
    g = torch.Generator().manual_seed(0)
    u = torch.randn(3000, 12, generator=g, dtype=torch.float64)
    u[::2] *= 0.1
    u -= u.mean(0)
    u /= u.std(0)
    train, held_out = u[:2500], u[2500:]
    density = Parzen.fit(train, held_out, 0)
    assert density.sizes == {"dim": 12, "points": 2500}
    normal, component = (torch.randn(2000, n, generator=g, dtype=torch.float64) for n in (12, 1))
    drawn = density.sample(normal, {"component": component})
    assert_close(torch.cov(drawn.T), torch.cov(train.T), atol=0.15, rtol=0)
    new, held_out_new = (torch.cdist(v, train).min(1).values.median() for v in (drawn, held_out))
    assert float(new / held_out_new) == pytest.approx(parzen.NEWNESS, rel=0.1)


@pytest.mark.parametrize(("held_out", "bandwidth"), [(torch.zeros(5, 3), 0.01), (torch.full((5, 3), 9.0), 1)])
def test_a_bandwidth_has_limits(held_out, bandwidth):
    """Held-out vectors that are stored, too, or far from all that are."""
    density = Parzen.fit(torch.eye(4, 3).double(), held_out.double(), 0)
    assert float(density.bandwidth) == pytest.approx(bandwidth)


# Convergence of a mixture


def slow_vectors() -> torch.Tensor:
    """Vectors on which EM takes some dozen iterations: two clouds that overlap."""
    g = torch.Generator().manual_seed(0)
    return torch.randn(600, 2, generator=g, dtype=torch.float64) + (torch.arange(600) % 2)[:, None] * 1.5


def test_a_mixture_that_has_not_converged_continues(monkeypatch):
    monkeypatch.setattr(gmm, "COMPONENTS", (2,))
    monkeypatch.setattr(gmm, "TOLERANCE", 1e-6)
    u = slow_vectors()
    at_once = Mixture.fit(u, u[:50], 0)
    monkeypatch.setattr(gmm, "ITERATIONS", 3)
    monkeypatch.setattr(gmm, "ROUNDS", 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        in_rounds = Mixture.fit(u, u[:50], 0)
    assert_close(in_rounds.means, at_once.means, atol=1e-6, rtol=0)


def test_a_mixture_that_does_not_converge_is_left_out_and_named(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "avae")
    monkeypatch.setattr(gmm, "TOLERANCE", 1e-9)
    monkeypatch.setattr(gmm, "ITERATIONS", 2)
    monkeypatch.setattr(gmm, "ROUNDS", 2)
    u = slow_vectors()
    assert Mixture.fit(u, u[:50], 0).components == 1
    assert "a mixture of 2 Gaussians had not converged after 4 iterations, so it is left out" in caplog.text
    monkeypatch.setattr(gmm, "COMPONENTS", (2,))
    with pytest.raises(UserError, match="no mixture of Gaussians converged"):
        Mixture.fit(u, u[:50], 0)


# A mixture of posteriors


def linear_posteriors(items: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.nn.Linear, Posteriors]:
    """Posteriors of a random linear encoder of items (N, 5)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = torch.nn.Linear(5, 3).requires_grad_(False)
    return encoder, Posteriors(items.__getitem__, encoder, sigma.diag())


def test_the_posteriors_of_pseudo_items_are_those_of_training_items_before_the_fit(monkeypatch):
    """The density of codes is then known: one Gaussian about the mean of each item, as wide as sigma."""
    monkeypatch.setattr(vamp, "LEARNING_RATE", 1e-30)
    items, sigma = torch.randn(40, 5), torch.tensor([0.5, 9.0, 0.2])
    encoder, posteriors = linear_posteriors(items, sigma)
    codes = encoder(items) + sigma * torch.randn(40, 3)
    fitted = fit_to_codes("vamp", codes, INFORMATIVE, 0, posteriors)
    assert fitted.prior.density.sizes == {"dim": 2, "components": 36}, "a tenth is held out"
    held_out = {tuple(code.tolist()) for code in fitted.held_out}
    kept = torch.tensor([tuple(code.tolist()) not in held_out for code in codes])
    of_items = torch.distributions.Independent(
        torch.distributions.Normal(encoder(items[kept])[:, INFORMATIVE], sigma[INFORMATIVE]), 1
    )
    z = torch.randn(7, 3)
    expected = of_items.log_prob(z[:, None, INFORMATIVE]).logsumexp(1) - math.log(36)
    expected = expected + standard_normal_log_density(z[:, ~INFORMATIVE])
    assert_close(fitted.prior.log_likelihood(z), expected, atol=1e-3, rtol=1e-3)


def test_pseudo_items_are_learned_for_held_out_codes(longer_descent):
    """Few components, which cannot stay where they began."""
    items, sigma = torch.randn(400, 5), torch.full((3,), 0.5)
    encoder, posteriors = linear_posteriors(items, sigma)
    codes = encoder(items) + sigma * torch.randn(400, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vamp, "COMPONENTS", 4)
        patch.setattr(vamp, "STEPS", 200)
        after = fit_to_codes("vamp", codes, INFORMATIVE, 0, posteriors)
        patch.setattr(vamp, "LEARNING_RATE", 1e-30)
        before = fit_to_codes("vamp", codes, INFORMATIVE, 0, posteriors)
    assert after.log_likelihood.mean() > before.log_likelihood.mean() + 0.1


def test_pseudo_items_begin_as_training_items(runs, monkeypatch):
    monkeypatch.setattr(vamp, "LEARNING_RATE", 1e-30)
    model = avae.load(runs["digits-vae"], device="cpu")
    with torch.no_grad():
        model.framework.encoder.log_sigma.fill_(-1.0)
    data = load_dataset_for(model, "digits")
    prior = fit_prior(model, data, "vamp").prior
    means = prior.mean + prior.density.means @ prior.factor.T
    codes = model.encode(data.train)
    distance, item = torch.cdist(means, codes).min(1)
    assert distance.max() < 1e-3
    assert len(item.unique()) == prior.density.components > 100, "each is another"
    assert all(parameter.grad is None for parameter in model.encoder.parameters())


def test_a_model_without_posteriors_has_no_mixture_of_them(runs):
    model = avae.load(runs["digits-bigan"], device="cpu")
    with pytest.raises(UserError, match=r"a BiGAN has no posterior scale.*: choose another kind"):
        fit_prior(model, load_dataset_for(model, "digits"), "vamp")
    run = {"recipe": "", "data": "", "out": "", "steps": 1, "prior": "vamp"}
    for settings, says in (
        ({"framework": "bigan"}, "--prior vamp: a bigan has no posterior scale"),
        ({"condition": "classes"}, "--prior vamp: it has no classes: --condition none"),
    ):
        with pytest.raises(UserError, match=says):
            validate(Config(**run | settings))
    validate(Config(**run | {"framework": "gan"}))  # which has no codes to fit a prior to
