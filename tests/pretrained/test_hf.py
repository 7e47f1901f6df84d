import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import safetensors.torch
import torch
import transformers

from avae.errors import UserError
from avae.pretrained.features import open_features, restore_features

ITEM = (3, 16, 16)
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
VISION = {**TINY, "image_size": 16, "patch_size": 8}


def vit(folder: Path) -> None:
    transformers.ViTModel(transformers.ViTConfig(**VISION)).save_pretrained(folder)
    transformers.ViTImageProcessor(
        size={"height": 16, "width": 16}, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], resample=2
    ).save_pretrained(folder)


def classifier(folder: Path) -> None:
    config = transformers.ViTConfig(**VISION, num_labels=3)
    transformers.ViTForImageClassification(config).half().save_pretrained(folder)


def clip(folder: Path) -> None:
    text = {**TINY, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "projection_dim": 8}
    config = transformers.CLIPConfig(
        vision_config={**VISION, "projection_dim": 8}, text_config=text, projection_dim=8
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(folder)


def tower(folder: Path) -> None:
    config = transformers.CLIPVisionConfig(**VISION, projection_dim=8)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)


def resnet(folder: Path) -> None:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    transformers.ResNetModel(config).save_pretrained(folder)


def segformer(folder: Path) -> None:
    four = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
    transformers.SegformerModel(transformers.SegformerConfig(**four)).save_pretrained(folder)


def random_masks(folder: Path) -> None:
    transformers.ViTMAEModel(transformers.ViTMAEConfig(**VISION)).save_pretrained(folder)


def texts(folder: Path) -> None:
    transformers.BertModel(transformers.BertConfig(**TINY, vocab_size=50)).save_pretrained(folder)


def autoencoder(folder: Path) -> None:
    diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
    ).save_pretrained(folder)


def tiny_autoencoder(folder: Path) -> None:
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8,),
        decoder_block_out_channels=(8,),
        num_encoder_blocks=(1,),
        num_decoder_blocks=(1,),
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a function from a function that saves a tiny network to its folder."""
    base = tmp_path_factory.mktemp("hf")

    def saved(make) -> Path:
        folder = base / make.__name__
        if not folder.exists():
            torch.manual_seed(0)
            make(folder)
        return folder

    return saved


def pictures() -> torch.Tensor:
    return torch.rand(2, *ITEM) * 2 - 1


@pytest.mark.parametrize(
    ("make", "output", "features", "size"),
    [
        (vit, "pooler_output", 16, 16),
        (classifier, "first_token", 16, 16),
        (clip, "image_features", 8, 16),
        (tower, "image_embeds", 8, 16),
        (resnet, "pooler_output", 16, 224),
        (segformer, "mean", 8, 224),
    ],
)
def test_models_give_features_and_are_restored_without_files(saved, restored, make, output, features, size):
    opened = open_features(f"hf:{saved(make)}", None, ITEM)
    assert opened.description["output"] == output
    assert opened.description["preparation"]["size"] == size
    assert opened.module(pictures()).shape == (2, features)
    restored(opened)


def test_a_models_own_preparation_is_used(saved, messages):
    opened = open_features(f"hf:{saved(vit)}", None, ITEM)
    assert opened.description["preparation"] == {
        "size": 16,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "interpolation": "bilinear",
    }
    x = pictures()
    processor = transformers.AutoImageProcessor.from_pretrained(saved(vit))
    by_library = processor((x + 1) / 2, do_rescale=False, return_tensors="pt")["pixel_values"]
    model = transformers.ViTModel.from_pretrained(saved(vit))
    assert torch.allclose(opened.module.prepare(x), by_library, atol=1e-5)
    assert torch.allclose(opened.module(x), model(by_library).pooler_output, atol=1e-4)
    assert not any("preprocessor_config" in message for message in messages())
    open_features(f"hf:{saved(tower)}", None, ITEM)
    assert "no preprocessor_config.json: pictures of 16 px in [-1, 1]" in messages()


def test_a_scale_of_pixels_of_its_own_is_used(saved, tmp_path):
    for file in saved(vit).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    settings["rescale_factor"] = 2 / 255
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    x = pictures()
    prepared = open_features(f"hf:{tmp_path}", None, ITEM).module.prepare(x)
    mean, std = (torch.tensor(settings[name]).view(-1, 1, 1) for name in ("image_mean", "image_std"))
    assert torch.allclose(prepared, (x + 1 - mean) / std, atol=1e-5)


def test_a_pooler_drawn_at_random_is_not_used(saved):
    opened = open_features(f"hf:{saved(classifier)}", None, ITEM)
    model = transformers.ViTForImageClassification.from_pretrained(saved(classifier), dtype=torch.float32)
    x = pictures()
    assert torch.allclose(
        model.classifier(opened.module(x)), model(opened.module.prepare(x)).logits, atol=1e-5
    )
    assert not any("pooler" in name for name in opened.module.state_dict())


def test_the_tower_for_texts_is_left_out(saved):
    opened = open_features(f"hf:{saved(clip)}", None, ITEM)
    assert opened.description["dropped"] == ["text_model", "text_projection"]
    assert not any("text" in name for name in opened.module.state_dict())
    model = transformers.CLIPModel.from_pretrained(saved(clip))
    x = pictures()
    expected = model.get_image_features(opened.module.prepare(x)).pooler_output
    assert torch.allclose(opened.module(x), expected, atol=1e-5)


def test_the_means_of_an_autoencoders_latent_codes(saved, restored):
    opened = open_features(f"hf:{saved(autoencoder)}", None, ITEM)
    model = diffusers.AutoencoderKL.from_pretrained(saved(autoencoder)).eval()
    x = pictures()
    expected = model.encode(x).latent_dist.mean
    assert expected.shape == (2, 4, 4, 4)
    assert torch.allclose(opened.module(x), expected.flatten(1), atol=1e-5)
    assert not any("decoder" in name for name in opened.module.state_dict())
    restored(opened)
    restored(open_features(f"hf:{saved(autoencoder)}", None, (1, 8, 8)), (1, 8, 8))


def without_a_tensor(folder: Path, copy: Path, name: str) -> Path:
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = next(copy.glob("*.safetensors"))
    state = safetensors.torch.load_file(weights)
    del state[name]
    safetensors.torch.save_file(state, weights, metadata={"format": "pt"})
    return copy


@pytest.mark.parametrize(
    ("make", "tensor"), [(vit, "layernorm.weight"), (autoencoder, "encoder.conv_in.weight")]
)
def test_missing_weights_are_not_drawn_at_random(saved, tmp_path, make, tensor):
    folder = without_a_tensor(saved(make), tmp_path, tensor)
    with pytest.raises(UserError, match=f"lacks {tensor}|cannot be loaded.*{tensor}"):
        open_features(f"hf:{folder}", None, ITEM)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (autoencoder, (3, 18, 18), "multiples of 4 px, and these have 18 px: pass another --size"),
        (tiny_autoencoder, ITEM, "it is the AutoencoderTiny of diffusers, but must be AutoencoderKL"),
        (random_masks, ITEM, "its features of the same picture change from call to call"),
        (texts, ITEM, "the folder cannot be loaded"),
    ],
)
def test_a_network_that_cannot_serve_is_refused(saved, make, shape, message):
    with pytest.raises(UserError, match=rf"^--representation hf:.*{message}"):
        open_features(f"hf:{saved(make)}", None, shape)


def test_code_that_comes_with_a_model_is_not_run(saved, tmp_path):
    for file in saved(vit).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "model_type": "unheard_of",
        "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UserError, match="the folder cannot be loaded"):
        open_features(f"hf:{tmp_path}", None, ITEM)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("make", [vit, clip, autoencoder])
def test_a_name_is_found_in_the_hubs_cache(saved, cached_at_hub, restored, make):
    expected = open_features(f"hf:{saved(make)}", None, ITEM)
    cached_at_hub(saved(make), "owner/net")
    opened = open_features("hf:owner/net", None, ITEM)
    assert opened.description == {**expected.description, "name": "owner/net"}
    x = pictures()
    assert torch.equal(opened.module(x), expected.module(x))
    restored(opened)


def test_without_the_hub_the_error_says_what_to_fetch(hub_is_away, no_network):
    with pytest.raises(
        UserError, match=r"fetch https://huggingface.co/owner/name and pass its folder as hf:F"
    ):
        open_features("hf:owner/name", None, ITEM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "pipeline"}, "has no pipeline"),
        ({"architecture": "NoSuchModel"}, "has no NoSuchModel: install a newer one"),
        ({"output": "eval"}, "cannot be built.*output is not one of"),
        ({"config": {"hidden_size": "large"}}, "cannot be built"),
        ({"config": []}, "cannot be built"),
        ({"preparation": None}, "cannot be built"),
    ],
)
def test_a_damaged_description_is_refused(saved, no_network, change, message):
    description = open_features(f"hf:{saved(vit)}", None, ITEM).description
    with pytest.raises(UserError, match=message):
        restore_features({**description, **change}, None)


def test_a_description_cannot_name_code_at_the_hub(saved, no_network):
    """A configuration can ask transformers for an attention that is fetched from the hub and run."""
    description = open_features(f"hf:{saved(clip)}", None, ITEM).description
    names = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
    kernel = dict.fromkeys(names, "owner/kernel")
    config: dict[str, Any] = {**description["config"], **kernel}
    config["vision_config"] = {**config["vision_config"], **kernel}
    model: Any = restore_features({**description, "config": config}, None)
    assert model.network.model.config._attn_implementation == "sdpa"
    assert model.network.model.config.vision_config._attn_implementation == "sdpa"


def test_a_wrapped_timm_network_is_named_as_one(tmp_path):
    model = transformers.TimmWrapperModel(transformers.TimmWrapperConfig(architecture="test_resnet"))
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="it is a network of timm: name it as timm:FOLDER_OR_NAME"):
        open_features(f"hf:{tmp_path}", None, ITEM)


def test_sizes_that_do_not_fit_the_weights_take_no_memory(saved, no_network):
    opened = open_features(f"hf:{saved(vit)}", None, ITEM)
    weights = opened.module.state_dict()
    config = {**opened.description["config"], "intermediate_size": 2**40}
    with pytest.raises(
        UserError, match=r"hf:vit does not fit its weights: .* is \(16,\) float32, not \(1099"
    ):
        restore_features({**opened.description, "config": config}, None, weights)
    restore_features(opened.description, None, weights)


def test_a_depth_that_does_not_fit_the_weights_takes_no_time(saved, no_network):
    """Built to the end, such a network would take hours."""
    opened = open_features(f"hf:{saved(vit)}", None, ITEM)
    config = {**opened.description["config"], "num_hidden_layers": 10**5}
    with pytest.raises(UserError, match=r"hf:vit does not fit its weights: .* more than 2,0\d\d parameters"):
        restore_features({**opened.description, "config": config}, None, opened.module.state_dict())


def test_a_number_of_labels_is_not_followed(saved, no_network):
    """Transformers would name each."""
    description = open_features(f"hf:{saved(vit)}", None, ITEM).description
    config = {**description["config"], "num_labels": 1000}
    model: Any = restore_features({**description, "config": config}, None)
    assert len(model.network.model.config.id2label) == 2


@pytest.mark.parametrize("architecture", ["DetrModel", "DPTModel"])
@pytest.mark.parametrize("timm_backbone", [True, False])
def test_a_description_that_names_a_backbone_looks_nothing_up(saved, look_ups, architecture, timm_backbone):
    description = open_features(f"hf:{saved(vit)}", None, ITEM).description
    config = {
        "backbone": "owner/name",
        "use_pretrained_backbone": True,
        "use_timm_backbone": timm_backbone,
        "backbone_config": None,
    }
    changed = {**description, "architecture": architecture, "config": config}
    with pytest.raises(UserError, match=r"cannot be built|does not fit"):
        restore_features(changed, None, {})
    assert not look_ups


@pytest.mark.parametrize("make", [vit, clip, autoencoder])
def test_restoring_looks_nothing_up(saved, look_ups, make):
    opened = open_features(f"hf:{saved(make)}", None, ITEM)
    look_ups.clear()
    extra = {"backbone": "owner/name", "use_pretrained_backbone": True}
    for config in (opened.description["config"], opened.description["config"] | extra):
        restore_features({**opened.description, "config": config}, None, opened.module.state_dict())
    assert not look_ups
