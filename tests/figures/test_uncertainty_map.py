"""The map of what is known and what is invented has the described values, or a reason why there is none."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import avae
from avae.errors import UserError
from avae.figures.uncertainty_map import (
    colourise,
    map_description,
    map_unavailable_reason,
    uncertainty_map,
)
from avae.guarantees.defaults import DRAWS


def items(model, count=20):
    return torch.rand(count, *model.item_shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_model_without_a_decoder_has_a_map_if_it_has_xi(runs, tmp_path):
    settings = {"steps": 1, "batch_size": 8, "width": 2, "device": "cpu", "decoder": False, "xi_dim": 2}
    representation = f"run:{runs['digits-vae']}"
    model = avae.train("digits", **settings, representation=representation, out=tmp_path / "run")
    assert map_unavailable_reason(model) is None
    assert uncertainty_map(model, items(model, 2)).shape == (2, 16, 16)


def test_with_xi_it_is_the_standard_deviation_over_xi(runs):
    model = avae.load(runs["digits-avae"], device="cpu")
    x = items(model)
    mu, noise = model.encode(x), model.noise(range(len(x)), 7)
    drawn = []
    with torch.inference_mode():
        for k in range(DRAWS):
            xi = model.noise(range(len(x)), 7 + k)["xi"]
            drawn.append(model.framework.decode(mu, {**noise, "xi": xi}, 1.0).numpy())
    expected = np.std(np.stack(drawn).astype(np.float64), axis=0, ddof=1).mean(1)
    found = uncertainty_map(model, x, seed=7)
    assert found.shape == (20, 16, 16)
    assert found.mean() > 1e-3
    assert_close(found, torch.from_numpy(expected).float(), rtol=1e-4, atol=1e-6)
    assert "standard deviation" in map_description(model)


def test_its_first_draw_is_the_reconstruction(runs, monkeypatch):
    """The map is of the picture that stands beside it: of two draws it is their difference / sqrt 2."""
    model = avae.load(runs["digits-avae"], device="cpu")
    x = items(model, 4)
    monkeypatch.setattr("avae.figures.uncertainty_map.DRAWS", 2)
    noise = model.noise(range(4), 3)
    with torch.inference_mode():
        other = model.framework.decode(model.encode(x), noise | {"xi": model.noise(range(4), 4)["xi"]}, 1.0)
    expected = (model.reconstruct(x, seed=3) - other).abs().mean(1) / 2**0.5
    assert_close(uncertainty_map(model, x, seed=3), expected, rtol=1e-4, atol=1e-6)


def test_without_xi_it_is_the_difference_of_decoder_and_generator(without_xi):
    model = avae.load(without_xi("digits"), device="cpu")
    x = items(model)
    decoder, generator = (model.reconstruct(x, realism=t, seed=2) for t in (0, 1))
    assert_close(uncertainty_map(model, x, seed=2), (decoder - generator).abs().mean(1))
    assert "decoder and generator" in map_description(model)


def test_it_does_not_depend_on_how_many_are_mapped(runs):
    model = avae.load(runs["digits-avae"], device="cpu")
    x = items(model, 40)
    assert_close(uncertainty_map(model, x)[:3], uncertainty_map(model, x[:3]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["digits-vae", "digits-vaegan", "digits-bigan", "digits-gan", "toy-avae"])
def test_others_have_none(name, runs):
    model = avae.load(runs[name], device="cpu")
    with pytest.raises(UserError, match="no map"):
        uncertainty_map(model, items(model))


def test_colours_go_from_black_at_0_to_light_at_the_top():
    shades = colourise(torch.tensor([[[0.0, 0.1, 0.2]]]), 0.2)
    assert shades.shape == (1, 1, 3, 3)
    light = shades[0, 0].astype(int).sum(-1)
    assert light[0] < 10
    assert light[0] < light[1] < light[2]
    assert np.array_equal(colourise(torch.zeros(1, 2, 2), 0.0), np.zeros((1, 2, 2, 3)) + shades[0, 0, 0])


@pytest.mark.parametrize("xi", [True, False])
def test_reconstruct_writes_a_map_beside_every_picture(xi, cli, runs, without_xi, pictures, tmp_path):
    run = runs["digits-avae"] if xi else without_xi("digits")
    model, out = avae.load(run, device="cpu"), tmp_path / "out"
    said = cli("reconstruct", run, pictures, "--map", "--seed", 4, "--out", out)
    assert said.code == 0, said
    names = sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png"))
    expected = {"comparison.png", *names, *(name.replace(".png", ".map.png") for name in names)}
    assert {str(path.relative_to(out)) for path in out.rglob("*.png")} == expected
    maps = uncertainty_map(
        model, model.to_items([str(pictures / name) for name in names]), seed=4, keys=names
    )
    shades = colourise(maps, float(maps.max()))
    for name, shade in zip(names, shades, strict=True):
        assert np.array_equal(np.asarray(Image.open(out / name.replace(".png", ".map.png"))), shade)
    assert f"{float(maps.max()):.3g}" in said.out
    assert map_description(model) in said.out
    assert Image.open(out / "comparison.png").size[0] > 10 * 96


def test_a_picture_called_as_a_map_is_not_lost(cli, runs, pictures, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for place, name in enumerate(("a.png", "a.map.png")):
        (source / name).write_bytes(sorted(pictures.rglob("*.png"))[place].read_bytes())
    assert cli("reconstruct", runs["digits-avae"], source, "--out", tmp_path / "plain").code == 0
    assert cli("reconstruct", runs["digits-avae"], source, "--map", "--out", out).code == 0
    assert len(list(out.glob("*.png"))) == 5
    for name in ("a.png", "a.map.png"):
        assert (out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


@pytest.mark.parametrize("name", ["digits-vae", "digits-vaegan", "digits-bigan", "toy-avae"])
def test_reconstruct_says_which_models_have_no_map(name, cli, runs, tmp_path):
    """Before it reads anything: this is no picture."""
    (tmp_path / "a.png").write_text("text")
    said = cli("reconstruct", runs[name], tmp_path / "a.png", "--map", "--out", tmp_path / "out")
    said.refused("--map", "leave it out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
