"""The way from one item to another."""

import pytest
import torch
from made_items import ENCODERS, items_for
from PIL import Image
from torch.testing import assert_close

import avae
from avae.interpolation import interpolate_codes


@pytest.mark.parametrize("name", ENCODERS)
def test_interpolation_joins_two_reconstructions(name, runs):
    model = avae.load(runs[name], device="cpu")
    a, b = items_for(model, 2)
    found = model.interpolate(a, b, steps=5, seed=3)
    assert found.shape == (5, *model.item_shape)
    # Each end alone is row 0, whose xi is used for all of the way.
    assert_close(found[:1], model.reconstruct(a, seed=3), atol=1e-5, rtol=1e-5)
    assert_close(found[-1:], model.reconstruct(b, seed=3), atol=1e-5, rtol=1e-5)
    assert torch.isfinite(found).all()
    still = model.interpolate(a, a, steps=4, seed=3)
    assert_close(still, still[:1].expand_as(still), atol=1e-5, rtol=1e-5)


def test_interpolation_takes_files_and_a_drawer(model, images, tmp_path):
    for i in (0, 1):
        Image.fromarray(images[i, ..., 0]).save(tmp_path / f"{i}.png")
    found = model.interpolate(tmp_path / "0.png", tmp_path / "1.png", steps=3, realism=0)
    assert_close(found[:1], model.reconstruct(images[0], realism=0), atol=1e-5, rtol=1e-5)


def test_the_way_is_a_great_circle_of_the_dimensions_that_say_something():
    """Equal steps of angle and of length; an empty dimension, near 0/0, goes straight and turns no other."""
    scale = torch.tensor([0.8, 0.5, 1e-4])
    a, b = torch.tensor([[0.8, 0.0, 0.02]]), torch.tensor([[0.0, 1.0, -0.04]])
    found = interpolate_codes(a, b, scale, torch.tensor([0.0, 1 / 3, 0.5, 1.0]))
    half = 1.5 * 2**-0.5  # calibrated, a is 1 long and b is 2, at a right angle
    third = 4 / 3 * torch.tensor([3**0.5 / 2, 0.5])
    expected = torch.tensor([[1, 0], [third[0], third[1]], [half, half], [0, 2]]) * scale[:2]
    assert_close(found[:, :2], expected)
    assert_close(found[:, 2], torch.tensor([0.02, 0.0, -0.01, -0.04]))


def test_a_way_from_zero_or_without_any_dimension_that_says_something_goes_straight():
    a, b, t = torch.zeros(1, 2), torch.tensor([[0.3, -0.4]]), torch.tensor([0.0, 0.25, 1.0])
    for scale in (torch.ones(2), torch.zeros(2)):
        assert_close(interpolate_codes(a, b, scale, t), t[:, None] * b)


def test_an_empty_dimension_turns_no_interpolation(model, images, monkeypatch):
    """log_sigma of `runs` leaves dimension 3 empty: whatever its mean code, the pictures are the same."""
    codes = {0.1: [1.0, 0.2, 0.3], 0.2: [-0.4, 0.9, 0.1]}

    def drawn(empty):
        def encode(x):
            return torch.tensor([[*codes[round(float(x.flatten()[0]), 1)], empty]])

        monkeypatch.setattr(model.framework, "encode", encode)
        ends = torch.tensor([0.1, 0.2])[:, None, None, None].expand(2, 1, 16, 16)
        return model.interpolate(*ends, steps=5, value_range=(-1, 1))

    assert_close(drawn(0.02), drawn(-0.03), atol=1e-5, rtol=1e-5)
    assert torch.isfinite(drawn(0.0)).all()


def test_what_interpolation_returns_may_be_differentiated(model, images):
    found = model.interpolate(images[0], images[1], steps=2).requires_grad_()
    found.square().sum().backward()
    assert_close(found.grad, 2 * found.detach())
