"""The contract of representations, and AVAE on each of them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from avae.engine.compile import tensors_of, trace_gradients
from avae.engine.optimizers import AdamSettings, make_optimizers
from avae.engine.step import Phase, gradients, training_step
from avae.errors import UserError
from avae.frameworks import AVAE
from avae.frameworks.base import LABELS
from avae.frameworks.batch_norm import recalibrate_batch_norm
from avae.frameworks.code_sources import PairedCodes
from avae.frameworks.representations import (
    ClassifierRepresentation,
    Frozen,
    FrozenRepresentation,
    JoinedRepresentation,
    LearningState,
    Representation,
    RunRepresentation,
    VAERepresentation,
    WhitenedEncoder,
)
from avae.frameworks.representations.whitening import HALF_LEVEL, fit_whitening, set_sigma, tolerance
from avae.losses import gaussian_nll, kl_to_prior
from avae.networks.dcgan import Down, Up
from avae.networks.gaussian import GaussianEncoder

D, CLASSES, FEATURES, XI = 3, 4, 18, 2


def gaussian(d: int = D) -> GaussianEncoder:
    encoder = GaussianEncoder(Down(16, 1, 2, d), d)
    with torch.no_grad():
        encoder.log_sigma.copy_(torch.linspace(-2, -0.5, d))
    return encoder


def whitened() -> WhitenedEncoder:
    """A frozen network with batch norm, whose buffers would move in training mode."""
    network = nn.Sequential(nn.Conv2d(1, 2, 4, 4), nn.BatchNorm2d(2), nn.AvgPool2d(2, 1), nn.Flatten())
    encoder = WhitenedEncoder(network, FEATURES, D)
    encoder.mean.normal_()
    encoder.directions.normal_()
    encoder.log_sigma.fill_(-1)
    return encoder


def decoder(d: int = D) -> Up:
    return Up(16, 1, 2, d)


MADE = {
    "vae": lambda: VAERepresentation(gaussian(), decoder(), D, beta=2.0),
    "classifier": lambda: ClassifierRepresentation(gaussian(), nn.Linear(D, CLASSES), decoder(), D, 0.1),
    "classifier-alone": lambda: ClassifierRepresentation(gaussian(), nn.Linear(D, CLASSES), None, D, 0.1),
    "frozen": lambda: FrozenRepresentation(whitened(), decoder(), D),
    "frozen-alone": lambda: FrozenRepresentation(whitened(), None, D),
    "run": lambda: RunRepresentation(Frozen(gaussian()), Frozen(decoder()), D),
    "joined": lambda: JoinedRepresentation(
        {
            "vae": VAERepresentation(gaussian(2), None, 2, beta=2.0),
            "classifier": ClassifierRepresentation(gaussian(), nn.Linear(D, CLASSES), None, D, 0.1),
            "frozen": FrozenRepresentation(whitened(), None, D),
        },
        decoder(2 * D + 2),
    ),
}
every = pytest.mark.parametrize("name", MADE)


def make(name: str) -> Representation:
    torch.manual_seed(0)
    return MADE[name]().double()


def items_and_noise(shapes, n: int = 6):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(n, 1, 16, 16, generator=generator).double() * 2 - 1
    noise = {key: torch.randn(s, generator=generator).double() for key, s in shapes(n).items()}
    return x, noise | {LABELS: torch.arange(n) % CLASSES}


def avae_of(name: str) -> AVAE:
    representation = make(name)
    d = representation.code_dim
    return AVAE(
        representation, Up(16, 1, 2, d + XI), Down(16, 1, 2, 1), XI, codes=PairedCodes(), spread=0.1
    ).double()


@every
def test_the_facts_of_a_representation_fit_its_codes(name):
    representation = make(name)
    x, _ = items_and_noise(representation.noise_shapes)
    mu, sigma = representation.encode(x)
    d = representation.code_dim
    assert (mu.shape, sigma.shape) == ((6, d), (d,))
    torch.testing.assert_close(representation.sigma(), sigma)
    assert representation.code_scale(sigma).shape == representation.informative_dimensions().shape == (d,)
    assert representation.networks.keys() <= representation.contracts.keys()
    assert representation.is_standard_normal == ("frozen" not in name and name != "joined")
    if representation.parts:
        covered = torch.cat([torch.arange(d)[dims] for dims in representation.parts.values()])
        assert covered.tolist() == list(range(d))


@every
def test_raw_codes_become_codes(name):
    representation = make(name).eval()
    x, _ = items_and_noise(representation.noise_shapes)
    raw = representation.raw_codes(x)
    assert raw.shape == (6, representation.raw_dim)
    torch.testing.assert_close(representation.from_raw(raw), representation.encode(x)[0])


@every
def test_a_step_moves_what_learns_and_nothing_else(name):
    """Frozen weights and buffers stay to the bit, in training mode too."""
    framework = avae_of(name).train()
    before = copy.deepcopy(nn.ModuleDict(framework.networks).state_dict())
    x, noise = items_and_noise(framework.noise_shapes)
    optimizers = make_optimizers(framework.networks, AdamSettings(1e-2))
    phases = [Phase("main", framework.losses, framework.networks)]
    training_step(0, phases, optimizers, lambda step, phase: [(x, noise)])
    after = nn.ModuleDict(framework.networks).state_dict()
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    learning = {
        f"{network}.{key}"
        for network, module in framework.networks.items()
        for key in LearningState(module).state_dict()
    }
    fitted = {key for key in after if key.endswith(("mean", "directions", "log_sigma")) and "frozen" in key}
    fitted |= {key for key in after if name.startswith("frozen") and key.startswith("encoder.")}
    assert moved == learning - fitted - {key for key in learning if key.startswith("encoder.module")}
    assert optimizers.keys() == {key.split(".")[0] for key in moved}


@every
def test_gradients_are_those_of_separate_passes(name):
    framework = avae_of(name)
    x, noise = items_and_noise(framework.noise_shapes)
    together, _ = gradients(Phase("main", framework.losses, framework.networks), x, noise)
    representation = framework.representation
    mu, sigma = representation.encode(x)
    alone, _ = representation.losses(x, mu, sigma, noise)
    for network, loss in alone.items():
        parameters = [p for p in framework.networks[network].parameters() if p.requires_grad]
        separate = torch.autograd.grad(loss, parameters, retain_graph=True)
        for a, b in zip(together[network], separate, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@every
def test_the_trace_is_the_eager_step(name):
    framework = avae_of(name)
    x, noise = items_and_noise(framework.noise_shapes)
    phase = Phase("main", framework.losses, framework.networks)
    before = copy.deepcopy(framework.state_dict())
    eager, terms = gradients(phase, x, noise)
    framework.load_state_dict(before)
    graph = trace_gradients(phase, x, noise)
    with torch.no_grad():
        fast, fast_terms = graph(tensors_of(phase), x, noise)
    assert (eager.keys(), terms.keys()) == (fast.keys(), fast_terms.keys())
    for network, grads in eager.items():
        for a, b in zip(grads, fast[network], strict=True):
            assert torch.equal(a, b)


def test_a_classifiers_loss_in_closed_form():
    """Alemi et al., 2017: cross-entropy of a sample, and beta KL; the decoder has its own term."""
    representation = make("classifier")
    x, noise = items_and_noise(representation.noise_shapes)
    mu, sigma = representation.encode(x)
    by_network, terms = representation.losses(x, mu, sigma, noise)
    z = mu + noise["eps"] * sigma
    entropy = cross_entropy(representation.head(z), noise[LABELS])
    l_r = gaussian_nll(representation.decoder(z), x).mean()
    torch.testing.assert_close(terms["cross_entropy"], entropy)
    torch.testing.assert_close(by_network["encoder"], l_r + entropy + 0.1 * kl_to_prior(mu, sigma).mean())


def test_a_decoder_leaves_the_encoder_of_a_classifier_alone():
    with_decoder, alone = make("classifier"), make("classifier-alone")
    alone.load_state_dict(
        {key: value for key, value in with_decoder.state_dict().items() if not key.startswith("decoder")}
    )
    x, noise = items_and_noise(alone.noise_shapes)
    found = []
    for representation in (with_decoder, alone):
        loss = representation.losses(x, *representation.encode(x), noise)[0]["encoder"]
        found.append(torch.autograd.grad(loss, list(representation.encoder.parameters())))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_the_reconstruction_loss_reaches_the_vae_of_joined_parts_only():
    joined = make("joined")
    x, noise = items_and_noise(joined.noise_shapes)
    mu, sigma = joined.encode(x)
    reconstruction = joined.losses(x, mu, sigma, noise)[1]["reconstruction"]
    encoders = joined.encoder.encoders
    of_vae = torch.autograd.grad(reconstruction, list(encoders["vae"].parameters()), retain_graph=True)
    of_classifier = torch.autograd.grad(
        reconstruction, list(encoders["classifier"].parameters()), allow_unused=True
    )
    assert all(gradient.abs().max() > 0 for gradient in of_vae)
    # Its code is read through a constant: the rest of the graph gives zeros.
    assert all(gradient is None or not gradient.any() for gradient in of_classifier)


@every
def test_decoding_the_code_is_reconstructing(name):
    framework = avae_of(name).eval()
    x, noise = items_and_noise(framework.noise_shapes)
    for realism in framework.image_networks.values():
        torch.testing.assert_close(
            framework.decode(framework.encode(x), noise, realism),
            framework.reconstruct(x, "mean", noise, realism),
            rtol=0,
            atol=0,
        )


@pytest.mark.parametrize("name", ["classifier-alone", "frozen-alone"])
def test_without_a_decoder_there_is_nothing_to_mix(name):
    framework = avae_of(name).eval()
    x, noise = items_and_noise(framework.noise_shapes)
    with pytest.raises(UserError, match=r"realism=0\.5"):
        framework.reconstruct(x, "mean", noise, 0.5)


@every
def test_batch_norm_of_frozen_networks_keeps_its_statistics(name):
    framework = avae_of(name)
    x, noise = items_and_noise(framework.noise_shapes)
    frozen = [m for m in framework.modules() if isinstance(m, Frozen)]
    before = copy.deepcopy([m.state_dict() for m in frozen])
    recalibrate_batch_norm(framework, lambda: iter([(x, noise)]))
    for module, state in zip(frozen, before, strict=True):
        for key, value in module.state_dict().items():
            assert torch.equal(value, state[key]), key


# Whitening


@pytest.mark.parametrize("features", [8, 5000])  # the whole covariance, and leading directions only
def test_whitened_features_have_unit_covariance(features):
    torch.manual_seed(0)
    scales = torch.logspace(1, -2, 8)
    x = (torch.randn(2000, 8) * scales) @ torch.linalg.qr(torch.randn(features, 8))[0].T + 3
    mean, directions = fit_whitening(x, 6)
    codes = (x - mean) @ directions.T
    torch.testing.assert_close(codes.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(codes.T), torch.eye(6), atol=2e-2, rtol=0)


def test_the_default_keeps_95_percent_of_the_variance():
    torch.manual_seed(0)
    x = torch.randn(5000, 4) * torch.tensor([0.6, 0.35, 0.04, 0.01]).sqrt()
    assert len(fit_whitening(x, None)[1]) == 2 + (float(x.var(0)[:2].sum() / x.var(0).sum()) < 0.95)
    assert len(fit_whitening(torch.randn(2000, 800), None)[1]) == 512


@pytest.mark.parametrize(("count", "d"), [(5, 5), (100, 9)])
def test_more_directions_than_there_are_is_an_error(count, d):
    with pytest.raises(UserError, match=rf"--code-dim {d}: "):
        fit_whitening(torch.randn(count, 8), d)
    with pytest.raises(UserError, match="vary in 1 direction"):
        fit_whitening(torch.randn(50, 1) @ torch.ones(1, 8), 3)


def test_sigma_is_how_far_a_code_moves_under_a_shift():
    """A code that is the mean of pixels times a ramp moves by a known amount; without a shift, by noise."""
    ramp = torch.linspace(-1, 1, 8)

    class Place(nn.Module):
        def forward(self, x):
            return torch.stack([(x * ramp).mean((1, 2, 3)), x.mean((1, 2, 3))], 1)

    encoder = WhitenedEncoder(Place(), 2, 2)
    encoder.directions.copy_(torch.eye(2))
    x = torch.rand(50, 1, 8, 8) * 2 - 1
    set_sigma(encoder, tolerance(encoder, x, 0) / (4 * len(x)))
    level = HALF_LEVEL / 3**0.5 / 8  # uniform noise, averaged over 64 pixels
    assert float(encoder.log_sigma[1].exp()) == pytest.approx(max(level, 1e-3), rel=0.2)
    set_sigma(encoder, tolerance(encoder, x, 1) / (4 * len(x)))
    moved = (torch.cat([x[..., 1:], x[..., -1:]], 3) - x).mul(ramp).mean((1, 2, 3))
    assert float(encoder.log_sigma[0].exp()) > 0.5 * float(moved.square().mean().sqrt())
