"""Networks of timm: pooled features without the classifier, or the output of any layer."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import timm
import timm.data
import timm.models
from huggingface_hub import hf_hub_download
from torch import Tensor, nn

from avae.errors import UserError, did_you_mean, in_a_line
from avae.json_io import read_json
from avae.pretrained.hub import not_loaded, offline, repository_address
from avae.pretrained.layers import up_to_layer
from avae.pretrained.prepared import Preparation, Prepared
from avae.pretrained.spec import WEIGHTS_FLAG, Spec, local_folder
from avae.pretrained.weights import read_weights

WEIGHTS_CONFIG = ("num_classes", "input_size", "fixed_input_size")
"""What timm's configuration of weights decides about the network that they fit."""


@dataclass(frozen=True)
class Description:
    """What it takes to build the network again, as plain data.

    Attributes:
        name: the user's name for it, or the name of its folder.
        architecture: timm's name for it.
        arguments: arguments of the architecture.
        weights_config: values of `WEIGHTS_CONFIG`.
    """

    name: str
    layer: str | None
    architecture: str
    arguments: dict[str, Any]
    weights_config: dict[str, Any]
    preparation: Preparation


class _ConfigFile(TypedDict):
    """What is read of the config.json of a saved network."""

    architecture: str
    model_args: NotRequired[dict[str, Any]]


def open_network(spec: Spec, weights: Path | None) -> tuple[nn.Module, Description]:
    """Build a network with weights from a file, from a local folder, or from timm's cache or the hub.

    Raises:
        UserError: there is no such network or layer, or there are no weights that fit it.
    """
    folder = local_folder(spec)
    address = None if folder else _address(spec)
    config: _ConfigFile
    try:
        if folder:
            source, config = f"local-dir:{folder}", read_json(folder / "config.json", _ConfigFile)
        elif "/" in spec.name:
            source = f"hf-hub:{spec.name}"
            config = read_json(Path(hf_hub_download(spec.name, "config.json")), _ConfigFile)
        else:
            source, config = spec.name, {"architecture": spec.name.partition(".")[0]}
        network: Any = (
            timm.create_model(source, pretrained=True) if weights is None else _create(source, weights)
        )
    except UserError:
        raise
    except Exception as error:  # whatever timm and the hub's client raise
        raise not_loaded(spec, address, error) from None
    data = timm.data.resolve_model_data_config(network)
    description = Description(
        name=folder.resolve().name if folder else spec.name,
        layer=spec.layer,
        architecture=config["architecture"],
        arguments=config.get("model_args", {}),
        weights_config={name: network.pretrained_cfg.get(name) for name in WEIGHTS_CONFIG},
        preparation=Preparation(
            size=data["input_size"][-1],
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            interpolation="bilinear" if data["interpolation"] == "bilinear" else "bicubic",
        ),
    )
    return Prepared(_features(network, description.layer, spec), description.preparation), description


def restore_network(description: Description, spec: Spec) -> nn.Module:
    """Build a network without weights."""
    # As an argument, an option of create_model itself could name a file or a place at the hub.
    options = description.arguments.keys() & inspect.signature(timm.create_model).parameters.keys()
    if options:
        raise ValueError(f"{min(options)} is no argument of a network")
    if not description.architecture.isidentifier() or not timm.is_model(description.architecture):
        raise spec.error(f"this timm has no network '{description.architecture}': install a newer one")
    overlay = {name: description.weights_config.get(name) for name in WEIGHTS_CONFIG}
    with offline():
        network = timm.create_model(
            description.architecture, pretrained_cfg_overlay=overlay, **description.arguments
        )
    return Prepared(_features(network, description.layer, spec), description.preparation)


def _create(source: str, weights: Path) -> Any:
    """Build a network with the weights of a file; raise UserError if they do not fit it exactly."""
    state = read_weights(weights)
    classes = _classes(timm.create_model(source), state)
    try:
        return timm.create_model(
            source,
            pretrained=True,
            num_classes=classes,
            # As many classes as the file has: timm overlooks missing weights if it replaces a classifier.
            pretrained_cfg_overlay={
                "state_dict": state,
                "source": None,
                "num_classes": classes,
                "label_offset": None,
            },
        )
    except Exception as error:  # of shapes and names that differ, or whatever timm's conversion raises
        raise UserError(
            f"{WEIGHTS_FLAG} {weights}: weights of another network ({in_a_line(error)})"
        ) from None


def _classes(network: Any, state: dict[str, Tensor]) -> int:
    names = network.pretrained_cfg.get("classifier") or ()
    first = names if isinstance(names, str) else next(iter(names), "")
    return len(state[f"{first}.weight"]) if f"{first}.weight" in state else 0


def _features(network: Any, layer: str | None, spec: Spec) -> Any:
    network.reset_classifier(0)
    if layer is None:
        return network
    untraced = {
        "leaf_modules": timm.models.get_notrace_modules(),
        "autowrap_functions": timm.models.get_notrace_functions(),
    }
    return up_to_layer(network, layer, spec, untraced)


def _address(spec: Spec) -> str:
    """Return where the published weights are; raise UserError if timm has no such network."""
    if "/" in spec.name:
        return repository_address(spec.name)
    if not timm.is_model(spec.name):
        raise spec.error(
            f"timm has no such network{did_you_mean(spec.name, timm.list_models())}; "
            "there are resnet50, convnext_tiny, vit_base_patch16_224 and others"
        )
    published = timm.get_pretrained_cfg(spec.name)
    if published is not None and published.hf_hub_id:
        return repository_address(published.hf_hub_id)
    return str(published.url) if published is not None and published.url else ""
