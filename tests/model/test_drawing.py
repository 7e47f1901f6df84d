"""Codes and drawing: noise by row, calibration, realism."""

import numpy as np
import pytest
import torch
from made_items import ENCODERS, NAMES, items_for
from torch.testing import assert_close

import avae
from avae.data.dataset import as_tensor

CODES = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_batch_size_changes_nothing(name, runs, monkeypatch):
    model = avae.load(runs[name], device="cpu")
    items = items_for(model, 10)

    def everything():
        drawn = [model.sample(10), model.decode(CODES[:10, : model.config.code_dim])]
        if not model.framework.has_encoder:
            return drawn
        reconstructed = [model.reconstruct(items), model.reconstruct(items, code="sample", seed=3)]
        return [*drawn, *reconstructed, model.encode(items)]

    whole = everything()
    for batch in (1, 3, 7):
        monkeypatch.setattr("avae.data.batch_size.MOST", batch)
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


@pytest.mark.parametrize("name", ENCODERS)
def test_decode_of_encode_is_reconstruct(name, runs):
    model = avae.load(runs[name], device="cpu")
    items = items_for(model, 9)
    for options in ({}, {"seed": 7}, *([{"realism": 0.3}] if name.endswith("-avae") else [])):
        assert torch.equal(model.decode(model.encode(items), **options), model.reconstruct(items, **options))
    z = model.encode(items)
    assert torch.equal(model.decode(z.numpy()), model.decode(z))
    assert_close(model.decode(z[0]), model.decode(z)[:1], atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["float32", "float64", ">f4", "int64", ">i4", "uint8"])
def test_codes_may_be_read_only_and_of_any_numbers(dtype, model):
    codes = np.ones((2, model.config.code_dim), dtype)
    codes.setflags(write=False)
    assert torch.equal(model.decode(codes), model.decode(torch.ones(2, model.config.code_dim)))


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


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-avae")])
@pytest.mark.parametrize("realism", [0, 0.5, 1])
def test_realism_needs_two_networks(name, realism, runs):
    model = avae.load(runs[name], device="cpu")
    items, codes = items_for(model, 2), CODES[:2, : model.config.code_dim]
    calls = [lambda: model.decode(codes, realism=realism)]
    if model.framework.has_encoder:
        calls += [lambda: model.reconstruct(items, realism=realism)]
        calls += [lambda: model.interpolate(items[0], items[1], realism=realism)]
    for call in calls:
        with pytest.raises(avae.UserError, match=f"realism={realism} mixes .* one of them only"):
            call()


@pytest.mark.parametrize("name", ["digits-gan", "toy-gan"])
def test_a_gan_decodes_prior_codes_and_says_that_it_has_no_encoder(name, runs):
    """Before it looks at what it is given: pictures that are not there raise no other error."""
    model = avae.load(runs[name], device="cpu")
    z = model.noise(range(5), 3)["z"]
    assert_close(model.decode(z), model.sample(5, seed=3))
    for call in (
        lambda: model.encode("missing.png"),
        lambda: model.reconstruct("missing.png"),
        lambda: model.interpolate("missing.png", "missing.png"),
    ):
        with pytest.raises(avae.UserError, match="a GAN has no encoder"):
            call()


@pytest.mark.parametrize("name", ["digits-bigan", "toy-bigan"])
def test_a_bigans_codes_have_no_spread(name, runs):
    model = avae.load(runs[name], device="cpu")
    items = items_for(model, 4)
    assert torch.equal(model.reconstruct(items, code="sample", seed=5), model.reconstruct(items))


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
        (lambda model, x: model.decode([[0.0, 1.0], [2.0]]), "codes of different lengths"),
        (lambda model, x: model.decode(["a"]), "pass numbers"),
        (lambda model, x: model.decode(None), "NoneType does not fit"),
        (lambda model, x: model.decode(torch.zeros(2, 4), keys=["a"]), "keys: 1 for 2 or more items"),
        (lambda model, x: model.reconstruct(x, keys=["a"]), "keys: 1 for 10 or more items"),
        (lambda model, x: model.encode(x, grad=True), "grad=True: pass a tensor of floats"),
        (lambda model, x: model.encode(torch.zeros(1, 3, 16, 16), grad=True), r"takes \(N, 1, 16, 16\)"),
    ],
)
def test_wrong_arguments_are_refused(call, says, model, images):
    with pytest.raises(avae.UserError, match=says):
        call(model, images)


@pytest.mark.parametrize("name", ENCODERS)
def test_posterior_and_its_samples(name, runs):
    model = avae.load(runs[name], device="cpu")
    items = items_for(model, 6)
    if name.endswith("-bigan"):
        with pytest.raises(avae.UserError, match="a BiGAN has no posterior scale"):
            model.posterior(items)
        assert torch.equal(model.encode(items, sample=True), model.encode(items))
        return
    mean, std = model.posterior(items)
    assert torch.equal(mean, model.encode(items))
    _, sigma = model.encoder(items)
    assert_close(std, sigma.detach().expand_as(mean))
    expected = mean + std * model.noise(range(6), 3)["eps"]
    assert_close(model.encode(items, sample=True, seed=3), expected, atol=1e-6, rtol=1e-6)


def test_codes_and_items_may_be_differentiated(model, images):
    x = as_tensor(images).requires_grad_()
    z = model.encode(x, grad=True)
    assert_close(z.detach(), model.encode(images), atol=1e-6, rtol=1e-6)
    drawn = model.decode(z, grad=True, seed=2)
    assert_close(drawn.detach(), model.reconstruct(images, seed=2), atol=1e-5, rtol=1e-5)
    (slope,) = torch.autograd.grad(drawn.square().sum(), x)
    assert slope.shape == x.shape
    assert slope.abs().max() > 0
    assert not model.encode(x).requires_grad


def test_noise_by_name_stays_when_other_items_come_before(model, images):
    alone = model.reconstruct(images[3:5], keys=["c", "d"], seed=1)
    together = model.reconstruct(images[[0, 3, 4]], keys=["a", "c", "d"], seed=1)
    assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model.reconstruct(images[3:5], keys=["d", "c"], seed=1), alone)
    again = model.decode(model.encode(images[3:5]), keys=["c", "d"], seed=1)
    assert torch.equal(again, alone)


def test_networks_and_device(model, runs):
    assert model.to(torch.device("cpu")) is model
    assert list(model.networks) == ["encoder", "decoder", "generator", "critic"]
    assert [model.decoder, model.generator, model.critic] == list(model.networks.values())[1:]
    gan = avae.load(runs["digits-gan"], device=torch.device("cpu"))
    with pytest.raises(AttributeError, match="a GAN has no encoder; it has generator, critic"):
        print(gan.encoder)
    for device in ("cuda:99", "cpu:1", "auto:0", torch.device("meta")):
        with pytest.raises(avae.UserError, match="device="):
            model.to(device)


@pytest.mark.parametrize("name", ENCODERS)
def test_drawing_codes_are_those_that_reconstructions_are_drawn_from(name, runs):
    """AVAE was trained on calibrated codes, VAE and VAE/GAN on samples of the posterior, BiGAN on codes."""
    model = avae.load(runs[name], device="cpu")
    items = items_for(model, 9)
    with torch.inference_mode():
        noise = model.noise(range(9), 2)
        drawn = model.framework.sample(noise | {"z": model.drawing_codes(items, range(9), 2)})
    kind = "mean" if name.endswith("-avae") else "sample"
    assert_close(drawn, model.reconstruct(items, code=kind, seed=2))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("digits")])
def test_samples_are_drawn_from_the_learned_prior_of_a_trained_model(name, runs):
    model = avae.load(runs[name], device="cpu")
    assert model.prior.kind == ("standard" if name.endswith("-gan") else "parzen")
    noise = model.noise(range(5), 3)
    with torch.inference_mode():
        standard = model.framework.sample(noise)
    assert torch.equal(model.sample(5, seed=3, prior="standard"), standard)
    assert torch.equal(model.sample(5, seed=3), standard) == name.endswith("-gan")
