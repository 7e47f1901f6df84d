"""Runs on other representations than a VAE, through the public face."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import avae
from avae.safetensors_io import load_tensors
from picture_files import coloured_squares, folder

CODE = """
import torch
from torch import nn


def features():
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 5, 4)
    return nn.Sequential(convolution, nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
"""

SETTINGS = {
    "steps": 8,
    "width": 2,
    "xi_dim": 2,
    "batch_size": 8,
    "checkpoint_every": 4,
    "log_every": 2,
    "device": "cpu",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def pictures(once):
    return once("coloured", lambda path: folder(path, coloured_squares()))


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def train(pictures, tmp_path):
    def train(name, **settings):
        settings = {"data": pictures, "out": tmp_path / name, "progress": False} | SETTINGS | settings
        return avae.train("folder", **settings)

    return train


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# A run


@pytest.mark.parametrize("framework", ["vae", "avae"])
def test_stored_codes_of_a_run_stay_valid_to_the_bit(framework, train, pictures, tmp_path, cli):
    train("first", framework=framework, code_dim=4)
    weights = tmp_path / "first/model/model.safetensors"
    before, codes = checksum(weights), tmp_path / "codes.npz"
    assert cli("encode", tmp_path / "first", pictures, "--out", codes).code == 0
    flags = {"out": tmp_path / "bolted", "data": pictures} | SETTINGS
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
    said = cli("train", "folder", "--representation", f"run:{tmp_path / 'first'}", *flags)
    assert said.code == 0, said.err
    again = tmp_path / "again.npz"
    assert cli("encode", tmp_path / "bolted", pictures, "--out", again).code == 0
    with np.load(codes) as old, np.load(again) as new:
        assert old["codes"].tobytes() == new["codes"].tobytes()
        stored = old["codes"]
    assert checksum(weights) == before
    first, bolted = (avae.load(tmp_path / name, device="cpu") for name in ("first", "bolted"))
    assert torch.equal(bolted.decode(stored, realism=0), first.decode(stored, **zero(framework)))
    assert torch.equal(bolted.decode(stored), bolted.reconstruct(pictures))
    assert not torch.equal(bolted.decode(stored), bolted.decode(stored, realism=0))


def zero(framework):
    return {"realism": 0} if framework == "avae" else {}


def test_a_generator_starts_from_the_decoder_of_a_run_of_the_same_layers(train, tmp_path, messages):
    train("first", framework="vae", code_dim=4)
    train("same", representation=f"run:{tmp_path / 'first'}")
    assert not any("random weights" in message for message in messages())
    train("wider", representation=f"run:{tmp_path / 'first'}", width=4)
    assert any("random weights" in message for message in messages())


def test_a_run_of_other_pictures_or_without_a_vae_is_refused(train, code, tmp_path):
    train("small", code_dim=4, fit="pad")
    with pytest.raises(avae.UserError, match=r"run:.*small: .* pass fit= pad"):
        train("other", representation=f"run:{tmp_path / 'small'}")
    train("frozen", representation=f"{code}:features")
    for name in ("frozen", "bigan", "gan", "ian", "svae"):
        if name != "frozen":
            train(name, framework=name)
        with pytest.raises(avae.UserError, match=r"has an encoder for others|loading does not run"):
            train("other", representation=f"run:{tmp_path / name}")
    with pytest.raises(avae.UserError, match="nowhere"):
        train("other", representation=f"run:{tmp_path / 'nowhere'}")


# Code


def test_features_of_code_become_pictures(train, pictures, code, tmp_path, cli):
    train("run", representation=f"{code}:features", code_dim=5)
    run, named = tmp_path / "run", ["--representation", f"{code}:features"]
    said = cli("encode", run, pictures, "--raw", "--out", tmp_path / "raw.npz", *named)
    assert said.code == 0, said.err
    namespace: dict = {}
    exec(CODE, namespace)
    features = namespace["features"]().eval()
    model = avae.load(run, device="cpu", representation=f"{code}:features")
    items = model.to_items(pictures)
    with torch.inference_mode():
        maps = features(items).numpy()
    with np.load(tmp_path / "raw.npz") as raw:
        np.testing.assert_allclose(raw["codes"], maps.reshape(len(maps), -1), rtol=1e-5, atol=1e-6)
    np.save(tmp_path / "features.npy", maps)  # as another program stores them
    said = cli("decode", run, tmp_path / "features.npy", "--raw", "--out", tmp_path / "drawn", *named)
    assert said.code == 0, said.err
    torch.testing.assert_close(model.decode(maps, raw=True), model.decode(model.encode(items)))
    codes = model.encode(items)
    assert codes.shape[1] == model.config.code_dim == 5
    with pytest.raises(avae.UserError, match=r"features of shape .* do not fit"):
        model.decode(maps[:, :3], raw=True)
    with pytest.raises(avae.UserError, match="raw=True"):
        model.encode(items, raw=True, sample=True)


@pytest.mark.parametrize(
    "verb", ["encode", "decode", "sample", "reconstruct", "interpolate", "evaluate", "prior"]
)
def test_every_verb_asks_for_the_code_again(verb, train, pictures, code, tmp_path, cli):
    train("run", representation=f"{code}:features", code_dim=3)
    np.save(tmp_path / "codes.npy", np.zeros((2, 3)))
    picture = next(pictures.rglob("*.png"))
    arguments = {
        "decode": [tmp_path / "codes.npy"],
        "encode": [pictures],
        "reconstruct": [pictures],
        "interpolate": [picture, picture],
        "evaluate": ["--samples", 20],
        "prior": ["--overwrite"],
    }.get(verb, [])
    said = cli(verb, tmp_path / "run", *arguments)
    assert said.code == 2
    assert "code.py:features" in said.err
    assert "--representation" in said.err
    said = cli(verb, tmp_path / "run", *arguments, "--representation", f"{code}:features")
    assert said.code == 0, said.err


def test_code_that_changed_is_refused(train, code, tmp_path):
    train("run", representation=f"{code}:features")
    code.write_text(f"{CODE}\n# changed\n")
    with pytest.raises(avae.UserError, match="differs"):
        avae.load(tmp_path / "run", representation=f"{code}:features")
    with pytest.raises(avae.UserError, match="differs"):
        train("run", representation=f"{code}:features", resume=True, steps=10)


def test_a_model_names_no_path_and_no_code_to_run(train, code, tmp_path):
    train("run", representation=f"vae+{code}:features", code_dim=3)
    text = (tmp_path / "run/model/config.json").read_text()
    assert str(tmp_path) not in text
    shutil.copytree(tmp_path / "run/model", tmp_path / "model")
    with pytest.raises(avae.UserError, match="loading does not run"):
        avae.load(tmp_path / "model")
    model = avae.load(tmp_path / "model", representation=f"{code}:features")
    assert model.config.representation == "vae+code.py:features"
    assert "vae+code.py:features" in repr(model)


def test_a_module_from_python(train, tmp_path, pictures):
    class Means(nn.Module):
        def forward(self, x):
            return nn.functional.adaptive_avg_pool2d(x, 2)

    trained = train("run", representation=Means())
    with pytest.raises(avae.UserError, match="Means"):
        avae.load(tmp_path / "run")
    model = avae.load(tmp_path / "run", device="cpu", representation=Means())
    assert torch.equal(model.encode(pictures), trained.encode(pictures))


# Learned and joined


def test_joined_parts_learn_and_are_measured_apart(train, code, tmp_path, cli, pictures):
    train("run", representation=f"vae+classifier+{code}:features", code_dim=3)
    line = json.loads((tmp_path / "run/stats.jsonl").read_text().splitlines()[0])
    assert {"kl", "cross_entropy", "accuracy", "classifier_kl", "mse"} <= line.keys()
    model = avae.load(tmp_path / "run", device="cpu", representation=f"{code}:features")
    assert {name: d.stop - d.start for name, d in model.framework.code_parts.items()} == {
        "vae": 3,
        "classifier": 3,
        "code": 3,
    }
    metrics = avae.evaluate(model, pictures, samples=20, features=None, progress=False)["metrics"]
    parts = [metrics[f"latent_consistency_reconstructed_{name}"] for name in ("vae", "classifier", "code")]
    assert metrics["latent_consistency_reconstructed"] == pytest.approx(np.mean(parts), rel=1e-5)
    described = json.loads((tmp_path / "run/model/config.json").read_text())["representation"]
    assert [part["kind"] for part in described] == ["vae", "classifier", "frozen"]
    assert described[1]["classes"] == ["blue", "green", "red"]


@pytest.mark.parametrize("representation", ["classifier", "vae+classifier", "CODE", "vae+CODE", "run:RUN"])
def test_a_resumed_run_is_an_uninterrupted_one(representation, train, code, tmp_path):
    """To the bit; checkpoints hold no frozen weights."""
    if "RUN" in representation:
        train("base", code_dim=3)
    text = representation.replace("CODE", f"{code}:features").replace("RUN", str(tmp_path / "base"))
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    train("whole", representation=text, code_dim=3)

    def stop(line):
        if line["step"] == 6:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train("parted", representation=text, code_dim=3, callback=stop)
    named = {"representation": text} if "CODE" in representation else {}
    avae.train("folder", out=parted, resume=True, progress=False, **named)
    first, second = (load_tensors(run / "model/model.safetensors")[0] for run in (whole, parted))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    checkpoint = load_tensors(sorted((parted / "state").glob("*.safetensors"))[-1])[0]
    frozen = [key for key in checkpoint if ".features.module." in key or "encoder.module" in key]
    assert not frozen


def test_a_resumed_run_must_name_its_code_again(train, code, tmp_path):
    train("run", representation=f"{code}:features")
    with pytest.raises(avae.UserError, match=r"representation= is missing: .*code\.py:features"):
        avae.train("folder", out=tmp_path / "run", resume=True, steps=10, progress=False)


def test_no_decoder(train, tmp_path):
    model = train("run", representation="classifier", decoder=False, code_dim=3)
    assert "decoder" not in model.networks
    assert list(model.framework.image_networks) == ["generator"]
    train("base", framework="vae", code_dim=3)
    model = train("bolted", representation=f"run:{tmp_path / 'base'}", decoder=False)
    assert "decoder" not in model.networks


@pytest.mark.parametrize("representation", ["classifier", "vae+CODE"])
def test_a_dry_run_counts_all_networks(representation, pictures, code, tmp_path, cli):
    text = representation.replace("CODE", f"{code}:features")
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SETTINGS.items()]
    said = cli("train", "folder", "--data", pictures, "--representation", text, "--dry-run", *flags)
    assert said.code == 0, said.err
    assert re.search("head" if "classifier" in text else r"encoder", said.out + said.err)


def test_double_precision(train, code):
    train("run", representation=f"vae+{code}:features", precision="fp64", code_dim=3)


def test_initial_weights_leave_frozen_parts_alone(train, tmp_path):
    """A joined encoder learns, but its frozen part stays that of the run that is named."""
    for name, seed in (("x", 0), ("y", 5)):
        train(name, framework="vae", code_dim=3, seed=seed)
    train("on-x", representation=f"vae+run:{tmp_path / 'x'}", code_dim=3)
    model = train(
        "on-y", representation=f"vae+run:{tmp_path / 'y'}", code_dim=3, init_from=tmp_path / "on-x", steps=1
    )
    frozen = model.encoder.encoders["y"].module.state_dict()
    own = avae.load(tmp_path / "y", device="cpu").encoder.state_dict()
    assert all(torch.equal(frozen[key], value) for key, value in own.items())


def test_initial_weights_of_a_generator_are_kept(train, tmp_path):
    for name, seed in (("a", 0), ("b", 5)):
        train(name, framework="vae", code_dim=3, seed=seed)
    first = train("on-a", representation=f"run:{tmp_path / 'a'}")
    settings = {"representation": f"run:{tmp_path / 'b'}", "init_from": tmp_path / "on-a"}
    then = train("on-b", **settings, steps=1, learning_rate=1e-9)
    name, before = next(iter(first.generator.named_parameters()))
    torch.testing.assert_close(then.generator.get_parameter(name), before, atol=1e-5, rtol=0)


def test_the_same_command_resumes_joined_codes(train, tmp_path):
    train("run", representation="vae+classifier", code_dim=3, steps=4)
    model = train("run", representation="vae+classifier", code_dim=3, steps=8, resume=True)
    assert model.config.code_dim == 6


def test_a_resumed_run_has_the_frozen_network_that_it_began_with(train, tmp_path):
    train("base", framework="vae", code_dim=3)
    train("run", representation=f"run:{tmp_path / 'base'}", steps=4)
    shutil.rmtree(tmp_path / "base")
    before = avae.load(tmp_path / "run", device="cpu").encoder.state_dict()
    avae.train("folder", out=tmp_path / "run", resume=True, steps=8, progress=False)
    after = avae.load(tmp_path / "run", device="cpu").encoder.state_dict()
    assert all(torch.equal(before[key], value) for key, value in after.items())


def test_a_run_folder_makes_no_library_look_anything_up(train, tmp_path):
    """Before its first checkpoint, a network must be opened, so its user names it."""
    train("run", steps=4)
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["config"]["representation"] = "timm:stranger/tracker"
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    shutil.rmtree(tmp_path / "run/state")
    with pytest.raises(avae.UserError, match="representation= is missing"):
        avae.train("folder", out=tmp_path / "run", resume=True, progress=False)


@pytest.mark.parametrize("name", ["float", "posterior", "a.b", "a+b"])
def test_any_folder_may_hold_a_run(name, train, tmp_path):
    train(name, framework="vae", code_dim=3)
    model = train("joined", representation=f"vae+run:{tmp_path / name}", code_dim=3)
    assert len(model.framework.code_parts) == 2


def test_code_in_a_folder_with_a_plus(train, tmp_path):
    path = tmp_path / "a+b" / "code.py"
    path.parent.mkdir()
    path.write_text(CODE)
    train("run", representation=f"vae+{path}:features", code_dim=3)


def test_features_that_are_not_finite(train, pictures, tmp_path):
    class Logarithm(nn.Module):
        def forward(self, x):
            return nn.functional.adaptive_avg_pool2d(x + 1, 2).log()

    from PIL import Image

    shutil.copytree(pictures, tmp_path / "dark")
    Image.new("RGB", (16, 16)).save(tmp_path / "dark/red/black.png")
    with pytest.raises(avae.UserError, match="NaN or infinity"):
        train("run", representation=Logarithm(), data=tmp_path / "dark", test_folder=None)


@pytest.mark.parametrize("given", [nn.Linear, 3, None])
def test_what_is_no_representation(given, train):
    with pytest.raises(avae.UserError, match=r"pass a text, as representation= takes"):
        train("run", representation=given)


def test_a_representation_that_a_model_does_not_have(train, tmp_path, code):
    train("run", steps=1)
    with pytest.raises(avae.UserError, match="none of its own"):
        avae.load(tmp_path / "run", representation=f"{code}:features")
    with pytest.raises(avae.UserError, match=r"pass FILE\.py:NAME"):
        avae.load(tmp_path / "run", representation=nn.Linear)


# Errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"representation": "vea"}, "'vea' is no representation, perhaps you meant 'vae'"),
        ({"representation": "vae+vae"}, "vae occurs twice"),
        ({"representation": "classifier", "framework": "vae"}, "framework= avae"),
        ({"representation": "module:X", "latent_codes": "prior", "spread": 0}, "latent_codes= pairs"),
        ({"representation": "run:nowhere"}, "nowhere is no run or model folder"),
        ({"representation": "nowhere.py:f"}, "nowhere.py"),
        ({"representation_weights": "w.pth"}, "needs none"),
        ({"classifier_beta": 0.1}, "has no use for it"),
        ({"representation": "classifier", "target_kl": 3.0}, "has no use for it"),
        ({"decoder": False}, "a VAE learns with its decoder"),
    ],
)
def test_settings_that_do_not_fit(settings, message, train):
    with pytest.raises(avae.UserError) as raised:
        train("run", **settings)
    assert message in str(raised.value)


def test_a_classifier_needs_labels(train, tmp_path):
    flat = {f"{name.replace('/', '-')}": data for name, data in coloured_squares(count=10).items()}
    with pytest.raises(avae.UserError, match="has no labels; put the pictures of each class in a folder"):
        train("run", representation="classifier", data=folder(tmp_path / "flat", flat))
