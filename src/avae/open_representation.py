"""Open the representation that a run is trained on: its frozen networks, whitened on the training data."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avae.console import SILENT, Progress, progress_bar
from avae.data.dataset import Dataset, as_tensor, evenly_spaced
from avae.errors import UserError, counted
from avae.evaluation.pretrained_weights import state_dict_checksum
from avae.frameworks.representations import Frozen, WhitenedEncoder
from avae.frameworks.representations.whitening import fit_whitening, set_sigma, tolerance
from avae.model import load
from avae.pretrained.features import open_features
from avae.recipes.config import Config, fields_with
from avae.recipes.facts import Fact
from avae.recipes.parts import Part, Parts, numbered, vae_alone
from avae.recipes.representations import VAE, PartDescription, PartSpec, parse_representation, path_of
from avae.recipes.resolve import CODE_DIM
from avae.rng import row_chunks

logger = logging.getLogger(__name__)

MAX_ITEMS = 20_000
"""Maximum number of training items that a whitening is fitted to, evenly spaced."""

MAX_VALUES = 2**29
"""Maximum number of their features, which are in memory."""

TOLERANCE_ITEMS = 1000
"""Number of items from which the posterior scale of frozen features is measured."""

_BATCH = 64


def with_representation(
    config: Config,
    data: Dataset,
    device: torch.device,
    *,
    module: nn.Module | None = None,
    saved: Sequence[PartDescription] | None = None,
    fitted: bool = False,
) -> tuple[Config, Parts]:
    """Open a run's representation, with a progress bar; return its parts, and the config with its code_dim.

    Args and errors are those of `open_parts`.
    """
    if config.representation == VAE:
        parts = vae_alone(config)
        return dataclasses.replace(config, code_dim=parts[0].code_dim), parts
    with progress_bar(f"opening {config.representation}") as progress:
        parts = open_parts(config, data, device, module=module, saved=saved, fitted=fitted, progress=progress)
    return dataclasses.replace(config, code_dim=sum(part.code_dim for part in parts)), parts


def open_parts(
    config: Config,
    data: Dataset,
    device: torch.device,
    *,
    module: nn.Module | None = None,
    saved: Sequence[PartDescription] | None = None,
    fitted: bool = False,
    progress: Progress = SILENT,
) -> Parts:
    """Open the parts of the representation that a config names.

    Args:
        config: configuration of the run.
        data: its data.
        device: device to extract features on.
        module: the network, if it was passed from Python.
        saved: description of the parts of a resumed run, which must be the same.
        fitted: True if a checkpoint with the whitening is loaded next, so that none is fitted.
        progress: counts the items that a whitening is fitted to.

    Raises:
        UserError: a part cannot be opened, does not fit the data, or has changed since the run began.
    """
    specs = parse_representation(config.representation)
    code_dims = [part["code_dim"] for part in saved] if saved else [config.code_dim] * len(specs)
    opened: list[Part] = []
    for spec, code_dim in zip(specs, code_dims, strict=True):
        if spec.kind == "run":
            opened.append(_open_run(spec, data))
        elif spec.kind == "frozen":
            opened.append(_open_frozen(spec, config, data, device, module, code_dim, fitted, progress))
        else:
            opened.append(_learned(spec, data, code_dim))
    parts = _named(opened)
    if saved and [part.description for part in parts] != list(saved):
        raise UserError(
            f"--representation {config.representation}: it is not the one that the run in {config.out} began "
            "with, whose weights or code were different: restore it, or pass another --out"
        )
    return parts


def _named(parts: Sequence[Part]) -> Parts:
    """Return parts with different names."""
    names = numbered([part.name for part in parts])
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


def _open_run(spec: PartSpec, data: Dataset) -> Part:
    path = path_of(spec)
    model = load(path, device="cpu")
    name = f"--representation {spec.text}"
    if model.representation or "encoder" not in model.networks or model.framework.sigma() is None:
        raise UserError(f"{name}: it is no run with the encoder and decoder of a VAE; name one that is")
    if model.is_image_model != data.is_image_data:
        raise UserError(f"{name}: it is not of items of the kind of {data.name}; name one that is")
    if data.preprocessing is not None and model.preprocessing != data.preprocessing:
        theirs, ours = (dataclasses.asdict(each) for each in (model.preprocessing, data.preprocessing))
        flags = " ".join(f"--{key} {value}" for key, value in theirs.items() if value != ours[key])
        raise UserError(f"{name}: its pictures were prepared in another way: pass {flags}")
    encoder, decoder = Frozen(model.networks["encoder"]), Frozen(model.networks["decoder"])
    description: PartDescription = {
        "kind": "run",
        "name": path.resolve().name,
        "code_dim": model.config.code_dim,
        "run": {field: getattr(model.config, field) for field in fields_with(Fact.ARCHITECTURE)},
        "checksum": state_dict_checksum(encoder.state_dict()),
    }
    return Part(description, encoder, decoder)


def _open_frozen(
    spec: PartSpec,
    config: Config,
    data: Dataset,
    device: torch.device,
    module: nn.Module | None,
    code_dim: int | None,
    fitted: bool,
    progress: Progress,
) -> Part:
    if not data.is_image_data:
        raise UserError(f"--representation {spec.text}: it takes images, and {data.name} is made of points")
    weights = config.representation_weights and Path(config.representation_weights)
    given = module if module is not None and spec.is_module else spec.text
    opened = open_features(given, weights or None, _item_shape(data))
    features = Frozen(opened.module).to(device)
    count = min(len(data.train), MAX_ITEMS)
    (first,) = _extract(features, data.train[:1], device)
    feature_dim = len(first)
    if fitted:
        assert code_dim is not None
        encoder = WhitenedEncoder(opened.module, feature_dim, code_dim)
    else:
        items = evenly_spaced(data.train, min(count, MAX_VALUES // feature_dim))
        progress.update(0, len(items))
        mean, directions = fit_whitening(_extract(features, items, device, progress), code_dim)
        encoder = WhitenedEncoder(opened.module, feature_dim, len(directions))
        encoder.mean.copy_(mean)
        encoder.directions.copy_(directions)
        _measure_sigma(encoder.to(device), data, device, config.tolerated_shift)
        sigma = encoder.log_sigma.exp()
        logger.info(
            f"{spec.text}: {feature_dim:,} features, whitened to {counted(len(directions), 'dimension')} on "
            f"{counted(len(items), 'picture')}; sigma {float(sigma.median()):.3g} (median) under a shift of "
            f"{counted(config.tolerated_shift, 'pixel')} and the noise of 8 bits"
        )
    description: PartDescription = {
        "kind": "frozen",
        "name": spec.short_name,
        "code_dim": len(encoder.directions),
        "feature_dim": feature_dim,
        "network": opened.description,
        "checksum": state_dict_checksum(encoder.features.state_dict()),
    }
    return Part(description, encoder.cpu())


def _measure_sigma(encoder: WhitenedEncoder, data: Dataset, device: torch.device, shift: int) -> None:
    items = evenly_spaced(data.train, TOLERANCE_ITEMS)
    total = torch.zeros_like(encoder.log_sigma, dtype=torch.float64)
    for rows in row_chunks(len(items), _BATCH):
        total += tolerance(encoder, as_tensor(items[rows.start : rows.stop], device), shift, rows.start)
    set_sigma(encoder, total / (4 * len(items)))


@torch.no_grad()
def _extract(
    features: nn.Module, items: np.ndarray, device: torch.device, progress: Progress = SILENT
) -> Tensor:
    """Return the features (N, F) of images, float32 on the CPU."""
    parts = []
    for rows in row_chunks(len(items), _BATCH):
        parts.append(features(as_tensor(items[rows.start : rows.stop], device)).float().cpu())
        progress.advance(len(rows))
    return torch.cat(parts)


def _item_shape(data: Dataset) -> tuple[int, int, int]:
    """Return the shape of an image as networks take it."""
    height, width, channels = data.train.shape[1:]
    return channels, height, width
