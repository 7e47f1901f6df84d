"""The face: kinds of images, noise by row, calibration, saving, networks of one's own."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

import avae
from avae.data.dataset import as_tensor
from avae.data.digits import digits_data
from avae.model import Model
from avae.networks.dcgan import Down, Up
from avae.networks.gaussian import GaussianEncoder
from avae.tensorfile import load_tensors

NAMES = ["digits-avae", "digits-vae", "toy-avae", "toy-vae"]


@pytest.fixture
def model(runs) -> Model:
    return avae.load(runs["digits-avae"], device="cpu")


@pytest.fixture
def images():
    """uint8 (10, 16, 16, 1)."""
    return digits_data().test[:10]


def items_for(model: Model, count: int) -> torch.Tensor:
    if model.draws_images:
        return as_tensor(digits_data().test[:count])
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))


# What goes in


def test_all_kinds_of_images_agree(model, images, tmp_path):
    pil = [Image.fromarray(image[..., 0]) for image in images]
    paths = [tmp_path / f"{i}.png" for i in range(len(pil))]
    for image, path in zip(pil, paths, strict=True):
        image.save(path)
    expected = model.encode(images)
    assert expected.shape == (10, 4)
    floats = as_tensor(images)
    for kind in (
        pil,
        paths,
        [str(path) for path in paths],
        tuple(pil),
        floats,
        floats.numpy(),
        floats.double(),
        floats.contiguous(),
        images[:, ::1].copy(),
    ):
        assert_close(model.encode(kind), expected, atol=1e-6, rtol=1e-6)


def test_a_single_image_may_stand_alone(model, images, tmp_path):
    expected = model.encode(images[:1])
    pil = Image.fromarray(images[0, ..., 0])
    pil.save(tmp_path / "a.png")
    floats = as_tensor(images[:1])[0]
    for kind in (pil, tmp_path / "a.png", str(tmp_path / "a.png"), images[0], floats, floats.numpy(), [pil]):
        assert_close(model.encode(kind), expected, atol=1e-6, rtol=1e-6)


def test_pictures_are_prepared_as_for_training(model):
    """The central square is cut out, made small and grey."""
    wide = Image.new("RGB", (80, 32), "red")
    wide.paste(Image.new("RGB", (32, 32), "white"), (24, 0))
    assert_close(model.items(wide), torch.ones(1, 1, 16, 16))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (np.zeros((3, 8, 8, 1), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((3, 16, 16, 3), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((16, 16), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((2, 2, 16, 16, 1), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((0, 16, 16, 1), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((), np.uint8), r"\(N, 1, 16, 16\)"),
        (torch.zeros(2, 3, 16, 16), r"\(N, 1, 16, 16\)"),
        (torch.full((1, 1, 16, 16), 1.5), "1.5: floats must be in"),
        (np.full((1, 1, 16, 16), 255.0), "255: floats must be in"),
        (torch.full((1, 1, 16, 16), torch.nan), "NaN"),
        (np.full((1, 1, 16, 16), 1e300), "infinity"),
        (torch.zeros(1, 1, 16, 16, dtype=torch.uint8), "uint8"),
        (np.zeros((1, 1, 16, 16), int), "int64"),
        (np.array([["a"]]), "array"),
        ([], "no images"),
        ("missing.png", "missing.png"),
        (["missing.png"], "missing.png"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, says, model):
    with pytest.raises(avae.UserError, match=says):
        model.encode(wrong)


def test_points_are_taken_as_they_are(runs):
    model = avae.load(runs["toy-avae"], device="cpu")
    points = torch.tensor([[3.0, -2.0], [0.0, 9.0]])
    assert torch.equal(model.items(points.numpy()), points)
    assert torch.equal(model.items(points[0]), points[:1])
    with pytest.raises(avae.UserError, match=r"\(N, 2\)"):
        model.encode(torch.zeros(4, 3))
    with pytest.raises(avae.UserError, match="model is of points"):
        model.encode("picture.png")


# Noise by row


@pytest.mark.parametrize("name", NAMES)
def test_batch_size_changes_nothing(name, runs, monkeypatch):
    model = avae.load(runs[name], device="cpu")
    items = items_for(model, 10)

    def everything():
        z = model.encode(items)
        return [
            z,
            model.decode(z),
            model.reconstruct(items),
            model.reconstruct(items, code="sample", seed=3),
            model.sample(10),
        ]

    whole = everything()
    for batch in (1, 3, 7):
        monkeypatch.setattr("avae.model._BATCH", batch)
        for found, expected in zip(everything(), whole, strict=True):
            assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_rows_have_noise_of_their_own(name, runs):
    model = avae.load(runs[name], device="cpu")
    samples = model.sample(70, seed=5)
    assert_close(model.sample(4, seed=5), samples[:4], atol=1e-5, rtol=1e-5)
    assert_close(model.sample(66, seed=5), samples[:66], atol=1e-5, rtol=1e-5)
    assert torch.equal(model.sample(70, seed=5), samples)
    assert not torch.allclose(model.sample(70, seed=6), samples)
    assert not torch.allclose(samples[:4], samples[64:68]), "two blocks of rows share their noise"
    assert torch.isfinite(samples).all()


# Codes and drawing


@pytest.mark.parametrize("name", NAMES)
def test_decode_of_encode_is_reconstruct(name, runs):
    model = avae.load(runs[name], device="cpu")
    items = items_for(model, 9)
    for options in ({}, {"seed": 7}) if "vae" in name else ({}, {"seed": 7}, {"realism": 0.3}):
        assert torch.equal(model.decode(model.encode(items), **options), model.reconstruct(items, **options))
    z = model.encode(items)
    assert torch.equal(model.decode(z.numpy()), model.decode(z))
    assert_close(model.decode(z[0]), model.decode(z)[:1], atol=1e-5, rtol=1e-5)


def test_realism_goes_straight_from_decoder_to_generator(model, images):
    at = {t: model.reconstruct(images, realism=t, seed=1) for t in (0, 0.25, 0.5, 1)}
    assert torch.equal(at[1], model.reconstruct(images, seed=1)), "the generator is AVAE's own drawer"
    assert not torch.allclose(at[0], at[1], atol=1e-2)
    assert torch.equal(at[0], model.reconstruct(images, realism=0, seed=2)), "the decoder has no noise"
    for t in (0.25, 0.5):
        assert_close(at[t], (1 - t) * at[0] + t * at[1], atol=1e-6, rtol=1e-6)
    with torch.inference_mode():
        decoded = model.framework.decoder(model.encode(images))
    assert_close(at[0], decoded, atol=1e-6, rtol=1e-6)


def test_the_generator_draws_from_calibrated_codes(model, images):
    """z = mu / code_scale where the code says something, a prior draw where it does not (section 7)."""
    mu, sigma = model.encode(images), model.framework.sigma().detach()
    noise = model.noise(range(10), 4)
    z = mu / (1 - sigma**2).clamp(min=1e-9).sqrt()
    z[:, 3] = noise["z"][:, 3]  # sigma is 1 there
    with torch.inference_mode():
        expected = model.framework.generator(z, noise["xi"])
    assert_close(model.reconstruct(images, seed=4), expected, atol=1e-5, rtol=1e-5)


def test_sampled_codes_are_drawn_from_the_posterior(model, images):
    noise = model.noise(range(10), 4)
    z = model.encode(images) + model.framework.sigma().detach() * noise["eps"]
    with torch.inference_mode():
        expected = model.framework.generator(z, noise["xi"])
    assert_close(model.reconstruct(images, code="sample", seed=4), expected, atol=1e-5, rtol=1e-5)


def test_realism_needs_two_networks(runs, images):
    model = avae.load(runs["digits-vae"], device="cpu")
    for realism in (0, 0.5, 1):
        with pytest.raises(avae.UserError, match="no generator"):
            model.reconstruct(images, realism=realism)
        with pytest.raises(avae.UserError, match="no generator"):
            model.decode(model.encode(images), realism=realism)
        with pytest.raises(avae.UserError, match="no generator"):
            model.interpolate(images[0], images[1], realism=realism)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda model, x: model.reconstruct(x, realism=1.5), "realism=1.5"),
        (lambda model, x: model.reconstruct(x, realism=-0.1), "realism=-0.1"),
        (lambda model, x: model.reconstruct(x, realism=float("nan")), "realism=nan"),
        (lambda model, x: model.reconstruct(x, code="median"), "'mean' or 'sample'"),
        (lambda model, x: model.sample(0), "1 sample or more"),
        (lambda model, x: model.interpolate(x[0], x[1], steps=1), "steps=1"),
        (lambda model, x: model.interpolate(x, x[1]), "one image at each end"),
        (lambda model, x: model.decode(torch.zeros(2, 5)), r"takes \(N, 4\)"),
        (lambda model, x: model.decode(torch.zeros(0, 4)), r"takes \(N, 4\)"),
        (lambda model, x: model.decode(np.zeros((1, 1, 4))), r"takes \(N, 4\)"),
    ],
)
def test_wrong_arguments_are_refused(call, says, model, images):
    with pytest.raises(avae.UserError, match=says):
        call(model, images)


@pytest.mark.parametrize("name", NAMES)
def test_interpolation_joins_two_reconstructions(name, runs):
    model = avae.load(runs[name], device="cpu")
    a, b = items_for(model, 2)
    way = model.interpolate(a, b, steps=5, seed=3)
    assert way.shape == (5, *model.item_shape)
    # Each end alone is row 0, whose xi is used for all of the way.
    assert_close(way[:1], model.reconstruct(a, seed=3), atol=1e-5, rtol=1e-5)
    assert_close(way[-1:], model.reconstruct(b, seed=3), atol=1e-5, rtol=1e-5)
    assert torch.isfinite(way).all()
    still = model.interpolate(a, a, steps=4, seed=3)
    assert_close(still, still[:1].expand_as(still), atol=1e-5, rtol=1e-5)


def test_interpolation_takes_files_and_a_drawer(model, images, tmp_path):
    for i in (0, 1):
        Image.fromarray(images[i, ..., 0]).save(tmp_path / f"{i}.png")
    way = model.interpolate(tmp_path / "0.png", tmp_path / "1.png", steps=3, realism=0)
    assert_close(way[:1], model.reconstruct(images[0], realism=0), atol=1e-5, rtol=1e-5)


# Saving and loading


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_comes_back_exactly(name, runs, tmp_path):
    model = avae.load(runs[name], device="cpu")
    model.save(tmp_path / "shared")
    again = avae.load(str(tmp_path / "shared"), device="cpu")
    state, expected = again.framework.state_dict(), model.framework.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert torch.equal(again.sample(3, seed=1), model.sample(3, seed=1))
    assert torch.equal(again.reconstruct(items_for(model, 3)), model.reconstruct(items_for(model, 3)))
    assert again.data == model.data
    assert not again.framework.training
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {"model.safetensors", "config.json"}


def test_a_run_folder_and_its_model_folder_load_the_same(runs, model):
    other = avae.load(runs["digits-avae"] / "model", device="cpu")
    assert torch.equal(other.sample(2), model.sample(2))
    assert model.config.recipe == "demo"


@pytest.mark.parametrize(
    "harm", ["missing", "cut", "empty", "bit", "not json", "no keys", "unknown", "value"]
)
def test_damaged_models_are_refused(harm, runs, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(runs["digits-avae"] / "model", folder)
    weights, config = folder / "model.safetensors", folder / "config.json"
    described = json.loads(config.read_text())
    data = bytearray(weights.read_bytes())
    if harm == "missing":
        weights.unlink()
    elif harm == "cut":
        weights.write_bytes(data[:-7])
    elif harm == "empty":
        weights.write_bytes(b"")
    elif harm == "bit":
        data[-10] ^= 8
        weights.write_bytes(data)
    elif harm == "not json":
        config.write_text('{"avae": ')
    elif harm == "no keys":
        config.write_text("{}")
    elif harm == "unknown":
        described["architecture"]["depth"] = 3
        config.write_text(json.dumps(described))
    else:
        described["architecture"]["framework"] = "gan"
        config.write_text(json.dumps(described))
    with pytest.raises(avae.UserError, match=str(tmp_path)):
        avae.load(folder)


def test_folders_without_a_model_are_refused(tmp_path, runs):
    for path in (tmp_path, tmp_path / "missing", runs["digits-avae"] / "stats.jsonl"):
        with pytest.raises(avae.UserError, match="no run or model folder"):
            avae.load(path)
    shutil.copy(runs["digits-avae"] / "config.json", tmp_path)
    with pytest.raises(avae.UserError, match="no model yet"):
        avae.load(tmp_path)
    with pytest.raises(avae.UserError, match="--device tpu"):
        avae.load(runs["digits-avae"], device="tpu")


# Training


class Linear(nn.Module):
    """A generator of one's own: (z, xi) -> images."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 256)

    def forward(self, z, xi):
        return self.layer(torch.cat([z, xi], 1)).tanh().unflatten(1, (1, 16, 16))


def test_train_returns_the_model_it_saved(tiny, tmp_path):
    model = avae.train("demo", **tiny, out=str(tmp_path / "run"))
    assert torch.equal(model.sample(2), avae.load(tmp_path / "run", device="cpu").sample(2))
    assert model.config.width == 2


def test_networks_of_ones_own(tiny, tmp_path):
    run = tmp_path / "run"
    model = avae.train("demo", **tiny, out=str(run), networks={"generator": Linear()})
    weights = load_tensors(run / "model/model.safetensors")[0]
    assert weights["generator.layer.weight"].shape == (256, 6)
    again = avae.load(run, device="cpu", networks={"generator": Linear()})
    assert torch.equal(again.sample(3), model.sample(3))
    with pytest.raises(avae.UserError, match="networks="):
        avae.load(run)
    longer = avae.train("demo", out=str(run), resume=True, steps=9, networks={"generator": Linear()})
    assert not torch.equal(longer.sample(3), again.sample(3))


def test_all_networks_of_ones_own(tiny, tmp_path):
    own = {
        "encoder": GaussianEncoder(Down(16, 1, 1, 4), 4),
        "decoder": Up(16, 1, 1, 4),
        "generator": Linear(),
        "critic": nn.Sequential(nn.Flatten(), nn.Linear(256, 1)),
    }
    before = [parameter.clone() for network in own.values() for parameter in network.parameters()]
    model = avae.train("demo", **tiny, out=str(tmp_path / "run"), networks=own)
    after = [parameter for network in own.values() for parameter in network.parameters()]
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert model.framework.generator.layer.weight.shape == (256, 6)


def test_a_network_the_framework_has_not_is_refused(tiny, tmp_path):
    with pytest.raises(avae.UserError, match="vae has no 'generator'; it has encoder, decoder"):
        avae.train(
            "demo",
            **tiny,
            framework="vae",
            out=str(tmp_path / "run"),
            networks={"generator": Linear()},
        )
    assert not (tmp_path / "run").exists()


def test_a_setting_no_run_has_is_refused(tmp_path):
    with pytest.raises(avae.UserError, match="perhaps you meant 'steps'"):
        avae.train("demo", stepps=3, out=str(tmp_path / "run"))
    with pytest.raises(avae.UserError, match="perhaps you meant 'demo'"):
        avae.train("demoo")


@pytest.mark.parametrize("own", [False, True])
def test_init_from_a_vae_copies_encoder_and_decoder(own, runs, tiny, tmp_path):
    """With a learning rate that moves no weight, what is saved are the initial weights."""
    networks = {"generator": Linear()} if own else None
    model = avae.train(
        "demo",
        **tiny | {"steps": 1},
        learning_rate=1e-30,
        init_from=str(runs["digits-vae"]),
        out=str(tmp_path / "run"),
        networks=networks,
    )
    vae = avae.load(runs["digits-vae"], device="cpu").framework
    for name in ("encoder", "decoder"):
        found = dict(model.framework.networks[name].named_parameters())
        for key, expected in vae.networks[name].named_parameters():
            assert_close(found[key], expected, atol=1e-20, rtol=0, msg=f"{name}.{key}")


def test_init_from_another_shape_is_refused(runs, tiny, tmp_path):
    with pytest.raises(avae.UserError, match=r"--init-from .*another shape"):
        avae.train(
            "demo", **tiny | {"width": 3}, init_from=str(runs["digits-vae"]), out=str(tmp_path / "run")
        )
    assert not (tmp_path / "run").exists()
