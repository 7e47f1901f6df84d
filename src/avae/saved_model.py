"""The two files of a model: model.safetensors and config.json."""

import dataclasses
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, TypeVar

from torch import Tensor, nn

from avae.data.dataset import DataInfo
from avae.errors import UserError
from avae.files import write_json
from avae.frameworks.base import Framework
from avae.guarantees.centre_and_spread import has_spread
from avae.guarantees.intervals import Calibration
from avae.json_io import decode_json, read_json
from avae.priors.by_class import ClassPrior, restore_class_prior
from avae.priors.prior import Prior, PriorDescription, restore_prior, standard_prior
from avae.recipes.build import build_framework, expected_tensors
from avae.recipes.config import fields_with
from avae.recipes.facts import Fact
from avae.recipes.representations import PartDescription
from avae.recipes.resolve import ResolvedConfig
from avae.recipes.restore_representation import model_config, restore_parts, text_of
from avae.recipes.saved_run import WEIGHTS, model_folder, read_run
from avae.safetensors_io import (
    TensorType,
    first_difference,
    load_tensors,
    read_metadata,
    save_tensors,
    strip_prefix,
    tensor_types,
)

_PRIOR = "prior."
_RECOVERY_HINT = "fetch it again, or delete the newest file in its run's state folder and train with --resume"
_Each = TypeVar("_Each")


class SavedModel(NamedTuple):
    """What the files hold, see `avae.Model`."""

    framework: Framework
    config: ResolvedConfig
    data: Mapping[str, Any]
    prior: Prior | ClassPrior
    representation: list[PartDescription]
    calibration: Calibration | None


def write_model(folder: Path, model: SavedModel) -> None:
    """Write model.safetensors and config.json: weights and plain data, nothing executable."""
    weights = nn.ModuleDict(model.framework.networks).state_dict()
    metadata = {"avae": version("avae")}
    if model.prior.is_learned:
        # Beside its tensors, not in config.json, so that one atomic write replaces a prior.
        metadata["prior"] = json.dumps(model.prior.description)
        weights |= {f"{_PRIOR}{name}": tensor for name, tensor in model.prior.state_dict().items()}
    if model.calibration:
        metadata["calibration"] = json.dumps(dataclasses.asdict(model.calibration))
    save_tensors(folder / WEIGHTS, weights, metadata)
    config = dataclasses.asdict(model.config)
    for name in fields_with(Fact.PATH):
        del config[name]
    description: dict[str, Any] = {"avae": version("avae"), "config": config, "data": model.data}
    if model.representation:
        description["representation"] = model.representation
    write_json(folder / "config.json", description)


def read_model(
    path: str | os.PathLike[str],
    networks: Mapping[str, nn.Module] | None = None,
    representation: str | nn.Module | None = None,
) -> SavedModel:
    """Read what `write_model` wrote; arguments and errors are those of `avae.load`."""
    folder = model_folder(path)
    config, data, described = _read_config(folder / "config.json")
    run = read_run(Path(path))
    if run:  # the model's config has no paths
        built = {name: getattr(config, name) for name in (*fields_with(Fact.ARCHITECTURE), "representation")}
        config = dataclasses.replace(run.config, **built)
    path = folder / WEIGHTS
    types = _tensor_types(path)
    # Compared before a network is built: the files may ask for any size.
    if representation is not None and not described:
        raise UserError(f"representation={representation!r}: this model has none of its own: leave it out")
    try:
        parts = restore_parts(described, representation, types, config.item_shape) if described else None
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"{folder / 'config.json'} is damaged ({error}); {_RECOVERY_HINT}") from None
    try:
        expected = expected_tensors(config, networks or {}, parts)
    except ValueError as error:
        raise UserError(f"{folder / 'config.json'} is damaged ({error}); {_RECOVERY_HINT}") from None
    difference = first_difference(expected, _without_prior(types))
    if difference:
        raise UserError(
            f"{path} does not fit its config.json ({difference}): "
            "for a model with custom networks, pass networks="
        )
    framework = build_framework(config, networks, parts)
    weights, prior, calibration = _read_weights(path, config.code_dim, len(config.classes))
    if calibration and not (len(config.item_shape) == 3 and has_spread(framework)):
        raise UserError(f"{path}: it has a calibration, and no intervals to calibrate; {_RECOVERY_HINT}")
    nn.ModuleDict(framework.networks).load_state_dict(weights)
    return SavedModel(framework, config, data, prior, described, calibration)


def is_calibrated(folder: Path) -> bool:
    """Return True if a folder holds a calibrated model; of its weights nothing is read."""
    try:
        return "calibration" in read_metadata(folder / WEIGHTS)
    except (OSError, UserError):
        return False


def load_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a run or model folder, by their names in the framework."""
    tensors, _ = _read_tensors(model_folder(path) / WEIGHTS)
    return _without_prior(tensors)


def _read_weights(
    path: Path, code_dim: int, classes: int
) -> tuple[dict[str, Tensor], Prior | ClassPrior, Calibration | None]:
    """Read weights, prior and calibration that `write_model` wrote; without a prior, it is N(0, I)."""
    tensors, metadata = _read_tensors(path)
    prior = _restore_prior(path, tensors, metadata, code_dim, classes)
    return _without_prior(tensors), prior, _restore_calibration(path, metadata)


def _restore_calibration(path: Path, metadata: Mapping[str, str]) -> Calibration | None:
    if "calibration" not in metadata:
        return None
    try:
        return decode_json(metadata["calibration"], Calibration)
    except ValueError as error:
        raise UserError(
            f"{path}: its calibration is damaged, or of another version of avae ({error}); {_RECOVERY_HINT}"
        ) from None


def _restore_prior(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], code_dim: int, classes: int
) -> Prior | ClassPrior:
    if "prior" not in metadata:
        return standard_prior(code_dim)
    state = strip_prefix(tensors, _PRIOR)
    try:
        prior: Prior | ClassPrior
        if classes:
            descriptions = decode_json(metadata["prior"], list[PriorDescription])
            if len(descriptions) != classes:
                raise ValueError("it has another number of classes")
            prior = restore_class_prior(descriptions, code_dim, state)
        else:
            prior = restore_prior(decode_json(metadata["prior"], PriorDescription), code_dim, state)
    except (ValueError, KeyError, TypeError, RuntimeError):
        raise UserError(
            f"{path}: its prior is damaged, or of another version of avae; {_RECOVERY_HINT}"
        ) from None
    return prior


def _tensor_types(path: Path) -> dict[str, TensorType]:
    try:
        return tensor_types(path)
    except UserError as error:
        raise UserError(f"{error}; {_RECOVERY_HINT}") from None


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return load_tensors(path)
    except UserError as error:
        raise UserError(f"{error}; {_RECOVERY_HINT}") from None


def _without_prior(tensors: Mapping[str, _Each]) -> dict[str, _Each]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(_PRIOR)}


class _ModelFile(TypedDict):
    """The content of config.json. A model of before 2026-11-27 has its recipe and its architecture only."""

    data: DataInfo
    config: NotRequired[dict[str, Any]]
    representation: NotRequired[list[PartDescription]]
    recipe: NotRequired[str]
    architecture: NotRequired[dict[str, Any]]


def _read_config(path: Path) -> tuple[ResolvedConfig, DataInfo, list[PartDescription]]:
    """Read the config.json that `write_model` wrote: config, and descriptions of data and representation."""
    try:
        description = read_json(path, _ModelFile)
        old = {"recipe": description.get("recipe"), **description.get("architecture", {})}
        values = description.get("config", old)
        represented = description.get("representation", [])
        if represented:
            values["representation"] = text_of(represented)
        if values.get("code_dim") is None:
            raise ValueError("it has no code_dim")
        resolved = model_config(values)
        if min(resolved.item_shape) < 1:
            raise ValueError(f"items are of shape {resolved.item_shape}")
        return resolved, description["data"], represented
    except (ValueError, KeyError, UserError) as error:
        raise UserError(
            f"{path} is damaged, or of another version of avae ({error}); {_RECOVERY_HINT}"
        ) from None
