"""Networks of torchvision: their features before the last linear layer, or the output of any layer."""

import logging
import re
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
import torch.hub
from torch import nn
from torchvision import models
from torchvision.models import WeightsEnum

from avae.errors import UserError, did_you_mean
from avae.pretrained.layers import up_to_layer
from avae.pretrained.prepared import Preparation, Prepared
from avae.pretrained.spec import FLAG, WEIGHTS_FLAG, Spec
from avae.pretrained.weights import read_weights

logger = logging.getLogger(__name__)

_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""Names in the published files of DenseNets; modules may not have such names any more."""


@dataclass(frozen=True)
class Description:
    """What it takes to build the network again, as plain data."""

    name: str
    layer: str | None
    preparation: Preparation


def open_network(spec: Spec, weights: Path | None) -> tuple[nn.Module, Description]:
    """Build a network, and load weights from a file, or published ones from torchvision's cache or the web.

    Raises:
        UserError: there is no such network or layer, or there are no weights that fit it.
    """
    names = models.list_models(module=models)
    if spec.name not in names:
        raise spec.error(
            f"torchvision has no such network{did_you_mean(spec.name, names)}; "
            "there are resnet50, convnext_tiny, vit_b_16, efficientnet_b0 and others"
        )
    published = _published(spec.name, weights)
    file = weights or _fetched(spec, published)
    description = Description(spec.name, spec.layer, _preparation(published))
    whole = _whole(description)
    known = whole.state_dict().keys()
    network = _features(whole, description, spec)
    _load(network, whole, known, file, WEIGHTS_FLAG if weights else FLAG + " " + spec.text)
    return Prepared(network, description.preparation), description


def restore_network(description: Description, spec: Spec) -> nn.Module:
    """Build a network without weights."""
    if description.name not in models.list_models(module=models):
        raise spec.error(f"this torchvision has no network '{description.name}': install a newer one")
    return Prepared(_features(_whole(description), description, spec), description.preparation)


def _whole(description: Description) -> nn.Module:
    arguments: dict[str, Any] = {}
    if description.name.startswith("vit_"):
        arguments = {"image_size": description.preparation.size}
    elif description.name in ("inception_v3", "googlenet"):  # as torchvision builds them for its weights
        arguments = {"transform_input": True, "aux_logits": True, "init_weights": False}
    network: nn.Module = models.get_model(description.name, weights=None, **arguments)
    return network.eval()


def _features(network: nn.Module, description: Description, spec: Spec) -> nn.Module:
    """Return the network up to the wanted layer, or the network itself without its last linear layer."""
    if description.layer is not None:
        return up_to_layer(network, description.layer, spec)
    if isinstance(network, models.MNASNet):  # itself, it loads no tensors without the version of their layout
        return up_to_layer(network, "classifier.0", spec)
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        top = ", ".join(name for name, _ in network.named_children())
        raise spec.error(f"it has no linear layer: name a layer, as in {spec.text}:LAYER ({top})")
    network.set_submodule(linear[-1], nn.Identity())
    return network


def _load(network: nn.Module, whole: nn.Module, known: Collection[str], file: Path, flag: str) -> None:
    """Load a file into the modules that `network` and the whole network share.

    What only the rest of the network needs may differ: a file for other classes fits as well.
    """
    kept = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
    needed = {name for name, tensor in whole.state_dict(keep_vars=True).items() if id(tensor) in kept}
    found = {_OLD_DENSENET.sub(r"\1\2.", name): tensor for name, tensor in read_weights(file, flag).items()}
    state = OrderedDict((name, found[name]) for name in found if name in needed or name not in known)
    # MNASNet asks for the version of its layout; those of the modules within are for files that have none.
    state._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    try:
        keys = whole.load_state_dict(state, strict=False)
    except RuntimeError as error:  # of shapes that differ, one on each line
        raise UserError(f"{flag} {file}: {str(error).splitlines()[-1].strip()}") from None
    missing = sorted(
        name for name in needed & set(keys.missing_keys) if not name.endswith("num_batches_tracked")
    )
    if missing or keys.unexpected_keys:
        what = f"it lacks {missing[0]}" if missing else f"it holds {keys.unexpected_keys[0]}"
        raise UserError(f"{flag} {file}: weights of another network ({what})")


def _published(name: str, file: Path | None) -> WeightsEnum:
    """Return the published weights that a file holds by its name, or else the default ones."""
    every = models.get_model_weights(name)
    default: WeightsEnum = every.DEFAULT
    return next((one for one in every if file is not None and one.url.endswith(f"/{file.name}")), default)


def _preparation(published: WeightsEnum) -> Preparation:
    transforms = published.transforms()
    return Preparation(
        size=transforms.crop_size[0],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )


def _fetched(spec: Spec, published: WeightsEnum) -> Path:
    """Return the file of published weights in torchvision's cache; fetch it if it is not there."""
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / published.url.rpartition("/")[2]
    if not path.exists():
        logger.info(f"fetching {published.url} once")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            checksum = torch.hub.HASH_REGEX.search(path.name)
            torch.hub.download_url_to_file(
                published.url, str(path), checksum.group(1) if checksum else None, progress=False
            )
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: a wrong checksum
            raise spec.error(
                f"its weights cannot be fetched ({error}): put {published.url} at {path}, "
                f"or pass {WEIGHTS_FLAG} FILE"
            ) from None
    return path
