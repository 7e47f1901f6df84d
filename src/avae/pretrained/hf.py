"""Vision models of transformers, and AutoencoderKL of diffusers, from a folder or the hub."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import hf_hub_download
from torch import Tensor, nn
from transformers import AutoConfig, AutoImageProcessor, AutoModel, PreTrainedConfig, PreTrainedModel

from avae.errors import UserError
from avae.json_io import read_json
from avae.pretrained import autoencoder_kl
from avae.pretrained.hub import not_loaded, offline, repository_address
from avae.pretrained.prepared import Preparation, Prepared
from avae.pretrained.spec import Spec, local_folder

logger = logging.getLogger(__name__)

IMAGE_FEATURES, IMAGE_EMBEDS, POOLED, FIRST_TOKEN, MEAN = OUTPUTS = (
    "image_features",
    "image_embeds",
    "pooler_output",
    "first_token",
    "mean",
)
"""What of a model's output are its features."""

CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
"""Last part of the name of the parameter that is a model's first token."""

LEFT_OUT = (
    "attn_implementation",  # could name code at the hub
    "experts_implementation",
    "auto_map",
    "quantization_config",
    "use_pretrained_backbone",
    "name_or_path",
    "num_labels",  # as many names of labels are made
    "id2label",
    "label2id",
    "architectures",
    "transformers_version",
    "dtype",
)
"""Parts of keys of a model's configuration that neither a description keeps nor a restored model follows."""


@dataclass(frozen=True)
class Description:
    """What it takes to build the network again, as plain data.

    Attributes:
        name: name at the hub, or of the folder.
        architecture: class of transformers, or AutoencoderKL.
        config: the library's configuration.
        output: one of `OUTPUTS`; None for AutoencoderKL.
        dropped: sub-modules that the features do not need, such as a tower for texts.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    output: str | None
    dropped: tuple[str, ...]
    preparation: Preparation


class ImageModel(nn.Module):
    """The features of a model of transformers; pictures as it takes them -> (N, ...)."""

    def __init__(self, model: PreTrainedModel, output: str) -> None:
        super().__init__()
        self.model = model
        self.output = output

    def forward(self, x: Tensor) -> Any:
        if self.output == IMAGE_FEATURES:
            return self.model.get_image_features(pixel_values=x).pooler_output
        found = self.model(pixel_values=x)
        if self.output in (IMAGE_EMBEDS, POOLED):
            return found[self.output]
        last: Tensor = found.last_hidden_state
        if self.output == FIRST_TOKEN:
            return last[:, 0]
        return last.mean((2, 3) if last.ndim == 4 else 1)


def open_network(spec: Spec, weights: Path | None) -> tuple[nn.Module, Description]:
    """Load a network from a folder, the cache of the hub, or the hub; never run code that comes with it.

    Raises:
        UserError: there is no such network, it is no vision model, or weights are missing.
    """
    folder = local_folder(spec)
    place = str(folder) if folder else spec.name
    name = folder.resolve().name if folder else spec.name
    try:
        with _quiet():
            file = folder / "config.json" if folder else Path(hf_hub_download(spec.name, "config.json"))
            known = read_json(file, dict[str, Any])
            class_name = known.get("_class_name")
            if class_name is None:
                return _open_model(place, name)
            if class_name != autoencoder_kl.CLASS_NAME:
                raise UserError(
                    f"it is the {class_name} of diffusers, but must be {autoencoder_kl.CLASS_NAME}"
                )
            network, config = autoencoder_kl.load_autoencoder(place)
            channels = network.autoencoder.config.in_channels
            preparation = Preparation(None, (0.5,) * channels, (0.5,) * channels)
            return Prepared(network, preparation), Description(
                name, class_name, config, None, (), preparation
            )
    except UserError as error:
        raise spec.error(str(error)) from None
    except Exception as error:  # whatever the libraries and the hub's client raise
        raise not_loaded(spec, None if folder else repository_address(spec.name), error) from None


def restore_network(description: Description, spec: Spec) -> nn.Module:
    """Build a network without weights, files and look-ups."""
    with _quiet(), offline():
        if description.architecture == autoencoder_kl.CLASS_NAME:
            network: nn.Module = autoencoder_kl.build_autoencoder(description.config)
        else:
            model_class: Any = getattr(transformers, description.architecture, None)
            known = isinstance(model_class, type) and issubclass(model_class, PreTrainedModel)
            if not known:
                raise spec.error(f"this transformers has no {description.architecture}: install a newer one")
            if description.output not in OUTPUTS:
                raise ValueError(f"output is not one of {', '.join(OUTPUTS)}")
            config = model_class.config_class.from_dict(_kept(description.config))
            _require_not_timm(config)
            model = model_class(config)
            for name in description.dropped:
                if name in dict(model.named_children()):
                    setattr(model, name, None)
            network = ImageModel(model, description.output)
    return Prepared(network, description.preparation)


def _open_model(place: str, name: str) -> tuple[nn.Module, Description]:
    config = AutoConfig.from_pretrained(place, trust_remote_code=False)
    _require_not_timm(config)
    saved_as = next(iter(config.architectures or ()), "")
    # AutoModel would leave out the projection of such a tower.
    opener = getattr(transformers, saved_as) if saved_as.endswith("VisionModelWithProjection") else AutoModel
    model, info = opener.from_pretrained(
        place, config=config, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
    )
    model.eval()
    preparation = _preparation(place, config)
    size = preparation.size
    assert size is not None
    picture = torch.rand(1, len(preparation.mean), size, size, generator=torch.Generator().manual_seed(0))
    network = ImageModel(model, _output(model, picture, info["missing_keys"]))
    logger.info(f"features of {name}: {network.output} of {type(model).__name__}, at {size} px")
    used = _used_parameters(network, picture)
    missing = sorted(used & set(info["missing_keys"]))
    if missing:
        raise UserError(f"its file of weights lacks {missing[0]}")
    dropped = tuple(_drop_unused(network, picture, used))
    return Prepared(network, preparation), Description(
        name, type(model).__name__, _kept(config.to_dict()), network.output, dropped, preparation
    )


def _output(model: PreTrainedModel, picture: Tensor, missing: set[str]) -> str:
    """Return which of a model's outputs are its features."""
    if hasattr(model, "get_image_features"):
        return IMAGE_FEATURES
    with torch.no_grad():
        found = model(pixel_values=picture)
    if IMAGE_EMBEDS in found:
        return IMAGE_EMBEDS
    # A checkpoint of a classifier has no pooler, and transformers then draws one at random.
    if found.get(POOLED) is not None and not any("pooler" in name for name in missing):
        return POOLED
    has_token = any(name.rpartition(".")[2] in CLASS_TOKENS for name, _ in model.named_parameters())
    return FIRST_TOKEN if has_token and found.last_hidden_state.ndim == 3 else MEAN


def _used_parameters(network: ImageModel, picture: Tensor) -> set[str]:
    """Return the names of the model's parameters that its features depend on."""
    parameters = dict(network.model.named_parameters())
    found = network(picture).sum()
    gradients = torch.autograd.grad(found, list(parameters.values()), allow_unused=True)
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}


def _drop_unused(network: ImageModel, picture: Tensor, used: set[str]) -> Iterator[str]:
    """Remove the sub-modules that the features do not need; yield their names."""
    for name, child in list(network.model.named_children()):
        if any(each.startswith(f"{name}.") for each in used) or not list(child.parameters()):
            continue
        setattr(network.model, name, None)
        try:
            with torch.no_grad():
                network(picture)
        except (TypeError, AttributeError):  # it is called, and its result is not used
            setattr(network.model, name, child)
        else:
            yield name


def _preparation(place: str, config: PreTrainedConfig) -> Preparation:
    """Return the preparation that the model comes with, or one that its configuration implies."""
    try:
        settings = AutoImageProcessor.from_pretrained(place, trust_remote_code=False).to_dict()
    except (OSError, ValueError):
        vision = getattr(config, "vision_config", config)
        size = _pixels(getattr(vision, "image_size", None)) or 224
        channels = getattr(vision, "num_channels", 3)
        logger.info(f"no preprocessor_config.json: pictures of {size} px in [-1, 1]")
        return Preparation(size, (0.5,) * channels, (0.5,) * channels)
    crop = settings.get("crop_size") if settings.get("do_center_crop") else None
    # A network may take pixels on another scale than [0, 1]: then mean and deviation move instead.
    scale = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255
    normalised = settings.get("do_normalize", True)
    mean = settings["image_mean"] if normalised else (0.0,) * 3
    std = settings["image_std"] if normalised else (1.0,) * 3
    return Preparation(
        size=_pixels(crop)
        or _pixels(settings.get("size"))
        or _pixels(getattr(config, "image_size", None))
        or 224,
        mean=tuple(value / scale for value in mean),
        std=tuple(value / scale for value in std),
        interpolation="bilinear" if settings.get("resample") == 2 else "bicubic",
    )


def _pixels(size: Any) -> int | None:
    """Return the side of a square in transformers' ways to write a size."""
    if isinstance(size, Mapping):
        return size.get("height") or size.get("shortest_edge")
    if isinstance(size, list | tuple):
        return int(size[0])
    return size if isinstance(size, int) else None


def _kept(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without what `LEFT_OUT` names, in its parts too."""
    return {
        key: _kept(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not any(part in key for part in LEFT_OUT)
    }


def _require_not_timm(config: PreTrainedConfig) -> None:
    if config.model_type.startswith("timm"):
        raise UserError("it is a network of timm: name it as timm:FOLDER_OR_NAME")


@contextmanager
def _quiet() -> Iterator[None]:
    """Show neither the libraries' progress bars nor their reports of layers that are not needed."""
    logs = transformers.utils.logging
    verbosity, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if bars:
            logs.enable_progress_bar()
