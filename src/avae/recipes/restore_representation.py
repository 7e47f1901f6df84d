"""Rebuild the parts of a representation from their description in a model file."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from avae.errors import UserError
from avae.frameworks.contracts import DECODER, GAUSSIAN_ENCODER
from avae.frameworks.representations import Frozen, WhitenedEncoder
from avae.json_io import convert
from avae.pretrained.features import require_given_fits, restore_features
from avae.recipes.build import build_network, without_memory
from avae.recipes.config import Config
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.parts import Part, Parts
from avae.recipes.representations import PartDescription, parse_representation
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.recipes.setting_names import check_fields
from avae.recipes.validate import validate
from avae.safetensors_io import TensorType, first_difference, strip_prefix


def restore_parts(
    descriptions: Sequence[PartDescription],
    given: str | nn.Module | None,
    weights: Mapping[str, TensorType],
    item_shape: tuple[int, ...],
) -> Parts:
    """Return the parts of a model; the values of their networks are those of the model file, read later.

    Args:
        descriptions: the parts as plain data.
        given: the code that some of them name, which no file may run: the text of --representation, or the
            module itself.
        weights: types of the tensors of the model file. They are compared with the sizes of frozen networks
            before memory is taken: the descriptions may ask for any size.
        item_shape: shape of an item of the model, on which the given code is tried.

    Raises:
        UserError: such code is not given, has changed since, or is not that of the model.
        ValueError: a description is not that of a part, or does not fit the weights.
    """
    codes: list[str | nn.Module] = []
    if isinstance(given, nn.Module):
        codes = [given]
    elif given:
        codes = [part.text for part in parse_representation(given) if part.is_code]
    parts = []
    for description in descriptions:
        prefix = "encoder." if len(descriptions) == 1 else f"encoder.encoders.{description['name']}."
        own = strip_prefix(weights, prefix)
        if description["kind"] == "run":
            parts.append(_run(description, own))
        elif description["kind"] == "frozen":
            parts.append(_frozen(description, codes, own, item_shape))
        else:
            parts.append(Part(description))
    if codes:
        raise UserError("--representation names code that this model does not have: leave it out")
    return parts


def text_of(descriptions: Sequence[PartDescription]) -> str:
    """Return parts as the text of --representation names them, without folders."""
    return "+".join(_text(description) for description in descriptions)


def _text(description: PartDescription) -> str:
    if description["kind"] == "run":
        return f"run:{description['name']}"
    if description["kind"] == "frozen":
        network = description["network"]
        layer = f":{network['layer']}" if network.get("layer") else ""
        return (
            f"{network['name']}"
            if network["kind"] == "code"
            else f"{network['kind']}:{network['name']}{layer}"
        )
    return description["kind"]


def _frozen(
    description: PartDescription,
    codes: list[str | nn.Module],
    weights: Mapping[str, TensorType],
    item_shape: tuple[int, ...],
) -> Part:
    network = description["network"]
    sizes = description["feature_dim"], description["code_dim"]
    if "directions" not in weights or weights["directions"].shape != sizes[::-1]:
        raise ValueError(f"feature_dim and code_dim are {sizes}, which do not fit the weights")
    needs_code = network["kind"] in ("code", "module")
    given = codes.pop(0) if needs_code and codes else None
    own = strip_prefix(weights, "features.module.")
    module = restore_features(network, given, own)
    if given is not None:
        require_given_fits(module, given, own, item_shape, description["feature_dim"])
    return Part(description, WhitenedEncoder(module, *sizes))


def _run(description: PartDescription, weights: Mapping[str, TensorType]) -> Part:
    config = model_config(description["run"])
    family = NETWORK_FAMILIES[config.network].load()
    with without_memory():
        expected = Frozen(build_network(GAUSSIAN_ENCODER, family, config)).state_dict()
    difference = first_difference(expected, weights)
    if difference:
        raise ValueError(f"the run {description['name']} does not fit the weights: {difference}")
    encoder, decoder = (build_network(contract, family, config) for contract in (GAUSSIAN_ENCODER, DECODER))
    return Part(description, Frozen(encoder), Frozen(decoder))


def model_config(settings: Mapping[str, Any]) -> ResolvedConfig:
    """Return a config with the settings of a model; those that it lacks have their defaults.

    Raises:
        ValueError, UserError: no model has such settings.
    """
    check_fields(settings, "config.json has an unknown field")
    config = convert(dataclasses.asdict(Config(recipe="", data="", out="", steps=1)) | dict(settings), Config)
    validate(config)
    return with_defaults(config)
