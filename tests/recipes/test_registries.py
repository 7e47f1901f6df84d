"""The registries of frameworks and network families, and what is declared beside the fields of a config."""

import pytest
import torch

from avae.errors import UserError
from avae.frameworks.adversarial import Adversarial
from avae.recipes.build import network_contracts
from avae.recipes.config import Config, applies, facts
from avae.recipes.facts import Fact
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.parts import vae_alone
from avae.recipes.resolve import with_defaults
from avae.recipes.validate import validate


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_framework_has_the_parts_that_its_line_says(name):
    parts, framework = FRAMEWORKS[name].parts, FRAMEWORKS[name].load()
    config = Config("", "", "", 1, framework=name, size=16, channels=1, width=2)
    contracts = network_contracts(with_defaults(config), vae_alone(config))
    assert ("encoder" in parts) == ("encoder" in contracts)
    gaussian = "encoder" in contracts and "sigma" in contracts["encoder"].returns
    assert ("sigma" in parts) == gaussian
    assert ("KL" in parts) == (gaussian and name != "svae")  # which has a posterior and no KL term
    assert ("critic" in parts) == ("critic" in contracts) == issubclass(framework, Adversarial)
    assert bool(framework.caption) == ("encoder" in parts)


@pytest.mark.parametrize("name", NETWORK_FAMILIES)
def test_families_of_images_draw_the_sizes_of_the_registry(name):
    spec = NETWORK_FAMILIES[name]
    assert bool(spec.sizes) == (spec.items == "images")
    for size in spec.sizes:
        with torch.device("meta"):
            drawn = spec.load().generator((1, size, size), 1, 2)(torch.zeros(2, 2))
        assert drawn.shape == (2, 1, size, size)
    for size in {8, 512, 2048} - set(spec.sizes) if spec.sizes else ():
        with pytest.raises((ValueError, KeyError)):
            spec.load().generator((1, size, size), 1, 2)


def test_scopes_of_a_field_are_exclusive():
    """A field belongs to a run, a row or the data, or may change: at most one of them."""
    for name, declared in facts().items():
        own = {Fact.MAY_CHANGE, Fact.PER_RUN, Fact.PER_ROW, Fact.FROM_DATA} & set(declared)
        assert len(own) <= 1, name


@pytest.mark.parametrize(
    ("framework", "settings", "message"),
    [
        ("gan", {"target_kl": 2.0}, "--target-kl 2.0: a gan has no KL"),
        ("vae", {"r1": 0.1}, "--r1 0.1: a vae has no critic"),
        ("vae", {"augment": True}, "--augment True: a vae has no critic"),
        ("alice", {"target_kl": 2.0}, "--target-kl 2.0: an alice has no KL"),
        ("svae", {"target_kl": 2.0}, "--target-kl 2.0: an svae has no KL"),
    ],
)
def test_settings_for_missing_parts_are_rejected_only_if_on(framework, settings, message):
    run = {"recipe": "", "data": "", "out": "", "steps": 1, "framework": framework}
    (name,) = settings
    assert not applies(name, framework)
    validate(Config(**run, **{name: False if name == "augment" else None}))
    with pytest.raises(UserError, match=message):
        validate(Config(**run, **settings))


def test_settings_of_the_authors_of_a_framework_are_its_defaults():
    run = {"recipe": "", "data": "", "out": "", "steps": 10, "channels": 3, "size": 32}
    for framework, share, loss in (("idgan", 0.5, "non-saturating"), ("avae", 0.0, "paper")):
        config = with_defaults(Config(**run, framework=framework))
        assert (config.warm_start, config.adversarial_loss) == (share, loss)
    given = Config(**run, framework="idgan", representation="run:there")
    assert with_defaults(given).warm_start == 0  # its encoder and decoder learn no more


def test_id_gan_needs_a_finished_representation():
    run = {"recipe": "", "data": "", "out": "", "steps": 10, "framework": "idgan", "warm_start": 0.0}
    with pytest.raises(UserError, match=r"--warm-start 0\.0: its generator is trained on a finished repres"):
        validate(Config(**run))
    validate(Config(**run, representation="run:there"))


@pytest.mark.parametrize("name", NETWORK_FAMILIES)
def test_a_critic_knows_the_number_of_its_features(name):
    spec = NETWORK_FAMILIES[name]
    for item in [(3, size, size) for size in spec.sizes] or [(2,)]:
        with torch.device("meta"):
            critic = spec.load().critic(item, 3, 1)
            _, features = critic.with_features(torch.zeros(2, *item))
        assert features[0].numel() == critic.feature_count
