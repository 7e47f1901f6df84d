"""A model on disk: whole, or refused."""

import dataclasses
import json
import shutil
import subprocess
import sys

import pytest
import torch
from made_items import NAMES, items_for

import avae
from avae.recipes.config import fields_with
from avae.recipes.facts import Fact
from avae.recipes.saved_run import read_run


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_comes_back_exactly(name, runs, tmp_path):
    model = avae.load(runs[name], device="cpu")
    model.save(tmp_path / "shared")
    again = avae.load(str(tmp_path / "shared"), device="cpu")
    state, expected = again.framework.state_dict(), model.framework.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert torch.equal(again.sample(3, seed=1), model.sample(3, seed=1))
    if model.framework.has_encoder:
        items = items_for(model, 3)
        assert torch.equal(again.reconstruct(items), model.reconstruct(items))
    assert again.data == model.data
    assert not again.framework.training
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {"model.safetensors", "config.json"}


def test_a_run_folder_and_its_model_folder_load_the_same(runs, model):
    other = avae.load(runs["digits-avae"] / "model", device="cpu")
    assert torch.equal(other.sample(2), model.sample(2))
    assert model.config.recipe == "digits"


def test_loading_imports_no_compiler(runs):
    """torch._dynamo takes longer than the whole loading, and 160 MiB."""
    code = """
import dataclasses, sys, avae
from avae.recipes.build import FRAMEWORKS, NETWORK_FAMILIES, expected_tensors
from avae.recipes.registry import digits, toy
from avae.recipes.resolve import with_defaults
avae.load(sys.argv[1], device="cpu")
for network, family in NETWORK_FAMILIES.items():
    recipe = digits() if family.items == "images" else toy()
    for framework in FRAMEWORKS:
        config = dataclasses.replace(recipe, network=network, framework=framework, size=16, channels=3)
        expected_tensors(with_defaults(config), {})
        assert "torch._dynamo" not in sys.modules, (network, framework)
"""
    done = subprocess.run([sys.executable, "-c", code, runs["digits-avae"]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_loaded_model_has_the_config_of_its_run(runs, model, tmp_path):
    run = runs["digits-avae"]
    assert model.config == read_run(run).config
    model.save(tmp_path / "shared")
    for folder in (run / "model", tmp_path / "shared"):
        config = avae.load(folder, device="cpu").config
        assert dataclasses.replace(config, data=model.config.data, out=model.config.out) == model.config
        assert str(run) not in (folder / "config.json").read_text()
        assert config.out == ""
    assert repr(model) == (
        "<avae.Model: AVAE of 16 px grey images, code_dim 4, 8 steps on digits, prior parzen, on cpu>"
    )


def test_a_model_of_before_has_its_architecture_alone(model, tmp_path):
    model.save(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    config = described.pop("config")
    described["recipe"] = config["recipe"]
    described["architecture"] = {name: config[name] for name in fields_with(Fact.ARCHITECTURE)}
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert torch.equal(avae.load(tmp_path, device="cpu").sample(2), model.sample(2))


@pytest.mark.parametrize("harm", ["missing", "cut", "empty", "bit", "not json", "no keys", "unknown"])
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
    else:
        described["config"]["depth"] = 3
        config.write_text(json.dumps(described))
    with pytest.raises(avae.UserError, match=str(tmp_path)):
        avae.load(folder)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("config", "framework", "gans"),
        ("config", "size", None),
        ("config", "size", "16"),
        ("config", "size", [16]),
        ("config", "channels", None),
        ("config", "channels", 1.0),
        ("config", "width", 2.5),
        ("config", "code_dim", None),
        ("config", "xi_dim", "2"),
        ("data", "name", None),
        ("data", "checksum", 3),
    ],
)
def test_values_no_model_has_are_refused(part, name, value, runs, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(runs["digits-avae"] / "model", folder)
    described = json.loads((folder / "config.json").read_text())
    described[part][name] = value
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(avae.UserError, match=r"config\.json is damaged"):
        avae.load(folder)
    del described[part][name]
    if part == "data":
        (folder / "config.json").write_text(json.dumps(described))
        with pytest.raises(avae.UserError, match=rf"config\.json is damaged.*`{name}`"):
            avae.load(folder)


def test_weights_of_another_framework_are_refused(runs, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(runs["digits-avae"] / "model", folder)
    described = json.loads((folder / "config.json").read_text())
    for framework in ("vae", "gan", "vaegan", "bigan"):
        described["config"]["framework"] = framework
        (folder / "config.json").write_text(json.dumps(described))
        with pytest.raises(avae.UserError, match=r"model\.safetensors does not fit its config\.json"):
            avae.load(folder)


@pytest.mark.parametrize("channels", [0, -1])
def test_points_without_features_are_refused(channels, runs, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(runs["toy-avae"] / "model", folder)
    described = json.loads((folder / "config.json").read_text())
    described["config"]["channels"] = channels
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(avae.UserError, match=r"config\.json is damaged"):
        avae.load(folder)


def test_loading_leaves_the_randomness_of_the_caller_alone(runs, monkeypatch):
    seeded = []
    monkeypatch.setattr("torch.cuda.manual_seed_all", seeded.append)
    before = torch.get_rng_state()
    avae.load(runs["digits-avae"], device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert seeded == []


def test_folders_without_a_model_are_refused(tmp_path, runs):
    for path in (tmp_path, tmp_path / "missing", runs["digits-avae"] / "stats.jsonl"):
        with pytest.raises(avae.UserError, match="no run or model folder"):
            avae.load(path)
    shutil.copy(runs["digits-avae"] / "config.json", tmp_path)
    with pytest.raises(avae.UserError, match="no model yet"):
        avae.load(tmp_path)
    with pytest.raises(avae.UserError, match="device=tpu"):
        avae.load(runs["digits-avae"], device="tpu")
