"""`avae prior`, end to end, on tiny models of digits and of points."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import avae
from avae.safetensors_io import load_tensors


@pytest.fixture
def run(runs, tmp_path):
    """A copy of the VAE's run."""
    shutil.copytree(runs["digits-vae"], tmp_path / "run")
    return tmp_path / "run"


def test_a_prior_is_replaced_when_asked(cli, run, contents):
    before, old = contents(run), avae.load(run, device="cpu")
    asked = ("prior", run, "--kind", "gaussian")
    cli(*asked).refused(str(run), "parzen", "--overwrite")
    assert contents(run) == before
    said = cli(*asked, "--overwrite")
    assert said.code == 0, said
    for words in ("held-out codes", "under N(0, I)", "energy distance"):
        assert words in said.out
    assert Image.open(run / "prior.png").size[0] > 100
    new = avae.load(run, device="cpu")
    assert new.prior.kind == "gaussian"
    assert torch.equal(new.sample(3, prior="standard"), old.sample(3, prior="standard"))
    assert not torch.equal(new.sample(3), old.sample(3))
    # Weights and everything else stay as they are.
    weights, expected = (model.framework.state_dict() for model in (new, old))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    changed = {name for name, found in contents(run).items() if found[1] != before.get(name, (0, b""))[1]}
    assert changed == {"model/model.safetensors", "prior.png"}


def test_a_prior_of_the_same_seed_is_that_of_training(cli, run):
    before, _ = load_tensors(run / "model/model.safetensors")
    assert cli("prior", run, "--overwrite").code == 0
    after, _ = load_tensors(run / "model/model.safetensors")
    # The run's sigma was set by hand after training, so the codes differ, and little else.
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("prior."))


def test_a_prior_can_go_to_another_folder(cli, run, contents, tmp_path):
    before, out = contents(run), tmp_path / "shared"
    said = cli("prior", run, "--kind", "flow", "--out", out)
    assert said.code == 0, said
    assert contents(run) == before
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "config.json", "prior.png"}
    assert avae.load(out, device="cpu").prior.kind == "flow"
    cli("prior", run, "--out", out).refused(str(out), "--overwrite")
    shutil.copytree(run / "model", run / "best")
    for folder in (run, run / "model", run / "best"):
        cli("prior", run, "--out", folder, "--overwrite").refused(f"--out {folder} belongs to a run")
    cli("prior", out, "--overwrite").refused("--data")


def test_a_prior_of_points(cli, runs, small_toy, tmp_path):
    said = cli("prior", runs["toy-avae"], "--kind", "two-stage", "--out", tmp_path / "model")
    assert said.code == 0, said
    assert "no likelihood in closed form" in said.out
    assert Image.open(tmp_path / "model/prior.png").size[0] > 100


@pytest.fixture(autouse=True)
def short_descent(monkeypatch):
    monkeypatch.setattr("avae.priors.early_stopping.STEPS", 20)


@pytest.mark.parametrize("name", ["digits-gan", "toy-gan"])
def test_a_gan_has_no_codes_to_fit_a_prior_to(name, cli, runs, contents):
    before = contents(runs[name])
    cli("prior", runs[name]).refused("a GAN has no encoder", "N(0, I)")
    assert contents(runs[name]) == before


def test_samples_come_from_the_prior_asked_for(cli, run, tmp_path):
    pictures = {}
    for prior in ("standard", "learned"):
        said = cli("sample", run, "--count", 2, "--prior", prior, "--out", tmp_path / prior)
        assert said.code == 0, said
        assert f"from the prior {'standard' if prior == 'standard' else 'parzen'}" in said.out
        pictures[prior] = np.asarray(Image.open(tmp_path / prior / "00001.png"))
    assert not np.array_equal(pictures["standard"], pictures["learned"])


def test_training_without_a_prior(cli, tiny, tmp_path):
    avae.train("demo", **tiny, framework="vae", prior="standard", out=str(tmp_path / "run"))
    assert not avae.load(tmp_path / "run", device="cpu").prior.is_learned
    cli("sample", tmp_path / "run", "--prior", "learned").refused("no learned prior", "avae prior")


def test_a_run_of_before_there_were_priors_is_read(cli, run):
    config = json.loads((run / "config.json").read_text())
    del config["config"]["prior"]
    (run / "config.json").write_text(json.dumps(config))
    assert cli("prior", run, "--overwrite").code == 0


def test_too_few_pictures_for_a_prior_are_noted(tiny, pictures, tmp_path, messages):
    """12 pictures: the run ends well, with N(0, I)."""
    model = avae.train("folder", **tiny | {"batch_size": 4}, data=pictures, out=str(tmp_path / "run"))
    assert model.prior.kind == "standard"
    assert "note: samples are drawn from N(0, I): 11 codes are too few" in "\n".join(messages())
