import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision import models
from torchvision.transforms.v2.functional import normalize, resize

from avae.errors import UserError
from avae.pretrained.features import open_features

ITEM = (3, 16, 16)
NAME = "shufflenet_v2_x0_5"
SPEC = f"torchvision:{NAME}"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A small network with random weights, in evaluation mode."""
    torch.manual_seed(0)
    return models.get_model(NAME, weights=None).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


def pictures() -> torch.Tensor:
    return torch.rand(2, *ITEM) * 2 - 1


def test_features_come_before_the_last_linear_layer(network, weights, restored):
    opened = open_features(SPEC, weights, ITEM)
    x = pictures()
    prepared = normalize(
        resize((x + 1) / 2, [224, 224], antialias=True), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    assert torch.allclose(network.fc(opened.module(x)), network(prepared), atol=1e-4)
    assert opened.description["preparation"]["size"] == 224
    restored(opened)


def test_grey_pictures_are_taken(weights, restored):
    restored(open_features(SPEC, weights, (1, 8, 8)), (1, 8, 8))


def test_a_layer_gives_its_output_and_keeps_nothing_behind_it(network, weights, restored):
    opened = open_features(f"{SPEC}:stage2.1", weights, ITEM)
    x = pictures()
    seen = []
    handle = network.stage2[1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(opened.module.prepare(x))
    handle.remove()
    assert torch.equal(opened.module(x), seen[0].flatten(1))
    assert not any("stage3" in name or "fc" in name for name in opened.module.state_dict())
    restored(opened)


def test_weights_may_be_for_other_classes_and_come_in_other_files(network, weights, tmp_path):
    expected = open_features(SPEC, weights, ITEM).module(torch.zeros(1, *ITEM))
    state = network.state_dict() | {"fc.weight": torch.zeros(3, 1024), "fc.bias": torch.zeros(3)}
    torch.save({"model": {f"module.{name}": t for name, t in state.items()}, "epoch": 3}, tmp_path / "a.pth")
    safetensors.torch.save_file(state, tmp_path / "b.safetensors")
    for file in ("a.pth", "b.safetensors"):
        found = open_features(SPEC, tmp_path / file, ITEM).module(torch.zeros(1, *ITEM))
        assert torch.equal(found, expected)


def test_old_names_of_densenets_are_understood(tmp_path):
    state = models.get_model("densenet121", weights=None).state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t for name, t in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    opened = open_features("torchvision:densenet121:features.conv0", tmp_path / "old.pth", ITEM)
    found = opened.module.state_dict()
    assert all(torch.equal(t, state[name.partition("traced.")[2]]) for name, t in found.items())


def test_mnasnets_and_a_file_without_a_version_of_their_layout(tmp_path, restored):
    state = models.get_model("mnasnet0_5", weights=None).state_dict()
    safetensors.torch.save_file(state, tmp_path / "new.safetensors")
    restored(open_features("torchvision:mnasnet0_5", tmp_path / "new.safetensors", ITEM))


def test_weights_of_another_network_are_refused(network, tmp_path):
    torch.save(models.get_model("resnet34", weights=None).state_dict(), tmp_path / "resnet34.pth")
    # Each tensor of resnet18 has one of the same name and shape in resnet34.
    with pytest.raises(UserError, match=r"resnet34\.pth: weights of another network \(it holds layer"):
        open_features("torchvision:resnet18", tmp_path / "resnet34.pth", ITEM)
    state = network.state_dict()
    del state["conv5.0.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"part\.pth: weights of another network \(it lacks conv5\.0\.w"):
        open_features(SPEC, tmp_path / "part.pth", ITEM)
    torch.save(network.state_dict() | {"conv5.0.weight": torch.zeros(2)}, tmp_path / "shape.pth")
    with pytest.raises(UserError, match=r"shape\.pth: size mismatch for conv5\.0\.weight"):
        open_features(SPEC, tmp_path / "shape.pth", ITEM)


class Harmful:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return (print, ("harm",))


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps(Harmful(), 2), pickle.dumps([1], 2)])
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_without_weights_is_refused_and_runs_nothing(tmp_path, capsys, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"--representation-weights .*: not a file of weights"):
        open_features(SPEC, tmp_path / name, ITEM)
    assert "harm" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:resnet81", "no such network, perhaps you meant 'resnet18'; there are resnet50"),
        (f"{SPEC}:stage5", "no layer 'stage5', perhaps you meant 'stage"),
        (f"{SPEC}:stage5", "the outermost are conv1, maxpool, stage2"),
    ],
)
def test_an_unknown_name_is_refused(weights, spec, message):
    with pytest.raises(UserError) as raised:
        open_features(spec, weights, ITEM)
    assert message in str(raised.value)


def test_a_network_without_a_linear_layer_needs_a_layer(tmp_path, restored):
    torch.save(models.get_model("squeezenet1_1", weights=None).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"name a layer.*\(features, classifier\)"):
        open_features("torchvision:squeezenet1_1", tmp_path / "weights.pth", ITEM)
    restored(open_features("torchvision:squeezenet1_1:features.0", tmp_path / "weights.pth", ITEM))


def test_weights_come_from_torchvisions_cache_or_the_error_says_where_to_put_them(
    weights, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = models.get_model_weights(NAME).DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / published.rpartition("/")[2]
    with pytest.raises(UserError) as raised:
        open_features(SPEC, None, ITEM)
    assert f"put {published} at {cached}, or pass --representation-weights FILE" in str(raised.value)
    cached.write_bytes(weights.read_bytes())
    x = pictures()
    assert torch.equal(
        open_features(SPEC, None, ITEM).module(x), open_features(SPEC, weights, ITEM).module(x)
    )


def test_a_published_files_name_decides_its_preparation(tmp_path):
    """Of several published files for one network, each has its own size."""
    weights = models.get_model_weights("regnet_y_16gf").IMAGENET1K_SWAG_E2E_V1
    from avae.pretrained.torchvision import _preparation, _published

    assert _preparation(_published("regnet_y_16gf", tmp_path / weights.url.rpartition("/")[2])).size == 384
    assert _preparation(_published("regnet_y_16gf", tmp_path / "my.pth")).size == 224
