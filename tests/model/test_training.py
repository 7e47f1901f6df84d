"""`avae.train`: networks of one's own, settings, initial weights."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import avae
from avae.networks.dcgan import Down, Up
from avae.networks.gaussian import GaussianEncoder
from avae.safetensors_io import load_tensors


class Linear(nn.Module):
    """A generator of one's own: (z, xi) -> images."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 256)

    def forward(self, z, xi):
        return self.layer(torch.cat([z, xi], 1)).tanh().unflatten(1, (1, 16, 16))


def test_train_returns_the_model_it_saved(tiny, tmp_path):
    model = avae.train("digits", **tiny, out=str(tmp_path / "run"))
    assert torch.equal(model.sample(2), avae.load(tmp_path / "run", device="cpu").sample(2))
    assert model.config.width == 2


def test_custom_networks(tiny, tmp_path):
    run = tmp_path / "run"
    model = avae.train("digits", **tiny, out=str(run), networks={"generator": Linear()})
    weights = load_tensors(run / "model/model.safetensors")[0]
    assert weights["generator.layer.weight"].shape == (256, 6)
    again = avae.load(run, device="cpu", networks={"generator": Linear()})
    assert torch.equal(again.sample(3), model.sample(3))
    with pytest.raises(avae.UserError, match="networks="):
        avae.load(run)
    longer = avae.train("digits", out=str(run), resume=True, steps=9, networks={"generator": Linear()})
    assert not torch.equal(longer.sample(3), again.sample(3))


def test_all_networks_are_custom(tiny, tmp_path):
    own = {
        "encoder": GaussianEncoder(Down(16, 1, 1, 4), 4),
        "decoder": Up(16, 1, 1, 4),
        "generator": Linear(),
        "critic": nn.Sequential(nn.Flatten(), nn.Linear(256, 1)),
    }
    before = [parameter.clone() for network in own.values() for parameter in network.parameters()]
    model = avae.train("digits", **tiny, out=str(tmp_path / "run"), networks=own)
    after = [parameter for network in own.values() for parameter in network.parameters()]
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert model.framework.generator.layer.weight.shape == (256, 6)


class Featured(nn.Module):
    """A custom critic for VAE/GAN: two layers, and what is between them."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(256, 5), nn.Tanh())
        self.head = nn.Linear(5, 1)

    def with_features(self, x):
        features = self.body(x)
        return self.head(features), features


def test_a_vaegan_with_a_custom_critic(tiny, tmp_path):
    run, networks = str(tmp_path / "run"), {"critic": Featured()}
    model = avae.train("digits", **tiny, framework="vaegan", out=run, networks=networks)
    again = avae.load(run, device="cpu", networks={"critic": Featured()})
    assert torch.equal(again.sample(3), model.sample(3))
    plain = nn.Module()  # with the same weights
    plain.body, plain.head = Featured().body, Featured().head
    for critic, says in ((nn.Sequential(nn.Linear(256, 1)), "does not fit"), (plain, "has no with_features")):
        with pytest.raises(avae.UserError, match=says):
            avae.load(run, networks={"critic": critic})


def test_a_network_that_does_not_fit_is_refused_before_anything_is_written(tiny, tmp_path):
    encoder = GaussianEncoder(Down(16, 1, 1, 4), 4)
    with pytest.raises(avae.UserError, match="bigan's encoder takes x"):
        avae.train(
            "digits", **tiny, framework="bigan", out=str(tmp_path / "run"), networks={"encoder": encoder}
        )
    assert not (tmp_path / "run").exists()


def test_a_network_the_framework_has_not_is_refused(tiny, tmp_path):
    with pytest.raises(avae.UserError, match="vae has no 'generator'; it has encoder, decoder"):
        avae.train(
            "digits",
            **tiny,
            framework="vae",
            out=str(tmp_path / "run"),
            networks={"generator": Linear()},
        )
    assert not (tmp_path / "run").exists()


def test_a_setting_no_run_has_is_refused(tmp_path):
    with pytest.raises(avae.UserError, match="perhaps you meant 'steps'"):
        avae.train("digits", stepps=3, out=str(tmp_path / "run"))
    with pytest.raises(avae.UserError, match="perhaps you meant 'demo'"):
        avae.train("demoo")


@pytest.mark.parametrize(
    ("framework", "drawer"),
    [("gan", "generator"), ("vaegan", "decoder"), ("bigan", "generator"), ("avae", "generator")],
)
def test_an_average_of_the_drawer_is_saved(framework, drawer, tiny, tmp_path):
    """An average that hardly moves stays where the first step has brought the weights."""
    settings = tiny | {"framework": framework, "learning_rate_decay": 1.0}
    first = avae.train("digits", **settings | {"steps": 1}, out=str(tmp_path / "first"))
    plain = avae.train("digits", **settings | {"steps": 3}, out=str(tmp_path / "plain"))
    averaged = avae.train(
        "digits", **settings | {"steps": 3}, ema_half_life=10**15, out=str(tmp_path / "averaged")
    )
    for name, network in averaged.framework.networks.items():
        expected = first if name == drawer else plain
        for key, value in network.named_parameters():
            other = dict(expected.framework.networks[name].named_parameters())[key]
            assert_close(value, other, atol=1e-6, rtol=0, msg=f"{name}.{key}")


@pytest.mark.parametrize(
    ("framework", "source", "settings", "taken", "anew"),
    [
        ("gan", "digits-gan", {}, ["generator", "critic"], []),
        ("gan", "digits-bigan", {}, ["generator"], ["critic"]),
        ("vaegan", "digits-vae", {}, ["encoder", "decoder"], ["critic"]),
        ("vaegan", "digits-avae", {}, ["encoder", "decoder", "critic"], []),
        ("bigan", "digits-bigan", {}, ["generator", "critic", "encoder"], []),
        ("bigan", "digits-gan", {}, ["generator"], ["critic", "encoder"]),
        ("avae", "digits-gan", {"xi_dim": 0}, ["generator", "critic"], ["encoder", "decoder"]),
    ],
)
def test_init_from_takes_what_is_of_the_same_kind_and_says_so(
    framework, source, settings, taken, anew, runs, tiny, tmp_path, messages
):
    def trained(name, **more):
        still = tiny | {"steps": 1, "learning_rate": 1e-30, "framework": framework} | settings
        return avae.train("digits", **still, **more, out=str(tmp_path / name)).framework.networks

    other = avae.load(runs[source], device="cpu").framework.networks
    found = trained("run", init_from=str(runs[source]))
    assert f"initial weights of {' and '.join(taken)} from {runs[source]}" in messages()
    plain = trained("plain")
    for name, expected in [(name, other) for name in taken] + [(name, plain) for name in anew]:
        for key, value in expected[name].named_parameters():
            assert_close(dict(found[name].named_parameters())[key], value, atol=1e-20, rtol=0, msg=key)


@pytest.mark.parametrize(("framework", "source"), [("gan", "digits-vae"), ("bigan", "digits-vae")])
def test_init_from_a_model_that_has_nothing_to_take_is_refused(framework, source, runs, tiny, tmp_path):
    """A GAN shares no name with a VAE; a BiGAN's encoder is of another kind than the VAE's."""
    with pytest.raises(avae.UserError, match=f"init_from=.*{source}: it has no .*generator.*"):
        avae.train(
            "digits", **tiny, framework=framework, init_from=str(runs[source]), out=str(tmp_path / "run")
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("own", [False, True])
def test_init_from_a_vae_copies_encoder_and_decoder(own, runs, tiny, tmp_path):
    """With a learning rate that moves no weight, what is saved are the initial weights."""
    networks = {"generator": Linear()} if own else None
    model = avae.train(
        "digits",
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
    with pytest.raises(avae.UserError, match=r"init_from=.*another shape"):
        avae.train(
            "digits", **tiny | {"width": 3}, init_from=str(runs["digits-vae"]), out=str(tmp_path / "run")
        )
    assert not (tmp_path / "run").exists()
