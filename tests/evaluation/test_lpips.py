"""LPIPS against the package of its authors."""

import lpips as reference
import numpy as np
import pytest
import torch
import torchvision
from made_features import Projection, random_weights, saved

from avae.data.dataset import as_tensor
from avae.errors import UserError
from avae.evaluation.evaluated_model import EvaluatedModel
from avae.evaluation.lpips import SMALLEST, lpips_distance, open_lpips
from avae.evaluation.reconstruction_metrics import image_metrics


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """A file of random weights for AlexNet's convolutions: LPIPS needs no others."""
    network = torchvision.models.alexnet(weights=None)
    state = {name: t for name, t in random_weights(network).items() if name.startswith("features.")}
    return saved(state, tmp_path_factory.mktemp("weights") / "random.pth")


def images(count, seed, channels=3, size=32):
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_lpips_is_that_of_its_authors(alexnet, monkeypatch):
    network = torchvision.models.alexnet(weights=None)
    network.load_state_dict(torch.load(alexnet), strict=False)
    with monkeypatch.context() as patch:
        patch.setattr("lpips.pretrained_networks.tv.alexnet", lambda pretrained: network)
        theirs = reference.LPIPS(net="alex", verbose=False)
    x, x_hat = images(9, 0), images(9, 1) * 0.3
    expected = theirs(x_hat, x).flatten()
    found = lpips_distance(open_lpips(alexnet, "cpu"), x_hat, x)
    assert found.shape == (9,)
    assert (expected > 0.01).all()
    torch.testing.assert_close(found, expected.detach(), rtol=1e-3, atol=0)


def test_it_is_nil_for_the_same_and_the_same_however_images_are_divided(alexnet):
    lpips = open_lpips(alexnet, "cpu")
    x, x_hat = images(70, 0), images(70, 1)
    assert (lpips_distance(lpips, x, x) == 0).all()
    whole = lpips_distance(lpips, x_hat, x)
    parts = [lpips_distance(lpips, a, b) for a, b in zip(x_hat.split(9), x.split(9), strict=True)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        lpips_distance(lpips, x_hat.flip(0), x.flip(0)), whole.flip(0), rtol=1e-4, atol=1e-6
    )


def test_of_reconstructions_it_is_the_mean_over_all_images(alexnet):
    lpips = open_lpips(alexnet, "cpu")
    levels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    nothing = torch.ones(1)
    model = EvaluatedModel(
        {"decoder": lambda x, rows: 0.3 * x}, "decoder", "", None, None, nothing, nothing, False
    )
    found = dict(image_metrics(model, levels, lpips=lpips))
    x = as_tensor(levels)
    assert found["lpips_decoder"] == pytest.approx(float(lpips_distance(lpips, 0.3 * x, x).mean()), rel=1e-5)


def test_grey_images_are_repeated_and_values_beyond_white_are_white(alexnet):
    lpips = open_lpips(alexnet, "cpu")
    x, x_hat = images(3, 0, channels=1), images(3, 1, channels=1)
    colour = [part.expand(-1, 3, -1, -1) for part in (x_hat, x)]
    assert torch.equal(lpips_distance(lpips, x_hat, x), lpips_distance(lpips, *colour))
    assert torch.equal(
        lpips_distance(lpips, x_hat * 3, x), lpips_distance(lpips, (x_hat * 3).clamp(-1, 1), x)
    )


def test_the_smallest_images_are_as_said(alexnet):
    lpips = open_lpips(alexnet, "cpu")
    assert lpips_distance(lpips, images(1, 0, size=SMALLEST), images(1, 1, size=SMALLEST)) > 0
    with pytest.raises(RuntimeError):
        lpips_distance(lpips, images(1, 0, size=SMALLEST - 1), images(1, 1, size=SMALLEST - 1))


def test_other_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"--lpips-weights .*not weights of that network"):
        open_lpips(saved(Projection().state_dict(), tmp_path / "other.pth"), "cpu")
