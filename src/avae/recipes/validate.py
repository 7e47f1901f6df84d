"""Check a config, as far as that needs neither data nor device."""

import dataclasses
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from avae.errors import UserError
from avae.priors.registry import VAMP
from avae.recipes.config import Config, applies, facts
from avae.recipes.facts import Check, Needs
from avae.recipes.frameworks import FRAMEWORKS, titles_with, with_article
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.representations import is_standard_normal, parse_representation
from avae.recipes.setting_names import flag
from avae.recipes.weightings import parse_weighting


def validate(config: Config) -> None:
    """Raise UserError for a value that no run can have."""
    _check_types(config)
    for name, declared in facts().items():
        value = getattr(config, name)
        for fact in declared:
            if isinstance(fact, Check):
                _require(value is None or fact.holds(value), config, name, fact.remedy)
            if isinstance(fact, Needs) and fact.refused and value:
                remedy = f"{with_article(config.framework)} has no {fact.part}; leave it out"
                _require(applies(name, config.framework), config, name, remedy)
    if config.prior == VAMP:
        remedy = f"{with_article(config.framework)} has no posterior scale, which it is made of"
        parts = FRAMEWORKS[config.framework].parts
        _require("sigma" in parts or "encoder" not in parts, config, "prior", remedy)
        _require(config.condition == "none", config, "prior", "it has no classes: --condition none")
    if config.target_kl is not None:
        remedy = "must be a positive number for --target-kl to start from"
        _require(config.beta != "learned" and config.beta > 0, config, "beta", remedy)
    if config.beta == "learned" and applies("beta", config.framework):
        remedy = f"{with_article(config.framework)} has no Gaussian decoder alone for a loss; pass a number"
        _require("likelihood" in FRAMEWORKS[config.framework].parts, config, "beta", remedy)
    if config.keep_best is not None:
        _require(config.evaluate_every > 0, config, "keep_best", "set how often to measure: --evaluate-every")
    if config.latent_weighting is not None:
        parse_weighting(config.latent_weighting)
    paired = config.latent_codes == "pairs"
    _require(not config.spread or paired, config, "spread", "it compares pairs: --latent-codes pairs")
    _check_representation(config, paired)
    if config.condition == "classes":
        remedy = f"{with_article(config.framework)} has no conditional generator; choose --framework avae"
        _require(applies("condition", config.framework), config, "condition", remedy)
    _check_items(config)


NEEDED_KINDS = {"target_kl": "vae", "classifier_beta": "classifier", "tolerated_shift": "frozen"}
"""Fields that have an effect on one kind of representation only."""


def _check_representation(config: Config, paired: bool) -> None:
    """Raise UserError for a representation that the framework or the codes of the generator do not fit."""
    parts = parse_representation(config.representation)
    name = "representation"
    if [part.kind for part in parts] != ["vae"]:
        remedy = f"only {titles_with('representation')} have one to choose: --framework avae"
        _require(applies(name, config.framework), config, name, remedy)
    if applies("latent_codes", config.framework) and not is_standard_normal(config.representation):
        remedy = "its codes are not N(0, I), and others than pairs draw from it: --latent-codes pairs"
        _require(paired, config, name, remedy)
    kinds = {part.kind for part in parts}
    remedy = f"--representation {config.representation} has no variance to learn; pass a number"
    _require(config.beta != "learned" or "vae" in kinds, config, "beta", remedy)
    if not config.decoder:
        _require(
            "vae" not in kinds, config, name, "a VAE learns with its decoder, which must not be left out"
        )
    if not applies("latent_loss", config.framework) and applies("warm_start", config.framework):
        joint = config.warm_start == 0 and config.learns_alone
        remedy = "its generator is trained on a finished representation: choose a share above 0"
        _require(not joint, config, "warm_start", remedy)
    defaults = {field.name: field.default for field in dataclasses.fields(Config)}
    for field, kind in NEEDED_KINDS.items():
        remedy = f"--representation {config.representation} has no use for it; leave it out"
        _require(kind in kinds or getattr(config, field) == defaults[field], config, field, remedy)


def _check_items(config: Config) -> None:
    """Raise UserError for a setting that does not fit the kind of items that the networks draw."""
    family = NETWORK_FAMILIES[config.network]
    if family.items == "images":
        _require(config.channels in (None, 1, 3), config, "channels", "must be 1 (grey) or 3 (colour)")
    else:
        for name in ("augment", "flip"):
            _require(not getattr(config, name), config, name, "is for images, not points")
    if family.sizes and config.size not in (None, *family.sizes):
        sizes = ", ".join(map(str, family.sizes))
        raise UserError(f"--size {config.size}: {config.network} draws {sizes} pixels")


def _check_types(config: Config) -> None:
    """Raise UserError for a value that is not of its field's type, as Python callers may pass."""
    for name, hint in get_type_hints(Config).items():
        value = getattr(config, name)
        parts = (hint,) if get_origin(hint) in (Literal, dict) else get_args(hint) or (hint,)
        _require(any(_fits(value, part) for part in parts), config, name, f"must be {_kinds(parts)}")
        too_large = isinstance(value, int) and abs(value) >= 2**63
        _require(not too_large, config, name, "is larger than any run can be")


def _fits(value: object, part: Any) -> bool:
    """Return True if a value is of one part of a field's type: int passes as float, bool not as a number."""
    if get_origin(part) is Literal:
        return value in get_args(part)
    if get_origin(part) is dict:
        return isinstance(value, dict) and all(_fits(n, str) and _fits(k, int) for n, k in value.items())
    accepted = (int, float) if part is float else part
    return isinstance(value, accepted) and (part is bool or not isinstance(value, bool))


def _kinds(parts: tuple[Any, ...]) -> str:
    words: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "True or False",
        NoneType: "None",
        dict[str, int]: "whole numbers by name",
    }
    return " or ".join(words.get(part) or f"one of {', '.join(get_args(part))}" for part in parts)


def _require(holds: bool, config: Config, name: str, what: str) -> None:
    if not holds:
        raise UserError(f"{flag(name)} {getattr(config, name)}: {what}")
