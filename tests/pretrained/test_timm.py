from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from avae.errors import UserError
from avae.pretrained.features import open_features, restore_features

ITEM = (3, 16, 16)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A tiny network with random weights for 7 classes, in evaluation mode."""
    torch.manual_seed(0)
    return timm.create_model("test_vit", num_classes=7, img_size=32, depth=2).eval()


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory) -> Path:
    """A folder as timm saves it."""
    folder = tmp_path_factory.mktemp("timm") / "mine"
    timm.models.save_for_hf(network, folder, safe_serialization=True, data_config={"input_size": (3, 32, 32)})
    return folder


def test_a_folder_gives_features_before_the_classifier(network, folder, restored):
    opened = open_features(f"timm:{folder}", None, ITEM)
    x = torch.rand(2, *ITEM) * 2 - 1
    assert opened.description["preparation"]["size"] == 32
    assert opened.description["arguments"]["depth"] == 2
    assert torch.allclose(network.head(opened.module(x)), network(opened.module.prepare(x)), atol=1e-5)
    restored(opened)
    restored(open_features(f"timm:{folder}", None, (1, 32, 32)), (1, 32, 32))


def test_a_layer_gives_its_output(network, folder, restored):
    opened = open_features(f"timm:{folder}:blocks.0", None, ITEM)
    x = torch.rand(2, *ITEM) * 2 - 1
    seen = []
    handle = network.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(opened.module.prepare(x))
    handle.remove()
    assert torch.allclose(opened.module(x), seen[0].flatten(1), atol=1e-5)
    restored(opened)


@pytest.mark.parametrize("classes", [0, 3, 1000])
def test_a_name_takes_weights_from_a_file_for_any_classes(tmp_path, restored, classes):
    network = timm.create_model("test_resnet", num_classes=classes)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "weights.pth")
    opened = open_features("timm:test_resnet", tmp_path / "weights.pth", ITEM)
    state = network.state_dict()
    found = {name.removeprefix("network."): tensor for name, tensor in opened.module.state_dict().items()}
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())
    assert state.keys() - found.keys() <= {"fc.weight", "fc.bias"}
    restored(opened)


def test_weights_of_another_network_are_refused(network, folder, tmp_path):
    state = network.state_dict()
    del state["norm.bias"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"part\.pth: weights of another network.*norm\.bias"):
        open_features(f"timm:{folder}", tmp_path / "part.pth", ITEM)
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: weights of another network"):
        open_features(f"timm:{folder}", tmp_path / "other.pth", ITEM)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:test_vti", "no such network, perhaps you meant 'test_vit'"),
        (
            "timm:test_vit",
            r"fetch https://huggingface.co/timm/test_vit\S+ and pass its folder as timm:F",
        ),
        ("timm:owner/name", "fetch https://huggingface.co/owner/name and pass its folder as timm:FOLDER"),
        ("timm:test_vit", "or its weights as --representation-weights FILE"),
        ("timm:coatnet_0_224", "nobody publishes weights for it: pass --representation-weights FILE"),
    ],
)
def test_without_weights_the_error_says_what_to_fetch(hub_is_away, no_network, spec, message):
    with pytest.raises(UserError, match=message):
        open_features(spec, None, ITEM)


def test_a_name_is_found_in_the_hubs_cache(folder, cached_at_hub, restored):
    expected = open_features(f"timm:{folder}", None, ITEM)
    cached_at_hub(folder, "owner/net")
    opened = open_features("timm:owner/net", None, ITEM)
    assert opened.description == {**expected.description, "name": "owner/net"}
    x = torch.rand(2, *ITEM)
    assert torch.equal(opened.module(x), expected.module(x))
    restored(opened)


def test_a_published_name_is_found_in_the_hubs_cache(tmp_path, cached_at_hub, restored):
    network = timm.create_model("test_resnet")
    timm.models.save_for_hf(network, tmp_path / "saved", safe_serialization=True)
    cached_at_hub(tmp_path / "saved", timm.get_pretrained_cfg("test_resnet").hf_hub_id)
    opened = open_features("timm:test_resnet", None, ITEM)
    found = {name.removeprefix("network."): tensor for name, tensor in opened.module.state_dict().items()}
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in found.items())
    restored(opened)


def test_a_damaged_folder_is_refused(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(UserError, match="the folder cannot be loaded"):
        open_features(f"timm:{tmp_path}", None, ITEM)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"the folder cannot be loaded \(ValidationError.*architecture"):
        open_features(f"timm:{tmp_path}", None, ITEM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "hf-hub:owner/name"}, "has no network 'hf-hub:owner/name'"),
        ({"architecture": "no_such"}, "has no network 'no_such': install a newer one"),
        ({"arguments": {"checkpoint_path": "/etc/passwd"}}, "checkpoint_path is no argument of a network"),
        ({"arguments": {"pretrained": True}}, "pretrained is no argument of a network"),
        ({"arguments": {"no_such": 1}}, "cannot be built"),
        ({"weights_config": {"num_classes": "many"}}, "cannot be built"),
        ({"preparation": {"size": "large"}}, "cannot be built"),
        ({"layer": "no_such"}, "no layer 'no_such'"),
        ({"name": 3}, "cannot be built"),
    ],
)
def test_a_description_from_a_stranger_leads_nowhere_else(folder, no_network, change, message):
    description = open_features(f"timm:{folder}", None, ITEM).description
    with pytest.raises(UserError, match=message):
        restore_features({**description, **change}, None)


def test_restoring_looks_nothing_up(folder, look_ups):
    opened = open_features(f"timm:{folder}", None, ITEM)
    look_ups.clear()
    restore_features(opened.description, None, opened.module.state_dict())
    arguments = {**opened.description["arguments"], "backbone": "owner/name", "use_pretrained_backbone": True}
    with pytest.raises(UserError, match="cannot be built"):
        restore_features({**opened.description, "arguments": arguments}, None, opened.module.state_dict())
    assert not look_ups


def test_a_depth_that_does_not_fit_the_weights_takes_no_time(folder):
    """Built to the end, such a network would take hours."""
    opened = open_features(f"timm:{folder}", None, ITEM)
    description = {**opened.description, "arguments": {**opened.description["arguments"], "depth": 10**5}}
    with pytest.raises(UserError, match="does not fit its weights: it describes more than 2,0"):
        restore_features(description, None, opened.module.state_dict())
