"""Networks of one's own: which fit a framework, and what is said of those that do not."""

import copy

import pytest
import torch
from torch import nn

from avae.errors import UserError
from avae.networks.dcgan import Down, Up
from avae.networks.feature_head import FeatureHead
from avae.networks.gaussian import GaussianEncoder
from avae.networks.joint import JointCritic
from avae.recipes.build import build_framework
from avae.recipes.config import Config
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.resolve import ResolvedConfig, with_defaults

D, XI = 3, 2


def config(framework: str, network: str = "dcgan") -> ResolvedConfig:
    sizes = {"size": 16, "channels": 1} if network == "dcgan" else {"channels": 2}
    run = {"recipe": "", "data": "", "out": "", "steps": 1}
    return with_defaults(
        Config(
            **run, **sizes, framework=framework, network=network, width=1, code_dim=D, xi_dim=XI, batch_size=4
        )
    )


@pytest.mark.parametrize("network", ["dcgan", "mlp"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_built_fits_and_stays_as_it_was(framework, network):
    """The trial changes no weight, statistic or mode."""
    asked = config(framework, network)
    own = build_framework(asked).networks
    next(iter(own.values())).eval()  # as someone who freezes it would
    before = copy.deepcopy(own)
    framework = build_framework(asked, own)
    for name, module in framework.networks.items():
        assert module is own[name]
        assert [m.training for m in module.modules()] == [m.training for m in before[name].modules()]
        for key, value in module.state_dict().items():
            assert torch.equal(value, before[name].state_dict()[key]), f"{name}.{key}"


class Logits(nn.Sequential):
    """A critic of one's own, of 16 px grey images."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__(nn.Flatten(), nn.Linear(256, outputs))


class Featured(Logits):
    """One that has features."""

    def with_features(self, x):
        return self(x), x


class Ternary(Logits):
    """A critic with three classes, and features of a shape of its own."""

    def __init__(self) -> None:
        super().__init__(3)

    def with_features(self, x):
        return self(x), x[:, :, ::2, :5]


class OneAnswer(Logits):
    """One that forgets the logits."""

    def with_features(self, x):
        return x


class Noisy(Logits):
    """A critic that draws random numbers."""

    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


class Pairs(nn.Module):
    """A critic of items and codes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(256 + D, 1)

    def forward(self, x, z):
        return self.layer(torch.cat([x.flatten(1), z], 1))


@pytest.mark.parametrize(
    ("framework", "networks"),
    [
        ("vaegan", lambda: {"critic": Featured()}),
        ("ian", lambda: {"critic": Ternary()}),
        ("ian", lambda: {"critic": Ternary(), "encoder": GaussianEncoder(FeatureHead(8 * 5, D), D)}),
        ("ian", lambda: {"encoder": GaussianEncoder(FeatureHead(8 * 4 * 4, D), D)}),
        ("bigan", lambda: {"critic": Pairs(), "encoder": nn.Sequential(nn.Flatten(), nn.Linear(256, D))}),
        ("gan", lambda: {"critic": Logits(), "generator": Up(16, 1, 1, D)}),
        ("avae", lambda: {"encoder": GaussianEncoder(Logits(D), D), "generator": Up(16, 1, 1, D + XI)}),
    ],
)
def test_networks_of_ones_own_train(framework, networks):
    built = build_framework(config(framework), networks())
    noise = {name: torch.randn(shape) for name, shape in built.noise_shapes(4).items()}
    by_network, _ = built.losses(torch.rand(4, 1, 16, 16), noise)
    for name, loss in by_network.items():
        grads = torch.autograd.grad(loss, list(built.networks[name].parameters()), retain_graph=True)
        assert all(grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize(
    ("framework", "name", "network", "says"),
    [
        ("vaegan", "critic", Logits, r"\.with_features takes x .*; yours has no with_features"),
        ("vaegan", "critic", OneAnswer, r"features \(N, \.\.\.\); yours returns \(2, 1, 16, 16\) for N = 2"),
        ("ian", "critic", Featured, r"ternary_logits \(N, 3\) and features .*yours returns \(2, 1\) and"),
        (
            "ian",
            "encoder",
            lambda: GaussianEncoder(FeatureHead(9, D), D),
            r"features \(2, 8, 4, 4\) .*Runtime",
        ),
        ("bigan", "critic", Logits, r"x \(N, 1, 16, 16\) and z \(N, 3\) .*; yours raises TypeError: "),
        ("bigan", "encoder", lambda: GaussianEncoder(Logits(D), D), r"yours returns \(2, 3\) and \(3,\)"),
        ("vae", "encoder", lambda: Down(16, 1, 1, D), r"GaussianEncoder.*; yours has no log_sigma"),
        (
            "vae",
            "encoder",
            lambda: GaussianEncoder(Logits(D), 1),
            r"sigma \(3,\).*yours returns \(2, 3\) and \(1,\)",
        ),
        ("gan", "generator", lambda: Up(32, 1, 1, D), r"x \(N, 1, 16, 16\); yours returns \(2, 1, 32, 32\)"),
        ("gan", "critic", lambda: Logits(2), r"returns logits \(N, 1\); yours returns \(2, 2\)"),
        ("gan", "critic", lambda: JointCritic(Logits(4), 4, D, 4), r"yours raises TypeError"),
        ("avae", "generator", lambda: Up(16, 1, 1, D), r"z \(N, 3\) and xi \(N, 2\) .*RuntimeError"),
        ("avae", "critic", lambda: Logits, r"yours is a type, not a torch\.nn\.Module"),
        ("avae", "decoder", lambda: nn.Sequential(nn.Linear(D, 2), nn.LSTM(2, 2)), r"and a tuple for N = 2"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(framework, name, network, says):
    with pytest.raises(UserError, match=f"networks: {framework}'s {name}.*{says}") as refused:
        build_framework(config(framework), {name: network()})
    assert "\n" not in str(refused.value)


def test_what_a_network_raises_can_be_traced_and_modes_are_restored():
    network = nn.Sequential(nn.Flatten(), nn.Dropout().eval(), nn.Linear(5, 1))
    with pytest.raises(UserError) as refused:
        build_framework(config("gan"), {"critic": network})
    assert isinstance(refused.value.__cause__, RuntimeError)
    assert [module.training for module in network.modules()] == [True, True, False, True]


def test_the_trial_takes_no_random_numbers():
    network = Noisy()
    before = torch.get_rng_state()
    build_framework(config("gan"), {"critic": network})
    assert torch.equal(torch.get_rng_state(), before)
