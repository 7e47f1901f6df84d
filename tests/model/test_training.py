"""`avae.train`: networks of one's own, settings, initial weights."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import avae
from avae.networks.dcgan import Down, Up
from avae.networks.gaussian import GaussianEncoder
from avae.tensorfile import load_tensors


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
