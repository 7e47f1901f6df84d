"""Open the representation that a run is trained on: its frozen networks, whitened on the training data."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from avae.console import progress_bar
from avae.data.dataset import Dataset
from avae.errors import UserError, counted
from avae.evaluation.pretrained_weights import state_dict_checksum
from avae.fit_whitening import fit_encoder
from avae.frameworks.contracts import GAUSSIAN_ENCODER
from avae.frameworks.representations import Frozen, JoinedEncoder, WhitenedEncoder
from avae.model import load
from avae.pretrained.features import open_features
from avae.recipes.config import Config, fields_with
from avae.recipes.facts import Fact
from avae.recipes.parts import Part, Parts, unique, vae_alone
from avae.recipes.representations import (
    LEARNED,
    VAE,
    PartDescription,
    PartSpec,
    names_code,
    parse_representation,
    path_of,
)
from avae.recipes.resolve import CODE_DIM

logger = logging.getLogger(__name__)


def open_representation(
    config: Config,
    data: Dataset,
    device: torch.device,
    *,
    module: nn.Module | None = None,
    saved: Sequence[PartDescription] | None = None,
    trained: Path | None = None,
) -> tuple[Config, Parts]:
    """Open the parts of the representation that a config names, and show progress.

    Args:
        config: configuration of the run.
        data: its data.
        device: device to extract features on.
        module: the network, if it was passed from Python.
        saved: description of the parts of a resumed run, which must be the same.
        trained: model folder of a resumed run that has a checkpoint. Frozen networks are taken from there, so
            that nothing is looked up or fitted again.

    Returns:
        The config with the dimensions of the whole code, and the parts.

    Raises:
        UserError: a part cannot be opened, does not fit the data, or has changed since the run began.
    """
    if config.representation == VAE:
        parts = vae_alone(config)
        return dataclasses.replace(config, code_dim=parts[0].code_dim), parts
    if saved and trained:
        parts = _trained_parts(trained, module or config.representation, saved)
        return dataclasses.replace(config, code_dim=sum(part.code_dim for part in parts)), parts
    specs = parse_representation(config.representation)
    code_dims = [part["code_dim"] for part in saved] if saved else [config.code_dim] * len(specs)
    opened: list[Part] = []
    for spec, code_dim in zip(specs, code_dims, strict=True):
        if spec.kind == "run":
            opened.append(_open_run(spec, data, config.decoder))
        elif spec.kind == "frozen":
            given = module if module is not None and spec.is_module else spec.text
            opened.append(_open_frozen(spec, given, config, data, device, code_dim))
        else:
            opened.append(_learned(spec, data, code_dim))
    parts = _named(opened)
    if saved and [part.description for part in parts] != list(saved):
        raise UserError(
            f"--representation {config.representation}: it is not the one that the run in {config.out} began "
            "with, whose weights or code were different: restore it, or pass another --out"
        )
    return dataclasses.replace(config, code_dim=sum(part.code_dim for part in parts)), parts


def _named(parts: Sequence[Part]) -> Parts:
    """Return parts with different names."""
    names = unique([part.name for part in parts])
    return [
        dataclasses.replace(part, description={**part.description, "name": name})
        for part, name in zip(parts, names, strict=True)
    ]


def _learned(spec: PartSpec, data: Dataset, code_dim: int | None) -> Part:
    if spec.kind == "vae":
        return Part({"kind": "vae", "name": "vae", "code_dim": code_dim or CODE_DIM})
    if data.labels is None:
        raise UserError(
            f"--representation classifier: {data.name} has no labels; put the pictures of each class in a "
            "folder of its own inside --data"
        )
    classes = list(data.classes)
    return Part(
        {"kind": "classifier", "name": "classifier", "code_dim": code_dim or CODE_DIM, "classes": classes}
    )


def _trained_parts(folder: Path, given: nn.Module | str, descriptions: Sequence[PartDescription]) -> Parts:
    """Return the parts of a run that is resumed, with the frozen networks of its model."""
    if all(description["kind"] in LEARNED for description in descriptions):
        return [Part(description) for description in descriptions]
    needed = isinstance(given, nn.Module) or names_code(given)
    model = load(folder, device="cpu", representation=given if needed else None)
    encoder, decoder = model.encoder, model.networks.get("decoder")
    parts = []
    for description in descriptions:
        own = encoder.encoders[description["name"]] if isinstance(encoder, JoinedEncoder) else encoder
        frozen = own if isinstance(own, Frozen | WhitenedEncoder) else None
        parts.append(Part(description, frozen, decoder if isinstance(decoder, Frozen) else None))
    return parts


def _open_run(spec: PartSpec, data: Dataset, with_decoder: bool) -> Part:
    path = path_of(spec)
    model = load(path, device="cpu")
    name = f"--representation {spec.text}"
    own_contract = model.framework.contracts.get("encoder", GAUSSIAN_ENCODER)
    if model.representation or own_contract != GAUSSIAN_ENCODER or "decoder" not in model.networks:
        raise UserError(
            f"{name}: only a run with a VAE in it (such as a VAE, an IntroVAE or an AVAE) has an encoder for "
            "others; name one"
        )
    if model.is_image_model != data.is_image_data:
        raise UserError(f"{name}: it is not of items of the kind of {data.name}; name one that is")
    if data.preprocessing is not None and model.preprocessing != data.preprocessing:
        theirs, ours = (dataclasses.asdict(each) for each in (model.preprocessing, data.preprocessing))
        flags = " ".join(f"--{key} {value}" for key, value in theirs.items() if value != ours[key])
        raise UserError(f"{name}: its pictures were prepared in another way: pass {flags}")
    encoder = Frozen(model.networks["encoder"])
    description: PartDescription = {
        "kind": "run",
        "name": spec.short_name,
        "code_dim": model.config.code_dim,
        "run": {field: getattr(model.config, field) for field in fields_with(Fact.ARCHITECTURE)},
        "checksum": state_dict_checksum(encoder.state_dict()),
    }
    return Part(description, encoder, Frozen(model.networks["decoder"]) if with_decoder else None)


def _open_frozen(
    spec: PartSpec,
    given: str | nn.Module,
    config: Config,
    data: Dataset,
    device: torch.device,
    code_dim: int | None,
) -> Part:
    if not data.is_image_data:
        raise UserError(f"--representation {spec.text}: it takes images, and {data.name} is made of points")
    weights = config.representation_weights and Path(config.representation_weights)
    opened = open_features(given, weights or None, _item_shape(data))
    with progress_bar(f"whitening {spec.text}") as progress:
        encoder = fit_encoder(
            opened.module, data, device, code_dim, shift=config.tolerated_shift, progress=progress
        )
    sigma, dimensions = encoder.log_sigma.exp(), counted(len(encoder.log_sigma), "dimension")
    shift = counted(config.tolerated_shift, "pixel")
    logger.info(
        f"{spec.text}: {len(encoder.mean):,} features, whitened to {dimensions}; "
        f"median sigma {float(sigma.median()):.3g}, under a shift of {shift} and the noise of 8 bits"
    )
    description: PartDescription = {
        "kind": "frozen",
        "name": spec.short_name,
        "code_dim": len(encoder.directions),
        "feature_dim": len(encoder.mean),
        "network": opened.description,
        "checksum": state_dict_checksum(encoder.features.state_dict()),
    }
    return Part(description, encoder.cpu())


def _item_shape(data: Dataset) -> tuple[int, int, int]:
    """Return the shape of an image as networks take it."""
    height, width, channels = data.train.shape[1:]
    return channels, height, width
