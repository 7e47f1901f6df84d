"""DiffAugment by hand; only the critic gets augmented items."""

import math

import pytest
import torch
from made import MADE, items_and_noise, make

from avae.frameworks.augmentation import DiffAugment
from avae.frameworks.contracts import FEATURE_ENCODER

SHAPES = [(5, 3, 16, 16), (5, 1, 32, 32)]


def noise_of(*shares: float, n: int = 5) -> torch.Tensor:
    """Return normal numbers with these values of the distribution function."""
    share = torch.tensor(shares, dtype=torch.float64).expand(n, -1)
    return math.sqrt(2) * torch.erfinv(2 * share - 1)


def images(shape=(5, 3, 16, 16)) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1


AWAY = 1e-9  # the cut square's centre in a corner, so that three quarters of it are outside


def test_half_way_changes_nothing_but_the_cut_square():
    x = images()
    changed = DiffAugment()(x, noise_of(0.5, 0.5, 0.5, 0.5, 0.5, AWAY, AWAY))
    expected = x.clone()
    expected[:, :, :4, :4] = 0
    torch.testing.assert_close(changed, expected, rtol=1e-9, atol=1e-12)


def test_colours_then_a_shift_by_hand():
    x = images()
    noise = noise_of(0.9, 0.25, 0.7, 0.99, 0.01, AWAY, 1 - AWAY)
    y = x + 0.4
    y = (y - y.mean(1, keepdim=True)) * 0.5 + y.mean(1, keepdim=True)
    mean = y.mean((1, 2, 3), keepdim=True)
    y = (y - mean) * 1.2 + mean
    expected = torch.zeros_like(y)
    expected[:, :, 2:, :-2] = y[:, :, :-2, 2:]  # an eighth of 16 pixels: down and to the left
    expected[:, :, :4, 12:] = 0
    torch.testing.assert_close(DiffAugment()(x, noise), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_shifts_and_squares_are_drawn_evenly(shape):
    """In many samples every shift occurs, and a pixel in the middle is cut out in a quarter of them."""
    n = 4000
    noise = torch.randn(n, 7, generator=torch.Generator().manual_seed(0))
    noise[:, :3] = 0
    x = torch.zeros(n, 1, *shape[2:])
    x[:, :, shape[2] // 2, shape[3] // 2] = 1
    seen = DiffAugment()(x - x.mean((2, 3), keepdim=True), noise)
    brightest = seen.flatten(1).argmax(1)
    kept = seen.flatten(1).max(1).values > 0.5
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.05)
    rows = brightest[kept] // shape[3] - shape[2] // 2
    assert sorted(set(rows.tolist())) == list(range(-shape[2] // 8, shape[2] // 8 + 1))


def test_gradients_pass_through():
    x = images((2, 3, 8, 8)).requires_grad_()
    noise = torch.randn(2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda x: DiffAugment()(x, noise), x)


AUGMENTED = [name for name in MADE if "augmented" in name]


@pytest.mark.parametrize("name", AUGMENTED)
def test_the_encoder_sees_items_as_they_are_and_the_critic_does_not(name):
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    seen = {"encoder": [], "critic": []}
    for network, module in framework.networks.items():
        if network in seen:
            module.register_forward_pre_hook(lambda _, given, network=network: seen[network].append(given[0]))
            if network == "critic" and hasattr(module, "with_features"):
                whole = module.with_features

                def noted(given, whole=whole):
                    seen["critic"].append(given)
                    return whole(given)

                module.with_features = noted
    framework.losses(x, noise)
    real = framework.augmentation(x, noise["augment_real"])
    assert any(torch.equal(given, real) for given in seen["critic"])
    if framework.contracts.get("encoder") == FEATURE_ENCODER:  # it reads the critic's features of items
        assert sum(torch.equal(given, x) for given in seen["critic"]) == 1
        return
    assert not any(torch.equal(given, x) for given in seen["critic"])
    if framework.has_encoder:
        assert torch.equal(seen["encoder"][0], x)
        drawn = [given for given in seen["encoder"] if not torch.equal(given, x)]
        assert not any(torch.equal(a, b) for a in drawn for b in seen["critic"])


def test_vaegan_compares_features_of_pictures_changed_alike():
    """A perfect reconstruction has no feature loss, for any augmentation."""
    framework = make("vaegan-images-augmented")
    x, noise = items_and_noise(framework, "vaegan-images-augmented")
    other = {**noise, "augment_real": -noise["augment_real"]}
    assert framework.losses(x, noise)[1]["feature"] != framework.losses(x, other)[1]["feature"]
    framework.decoder.forward = lambda z: x
    assert framework.losses(x, noise)[1]["feature"] < 1e-20
