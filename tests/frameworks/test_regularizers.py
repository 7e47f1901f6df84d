"""R1, R2 and path length against closed forms, finite differences, and for every framework with a critic."""

import copy

import pytest
import torch
from made import MADE, items_and_noise, labels_for, make
from torch import nn

from avae.engine.compile import tensors_of, trace_gradients
from avae.engine.optimizers import AdamSettings, make_optimizers
from avae.engine.step import Phase, gradients
from avae.frameworks import GAN
from avae.frameworks.adversarial import Adversarial
from avae.frameworks.regularizers import GradientPenalty, PathLength, RunningMean
from avae.networks.conditional import ConditionalGenerator
from avae.networks.mlp import MLP
from avae.networks.stylegan2.family import path_length_weight, r1_weight

GAMES = [
    name
    for name in MADE
    # What tells most AVAE from each other is not the critic's.
    if isinstance(make(name), Adversarial) and (not name.startswith("avae") or "b-xi" in name)
]
FEW = [name for name in GAMES if "stylegan2" in name or "augmented" in name or name.endswith("-points")]
every_game = pytest.mark.parametrize("name", GAMES)


class Quadratic(nn.Module):
    """l(x) = x^T A x + b^T x, with gradient (A + A^T) x + b."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(features, features, dtype=torch.float64))
        self.b = nn.Parameter(torch.randn(features, dtype=torch.float64))

    def forward(self, x):
        return (x @ self.a * x).sum(1, keepdim=True) + x @ self.b[:, None]


def penalty(framework: Adversarial, kind: str, gamma: float) -> GradientPenalty:
    inputs = {"r1": framework.real_inputs, "r2": framework.fake_inputs}
    return GradientPenalty(kind, framework, inputs[kind], gamma, every=16)


def made(kind: str, framework: Adversarial, name: str):
    """Return a regularizer, and items and noise for it."""
    x, _ = items_and_noise(framework, name)
    path_length = kind == "path_length"
    shape = tuple(x.shape[1:])
    regularizer = PathLength(framework, 0.3, shape) if path_length else penalty(framework, kind, 0.3)
    generator = torch.Generator().manual_seed(3)
    noise = {
        key: torch.randn(shape, generator=generator, dtype=torch.float64)
        for key, shape in regularizer.noise_shapes(len(x)).items()
    }
    return regularizer, x, noise | labels_for(framework, len(x))


def test_r1_of_a_quadratic_critic():
    torch.manual_seed(0)
    critic, x = Quadratic(4), torch.randn(6, 4, dtype=torch.float64)
    regularizer = penalty(GAN(nn.Linear(2, 4), critic, 2), "r1", 10.0)
    by_network, terms = regularizer.losses(x, {})
    expected = (x @ (critic.a + critic.a.t()) + critic.b).square().sum(1).mean()
    torch.testing.assert_close(terms["r1"], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(by_network["critic"], 16 * 5 * expected, rtol=1e-12, atol=0)


def test_path_length_of_a_linear_generator():
    torch.manual_seed(0)
    generator = nn.Linear(3, 5).double()
    regularizer = PathLength(GAN(generator, nn.Linear(5, 1), 3), weight=2.0, item=(5,))
    assert regularizer.noise_shapes(4) == {"z": (4, 3), "y": (4, 5)}
    noise = {name: torch.randn(shape).double() for name, shape in regularizer.noise_shapes(4).items()}
    regularizer.target.state = torch.tensor(0.7, dtype=torch.float64)
    by_network, terms = regularizer.losses(torch.zeros(4, 5), noise)
    lengths = (noise["y"] @ generator.weight).norm(dim=1)
    torch.testing.assert_close(terms["path_length"], lengths.mean(), rtol=1e-12, atol=0)
    expected = 4 * 2.0 * (lengths - 0.7).square().mean()
    torch.testing.assert_close(by_network["generator"], expected, rtol=1e-12, atol=0)


def test_paths_of_a_style_generator_start_from_its_style():
    name = "avae-images-b-xi-balanced-stylegan2"
    framework = make(name)
    regularizer, x, noise = made("path_length", framework, name)
    generator = framework.generator
    w = generator.mapping(noise["z"], noise["xi"]).detach().requires_grad_()
    (slope,) = torch.autograd.grad((generator.synthesis(w) * noise["y"]).sum(), w)
    _, terms = regularizer.losses(x, noise)
    torch.testing.assert_close(terms["path_length"], slope.norm(dim=1).mean(), rtol=1e-12, atol=0)


@every_game
@pytest.mark.parametrize("kind", ["r1", "r2", "path_length"])
def test_only_its_own_network_learns_and_by_the_true_slope(kind, name):
    """Along a random direction of the weights, against a central difference."""
    framework = make(name)
    with torch.no_grad():
        for p in framework.parameters():  # of biases of 0 a picture's blank parts are on the edge of a ReLU
            p += 0.01 * torch.randn_like(p)
    regularizer, x, noise = made(kind, framework, name)
    phase = Phase(regularizer.name, regularizer.losses, framework.networks)
    by_network, _ = gradients(phase, x, noise)
    assert list(by_network) == [regularizer.network]
    parameters = list(framework.networks[regularizer.network].parameters())
    torch.manual_seed(0)
    directions = [torch.randn_like(p) for p in parameters]
    pairs = zip(directions, by_network[regularizer.network], strict=True)
    slope = sum((d * g).sum() for d, g in pairs if g is not None)

    def moved(by: float) -> torch.Tensor:
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p += by * d
        loss = regularizer.losses(x, noise)[0][regularizer.network].detach()
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p -= by * d
        return loss

    step = 1e-9  # small, for the penalty jumps where a ReLU meets its edge
    difference = (moved(step) - moved(-step)) / (2 * step)
    torch.testing.assert_close(slope, difference, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("kind", ["r1", "r2", "path_length"])
def test_the_trace_is_the_eager_phase(kind, name):
    framework = make(name)
    regularizer, x, noise = made(kind, framework, name)
    networks = copy.deepcopy(framework.networks)
    coefficients = framework.double().coefficients.values()
    phase = Phase(regularizer.name, regularizer.losses, framework.networks, coefficients=tuple(coefficients))
    graph = trace_gradients(phase, x, noise)
    for coefficient in coefficients:
        coefficient.state.fill_(0.4)
    with torch.no_grad():
        fast, fast_terms = graph(tensors_of(phase), x, noise)
    for network in networks:  # batch-norm statistics as they were before the trace's run
        framework.networks[network].load_state_dict(networks[network].state_dict())
    grads, terms = gradients(phase, x, noise)
    for a, b in zip(grads[regularizer.network], fast[regularizer.network], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(terms, fast_terms, rtol=1e-12, atol=0)


def test_paths_of_a_conditional_generator_start_from_its_codes_and_embeddings():
    generator = ConditionalGenerator(MLP(3 + 2, 4, 8), 3, 2).double()
    framework = GAN(generator, nn.Linear(4, 1), 3)
    labels = torch.tensor([0, 1, 2, 1])
    framework.prior_codes = lambda noise: (noise["z"], labels)
    regularizer = PathLength(framework, 2.0, (4,))
    noise = {name: torch.randn(shape).double() for name, shape in regularizer.noise_shapes(4).items()}
    codes = torch.cat([noise["z"], generator.embedding(labels)], 1).detach().requires_grad_()
    (slope,) = torch.autograd.grad((generator.body(codes) * noise["y"]).sum(), codes)
    _, terms = regularizer.losses(torch.zeros(4, 4), noise)
    torch.testing.assert_close(terms["path_length"], slope.norm(dim=1).mean(), rtol=1e-12, atol=0)


def test_r2_of_a_quadratic_critic():
    torch.manual_seed(0)
    critic, generator = Quadratic(4), nn.Linear(2, 4).double()
    z = torch.randn(6, 2, dtype=torch.float64)
    regularizer = penalty(GAN(generator, critic, 2), "r2", 10.0)
    by_network, terms = regularizer.losses(torch.zeros(6, 4), {"z": z})
    expected = (generator(z) @ (critic.a + critic.a.t()) + critic.b).square().sum(1).mean()
    torch.testing.assert_close(terms["r2"], expected, rtol=1e-12, atol=0)
    assert by_network.keys() == {"critic"}


def test_the_running_mean_moves_when_its_term_is_there():
    mean = RunningMean("length", 0.75)
    mean.update({"other": torch.tensor(9.0)})
    assert mean.value == 0
    mean.update({"length": torch.tensor(4.0)})
    mean.update({"length": torch.tensor(4.0)})
    assert mean.value == pytest.approx(1 + 0.25 * 3)


def test_adam_forgets_and_goes_as_far_as_without_the_further_steps():
    networks = {"critic": nn.Linear(1, 1), "encoder": nn.Linear(1, 1)}
    optimizers = make_optimizers(
        networks, AdamSettings(1e-3, (0.5, 0.99), {"bias": 3.0}, extra_steps={"critic": 1 / 16})
    )
    critic, encoder = optimizers["critic"], optimizers["encoder"]
    assert encoder.defaults["betas"] == (0.5, 0.99)
    # 17 steps of it for 16.
    assert [beta**17 for beta in critic.defaults["betas"]] == pytest.approx([0.5**16, 0.99**16])
    for ours, others in zip(critic.param_groups, encoder.param_groups, strict=True):
        assert 17 * ours["lr"] == pytest.approx(16 * others["lr"])


def test_weights_are_the_papers():
    assert r1_weight(1024, 32) == pytest.approx(6.55, abs=0.01)
    assert r1_weight(256, 64) == pytest.approx(0.2, abs=0.01)
    # ln 2 / (r^2 (ln r - ln 2)) is 1 / (r^2 (log2 r - 1)).
    assert path_length_weight(1024) == pytest.approx(1 / (1024**2 * 9))


def test_the_critic_of_pairs_holds_the_code_fixed():
    """BiGAN's encoder is not trained on R1, and the gradient does not pass through it."""
    framework = make("bigan-images")
    regularizer, x, noise = made("r1", framework, "bigan-images")
    code = framework.encoder(x).detach()
    seen = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(framework.critic(seen, code).sum(), seen)
    _, terms = regularizer.losses(x, noise)
    torch.testing.assert_close(terms["r1"], slope.square().flatten(1).sum(1).mean(), rtol=1e-10, atol=0)


def test_a_picture_that_does_not_move_has_a_length_of_zero_and_a_slope():
    """All ReLUs are inactive."""
    generator = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4)).double()
    with torch.no_grad():
        generator[0].bias.fill_(-1e3)
    regularizer = PathLength(GAN(generator, nn.Linear(4, 1), 2), 1.0, (4,))
    regularizer.target.state = torch.tensor(1.0, dtype=torch.float64)
    phase = Phase(regularizer.name, regularizer.losses, {"generator": generator})
    noise = {name: torch.randn(shape).double() for name, shape in regularizer.noise_shapes(3).items()}
    by_network, terms = gradients(phase, torch.zeros(3, 4), noise)
    assert terms["path_length"] == 0
    assert all(grad.isfinite().all() for grad in by_network["generator"] if grad is not None)


def test_vaegans_critic_needs_no_more_than_its_features():
    framework = make("vaegan-images")

    class Featured(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def with_features(self, x):
            return self.body.with_features(x)

    framework.critic = Featured(framework.critic)
    regularizer, x, noise = made("r1", framework, "vaegan-images")
    assert regularizer.losses(x, noise)[1]["r1"] > 0
