"""Pictures from the features of pretrained networks, through the public command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from torchvision import models

import avae
from avae.pretrained.features import open_features
from avae.safetensors_io import load_tensors

FLAGS = {
    "steps": 4,
    "width": 2,
    "xi_dim": 2,
    "code_dim": 3,
    "batch_size": 4,
    "checkpoint_every": 4,
    "log_every": 2,
    "device": "cpu",
    "precision": "fp32",
}


def torchvision_network(folder: Path) -> list[object]:
    folder.mkdir()
    torch.save(models.get_model("shufflenet_v2_x0_5", weights=None).state_dict(), folder / "weights.pth")
    return ["torchvision:shufflenet_v2_x0_5", "--representation-weights", folder / "weights.pth"]


def timm_network(folder: Path) -> list[object]:
    network = timm.create_model("test_vit", img_size=32)
    timm.models.save_for_hf(network, folder, safe_serialization=True, data_config={"input_size": (3, 32, 32)})
    return [f"timm:{folder}"]


def autoencoder(folder: Path) -> list[object]:
    diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    ).save_pretrained(folder)
    return [f"hf:{folder}"]


def vit(folder: Path) -> list[object]:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=16,
        patch_size=8,
    )
    transformers.ViTModel(config).save_pretrained(folder)
    return [f"hf:{folder}"]


@pytest.fixture
def train(cli, pictures, tmp_path) -> Callable[..., None]:
    """Train a tiny run on a representation."""

    def train(*representation: object, **flags: object) -> None:
        named = [f"--{name.replace('_', '-')}={value}" for name, value in (FLAGS | flags).items()]
        said = cli(
            *("train", "folder", "--data", pictures, "--out", tmp_path / "run"),
            *("--representation", *representation, *named),
        )
        assert said.code == 0, said.err

    return train


def drawn(folder: Path) -> list[np.ndarray]:
    return [np.array(Image.open(path)) for path in sorted(folder.glob("0*.png"))]


@pytest.mark.parametrize("make", [torchvision_network, timm_network, autoencoder, vit])
def test_features_of_a_pretrained_network_become_pictures(make, train, cli, pictures, tmp_path, no_network):
    torch.manual_seed(0)
    spec, *flags = make(tmp_path / "network")
    train(spec, *flags)
    module = open_features(spec, flags[1] if flags else None, (1, 16, 16)).module
    shutil.rmtree(tmp_path / "network")  # the model file holds all that is needed

    run = tmp_path / "run"
    assert str(tmp_path) not in (run / "model/config.json").read_text()
    model = avae.load(run, device="cpu")
    items = model.to_items(pictures)
    with torch.inference_mode():
        features = module(items).numpy()
    assert cli("encode", run, pictures, "--raw", "--out", tmp_path / "raw.npz").code == 0
    with np.load(tmp_path / "raw.npz") as raw:
        np.testing.assert_allclose(raw["codes"], features, rtol=1e-4, atol=1e-5)

    np.save(tmp_path / "features.npy", features)  # as another program has stored them
    said = cli("decode", run, tmp_path / "features.npy", "--raw", "--out", tmp_path / "from_features")
    assert said.code == 0, said.err
    assert cli("encode", run, pictures, "--out", tmp_path / "codes.npz").code == 0
    with np.load(tmp_path / "codes.npz") as codes:
        assert codes["codes"].shape == (len(items), 3)
        np.save(tmp_path / "codes.npy", codes["codes"])
    assert cli("decode", run, tmp_path / "codes.npy", "--out", tmp_path / "from_codes").code == 0
    one, other = drawn(tmp_path / "from_features"), drawn(tmp_path / "from_codes")
    assert len(one) == len(other) == len(items)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(one, other, strict=True))


def test_a_resumed_run_has_the_network_that_it_began_with(train, tmp_path, cli):
    """That of its model, whatever has become of the folder that it came from."""
    train(*timm_network(tmp_path / "network"))
    before, _ = load_tensors(tmp_path / "run/model/model.safetensors")
    shutil.rmtree(tmp_path / "network")
    said = cli("train", "folder", "--out", tmp_path / "run", "--resume", "--steps", 6)
    assert said.code == 0, said.err
    after, _ = load_tensors(tmp_path / "run/model/model.safetensors")
    frozen = [name for name in before if name.startswith("encoder.")]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)


def test_sizes_in_a_models_config_take_no_memory(train, tmp_path, cli):
    train(*vit(tmp_path / "network"))
    config = tmp_path / "run/model/config.json"
    content = json.loads(config.read_text())
    content["representation"][0]["network"]["config"]["intermediate_size"] = 2**40
    config.write_text(json.dumps(content))
    said = cli("sample", tmp_path / "run", "--out", tmp_path / "drawn")
    assert said.code == 2
    assert "does not fit" in said.err


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvison:resnet18", "perhaps you meant 'torchvision'"),
        ("torchvision:resnet81", "perhaps you meant 'resnet18'"),
        ("timm:./none", "none: no such folder"),
        ("none.py:make", "none.py: no such file"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_one_line(spec, message, cli, pictures, tmp_path):
    said = cli("train", "folder", "--data", pictures, "--out", tmp_path / "run", "--representation", spec)
    assert said.code == 2
    assert message in " ".join(said.err.split())
    assert not (tmp_path / "run").exists()
