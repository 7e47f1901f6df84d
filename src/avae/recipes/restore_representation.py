"""Rebuild the parts of a representation from their description in a model file."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from avae.errors import UserError
from avae.frameworks.contracts import DECODER, GAUSSIAN_ENCODER
from avae.frameworks.representations import Frozen, WhitenedEncoder
from avae.json_io import convert
from avae.pretrained.features import restore_features
from avae.recipes.build import build_network
from avae.recipes.config import Config, check_fields, validate
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.parts import Part, Parts
from avae.recipes.representations import PartDescription, parse_representation
from avae.recipes.resolve import ResolvedConfig, with_defaults

MAX_SIZE = 2**20
"""Largest number of features that a model file may ask for."""


def restore_parts(descriptions: Sequence[PartDescription], given: str | nn.Module | None) -> Parts:
    """Return the parts of a model; the values of their networks are those of the model file, read later.

    Args:
        descriptions: the parts as plain data.
        given: the code that some of them name, which no file may run: the text of --representation, or the
            module itself.

    Raises:
        UserError: such code is not given, or has changed since.
        ValueError: a description is not that of a part.
    """
    codes: list[str | nn.Module] = []
    if isinstance(given, nn.Module):
        codes = [given]
    elif given:
        codes = [part.text for part in parse_representation(given) if part.is_code]
    parts = []
    for description in descriptions:
        if description["kind"] == "run":
            parts.append(_run(description))
        elif description["kind"] == "frozen":
            parts.append(_frozen(description, codes))
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


def _frozen(description: PartDescription, codes: list[str | nn.Module]) -> Part:
    network = description["network"]
    needs_code = network["kind"] in ("code", "module")
    module = restore_features(network, codes.pop(0) if needs_code and codes else None)
    sizes = description["feature_dim"], description["code_dim"]
    if not all(0 < size <= MAX_SIZE for size in sizes):
        raise ValueError(f"features of sizes {sizes}")
    return Part(description, WhitenedEncoder(module, *sizes))


def _run(description: PartDescription) -> Part:
    config = run_config(description["run"])
    family = NETWORK_FAMILIES[config.network].load()
    encoder, decoder = (build_network(contract, family, config) for contract in (GAUSSIAN_ENCODER, DECODER))
    return Part(description, Frozen(encoder), Frozen(decoder))


def run_config(settings: Mapping[str, Any]) -> ResolvedConfig:
    """Return a config with the settings that a model's networks are built from.

    Raises:
        ValueError, UserError: no model has such settings.
    """
    check_fields(settings, "config.json has an unknown field")
    config = convert(dataclasses.asdict(Config(recipe="", data="", out="", steps=1)) | dict(settings), Config)
    validate(config)
    return with_defaults(config)
