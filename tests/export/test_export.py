"""Exported networks compute what the model computes, in onnxruntime."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

import avae
from avae.data.dataset import as_images
from avae.data.sources.digits import digits_data
from avae.export.networks import exported_networks
from avae.export.to_onnx import TOLERANCE, compare, convert
from avae.model import Model
from avae.recipes.build import build_framework
from avae.recipes.config import Config
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.resolve import with_defaults
from command_line import as_flags

CASES = [
    *(("mlp", framework) for framework in FRAMEWORKS),
    *((network, "avae") for network in NETWORK_FAMILIES if network != "mlp"),
]
EXAMPLE = Path(__file__).parents[2] / "examples/reconstruct_onnx.py"
DATA = {"name": "none", "checksum": "sha256:0", "preparation": None, "train": 2, "test": 2, "rejected": 0}
LOG_SIGMA = (-2.0, -1.0, -0.5, 0.0)
"""Dimensions that say much, some, little and nothing."""


def made(network: str, framework: str, **settings: object) -> Model:
    """A model with random weights of a size that no output ignores, and random batch-norm statistics."""
    points = network == "mlp"
    shape = {"channels": 2} if points else {"size": 16, "channels": 1}
    config = Config(recipe="digits", data="d", out="o", steps=1, framework=framework, network=network)
    settings = {"width": 4, "code_dim": 4, "xi_dim": 3 * (framework in ("avae", "idgan"))} | shape | settings
    resolved = with_defaults(Config(**vars(config) | settings))
    built = build_framework(resolved)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) and network != "stylegan2":
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, 1.5 * fan_in**-0.5, generator=generator)
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            if hasattr(module, "strength"):
                module.strength.fill_(0.3)
        if built.sigma() is not None:
            built.encoder.log_sigma.copy_(torch.tensor(LOG_SIGMA))
    return Model(built, resolved, DATA)


def sessions(folder: Path) -> dict[str, onnxruntime.InferenceSession]:
    return {path.stem: onnxruntime.InferenceSession(path) for path in folder.glob("*.onnx")}


def call(session: onnxruntime.InferenceSession, **arrays: torch.Tensor) -> list[np.ndarray]:
    return session.run(None, {port.name: arrays[port.name].numpy() for port in session.get_inputs()})


def noise_of(model: Model, rows: int) -> dict[str, torch.Tensor]:
    """The noise of a model's seed 3, under the names of the files."""
    noise = model.noise(range(rows), 3)
    return {"noise": noise["z"], "xi": noise.get("xi", torch.zeros(rows, 0))}


def close(ours: torch.Tensor, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert ours.std() > 0.02, "so small that anything agrees"
    assert np.abs(ours.numpy() - theirs).max() <= TOLERANCE * max(1, float(ours.abs().max()))


@pytest.mark.parametrize(("network", "framework"), CASES)
def test_each_network_computes_what_the_model_computes(network, framework, cli, tmp_path):
    model = made(network, framework)
    model.save(tmp_path / "model")
    said = cli("export", tmp_path / "model", "--out", tmp_path / "onnx")
    assert said.code == 0, said.err
    files = sessions(tmp_path / "onnx")
    assert files.keys() == model.networks.keys()
    item = "image" if model.is_image_model else "point"
    for rows in (1, 2, 5):
        generator = torch.Generator().manual_seed(rows)
        x = torch.rand(rows, *model.item_shape, generator=generator) * 2 - 1
        code = torch.randn(rows, 4, generator=generator)
        noise = noise_of(model, rows)
        if "encoder" in files:
            found = call(files["encoder"], **{item: x})
            close(model.encode(x), found[0])
            if model.framework.sigma() is not None:
                assert np.allclose(model.posterior(x).std.numpy(), found[1])
        for name, realism in model.framework.image_networks.items():
            close(model.decode(code, realism=realism, seed=3), call(files[name], code=code, **noise)[0])
        if "critic" in files:
            seen = (x, code) if "z" in model.framework.contracts["critic"].takes else (x,)
            with torch.no_grad():
                logits = model.framework.critic_logits(*seen)
            (found,) = call(files["critic"], code=code, **{item: x})
            assert np.abs(found - logits.numpy()).max() <= TOLERANCE * max(1, float(logits.abs().max()))
        if "pair_critic" in files:
            logits = model.networks["pair_critic"](x, -x).detach().flatten()
            assert np.allclose(call(files["pair_critic"], other=-x, **{item: x})[0], logits, atol=TOLERANCE)
    content = json.loads((tmp_path / "onnx/preparation.json").read_text())
    assert content["networks"].keys() == files.keys()
    assert not content["missing"].keys() & files.keys()
    if framework == "gan":
        assert "cannot" not in said.err
        assert "no encoder: a GAN has none" in said.out
        assert "encode" in content["missing"]["encoder"]


def test_a_conditional_model_takes_the_number_of_a_class(cli, tmp_path):
    model = made("dcgan", "avae", condition="classes", classes={"cat": 3, "dog": 1}, critic="code")
    with torch.no_grad():
        model.networks["head"].weight.normal_(generator=torch.Generator().manual_seed(0))
    model.save(tmp_path / "model")
    assert cli("export", tmp_path / "model", "--out", tmp_path / "onnx").code == 0
    files = sessions(tmp_path / "onnx")
    assert json.loads((tmp_path / "onnx/preparation.json").read_text())["classes"] == ["cat", "dog"]
    code = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    label = torch.from_numpy(call(files["head"], code=code)[0].argmax(1))
    assert label.unique().tolist() == [0, 1]
    drawn = call(files["generator"], code=code, label=label, **noise_of(model, 8))[0]
    close(model.decode(code, realism=1, seed=3), drawn)
    other = call(files["generator"], code=code, label=1 - label, **noise_of(model, 8))[0]
    assert np.abs(other - drawn).max() > 0.01
    assert {port.name for port in files["critic"].get_inputs()} == {"image", "code", "noise", "label"}


def test_draws_of_the_prior_times_code_scale_are_samples(cli, tmp_path):
    model = made("mlp", "avae")
    model.save(tmp_path / "model")
    assert cli("export", tmp_path / "model", "--out", tmp_path / "onnx").code == 0
    content = json.loads((tmp_path / "onnx/preparation.json").read_text())
    assert content["prior"]["kind"] == "standard"
    assert content["informative"] == [True, True, True, False]
    noise = noise_of(model, 6)
    code = noise["noise"] * torch.tensor(content["code_scale"])
    close(model.sample(6, seed=3), call(sessions(tmp_path / "onnx")["generator"], code=code, **noise)[0])


def test_a_gaussian_prior_is_written_out(run, cli):
    assert cli("prior", "run", "--kind", "gaussian", "--overwrite").code == 0
    assert cli("export", "run").code == 0
    prior = json.loads(Path("run/onnx/preparation.json").read_text())["prior"]
    model = avae.load("run", device="cpu")
    noise = model.noise(range(5), 0)
    z = noise["z"].numpy() @ np.array(prior["factor"], np.float32).T + np.array(prior["mean"], np.float32)
    assert np.allclose(z, model.prior.codes(noise).numpy(), atol=1e-5)


def test_half_precision_halves_the_files(cli, tmp_path):
    made("dcgan", "vae", width=16).save(tmp_path / "model")
    for name, flags in (("single", ()), ("half", ("--fp16",))):
        said = cli("export", tmp_path / "model", "--out", tmp_path / name, *flags)
        assert said.code == 0, said.err
        assert said.out.count(".onnx") == 0
    single, half = (json.loads((tmp_path / n / "preparation.json").read_text()) for n in ("single", "half"))
    assert (single["precision"], half["precision"]) == ("fp32", "fp16")
    for name in ("encoder", "decoder"):
        assert half["networks"][name]["bytes"] < 0.6 * single["networks"][name]["bytes"]
        error = half["networks"][name]["largest_difference"]
        assert single["networks"][name]["largest_difference"] < error < 0.05
        assert f"{error:.1e}" in said.out
        (port,) = half["networks"][name]["inputs"]
        assert port["type"] == "float32"


def test_a_wrong_file_is_noticed(cli, tmp_path, monkeypatch):
    model = made("mlp", "gan")
    network = next(iter(exported_networks(model)))
    path = tmp_path / "generator.onnx"
    path.write_bytes(convert(network, half=False))
    assert compare(path, network).is_small
    with torch.no_grad():
        model.generator.layers[-1].bias += 0.01
    assert not compare(path, network).is_small
    model.save(tmp_path / "model")
    monkeypatch.setattr("avae.export.write.convert", lambda *_: path.read_bytes())
    cli("export", tmp_path / "model", "--out", tmp_path / "onnx").refused("generator", "differs from PyTorch")
    assert not (tmp_path / "onnx").exists()
    assert {entry.name for entry in tmp_path.iterdir()} == {"generator.onnx", "model"}


@pytest.mark.parametrize("flags", [(), ("--fp16",)])
def test_a_file_that_computes_nan_is_refused(flags, cli, tmp_path, monkeypatch):
    made("mlp", "vae").save(tmp_path / "model")
    with torch.no_grad():
        broken = made("mlp", "vae")
        broken.decoder.layers[-1].bias[0] = torch.nan
    networks = {network.name: network for network in exported_networks(broken)}
    monkeypatch.setattr(
        "avae.export.write.convert", lambda network, half: convert(networks[network.name], half)
    )
    cli("export", tmp_path / "model", "--out", tmp_path / "onnx", *flags).refused(
        "decoder", "NaN or infinity"
    )
    assert not (tmp_path / "onnx").exists()


def test_a_network_that_onnx_cannot_express_is_left_out(cli, pictures, tmp_path):
    code = tmp_path / "own.py"
    code.write_text(
        "import torch\n"
        "class Own(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.linear = torch.nn.Linear(256, 4)\n"
        "    def forward(self, x):\n"
        "        return torch.lgamma(self.linear(x.flatten(1)).abs() + 1)\n"
        "def make():\n"
        "    return Own()\n"
    )
    run, own = tmp_path / "run", f"{code}:make"
    flags = as_flags({"steps": 2, "width": 2, "xi_dim": 2, "code_dim": 2, "batch_size": 4, "device": "cpu"})
    train = ("train", "folder", "--data", pictures, "--out", run, "--representation", own, *flags)
    assert cli(*train).code == 0
    said = cli("export", run, "--representation", own)
    assert said.code == 1
    assert "encoder: cannot be exported" in said.err
    assert "lgamma" in said.err
    written = {path.name for path in (run / "onnx").iterdir() if not path.name.startswith(".")}
    assert written == {"decoder.onnx", "generator.onnx", "critic.onnx", "preparation.json"}
    assert "lgamma" in json.loads((run / "onnx/preparation.json").read_text())["missing"]["encoder"]


def test_nothing_is_replaced_unasked(run, cli, contents):
    model = made("mlp", "vae")
    model.save("vae")
    made("mlp", "gan").save("gan")
    assert cli("export", "vae", "--out", "new").code == 0
    before = contents(Path("new"))
    cli("export", "gan", "--out", "new").refused("new already exists", "--overwrite")
    assert contents(Path("new")) == before
    assert cli("export", "gan", "--out", "new", "--overwrite").code == 0
    assert {path.name for path in Path("new").glob("*.onnx")} == {"generator.onnx", "critic.onnx"}
    cli("export", "gan", "--out", "run", "--overwrite").refused("something other than files of avae")


def test_the_files_hold_no_paths_of_this_machine(runs, cli, tmp_path):
    run = runs["digits-avae"]
    assert cli("export", run, "--out", tmp_path / "onnx").code == 0
    here = (str(run), str(tmp_path), str(Path(avae.__file__).parent), sys.prefix, "site-packages")
    for path in (tmp_path / "onnx").iterdir():
        content = path.read_bytes()
        assert not [place for place in here if place.encode() in content]


def test_without_the_extra_the_remedy_is_named(runs, cli, monkeypatch, tmp_path):
    found = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    said = cli("export", runs["digits-avae"], "--out", tmp_path / "new")
    said.refused("onnxruntime", "pip install 'avae[onnx]'")


@pytest.mark.skipif(not EXAMPLE.exists(), reason="no examples/ beside these tests")
def test_the_example_needs_neither_torch_nor_avae(runs, cli, tmp_path):
    run = runs["digits-avae"]
    assert cli("export", run, "--out", tmp_path / "onnx").code == 0
    picture = tmp_path / "picture.png"
    digit = Image.fromarray(digits_data().test[4, ..., 0]).resize((50, 40))
    digit.save(picture)
    (tmp_path / "run.py").write_text(
        "import sys, runpy\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'avae', 'onnx'):\n"
        "            raise ImportError(f'{name} is hidden')\n"
        "sys.meta_path.insert(0, Block())\n"
        f"sys.argv = ['example', *sys.argv[1:]]\n"
        f"runpy.run_path({str(EXAMPLE)!r})\n"
    )
    command = [sys.executable, tmp_path / "run.py", tmp_path / "onnx", picture, tmp_path / "new.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    drawn = np.asarray(Image.open(tmp_path / "new.png")).astype(int)
    expected = as_images(avae.load(run, device="cpu").reconstruct(str(picture)))[0, ..., 0].astype(int)
    assert expected.std() > 1
    assert np.abs(drawn - expected).max() <= 1
    assert len([line for line in EXAMPLE.read_text().split('"""')[2].splitlines() if line.strip()]) <= 32
