"""The registry of recipes, and the recipes that are not the paper's."""

import dataclasses
from collections.abc import Callable
from typing import Any

from avae.errors import UserError, did_you_mean
from avae.recipes.config import Config
from avae.recipes.paper import bedroom, celeba, cifar10, cifar100, ffhq256, svhn
from avae.recipes.setting_names import check_fields


def toy() -> Config:
    """Train on the paper's two-dimensional example (section 5.1)."""
    return Config(
        recipe="toy",
        data="toy",
        out="runs/toy",
        steps=10_000,
        batch_size=256,
        network="mlp",
        width=128,
        code_dim=1,
        xi_dim=1,
        learning_rate=5e-4,
        log_every=100,
        checkpoint_every=2500,
    )


REALISTIC: dict[str, Any] = {
    "network": "resize",
    "beta": 0.2,
    "warm_start": 0.4,
    "latent_weighting": None,
    "latent_codes": "pairs",
    "spread": 1.0,
}
"""Settings for reconstructions that look real after minutes (ADR 12)."""


def folder() -> Config:
    """Train on a folder or archive of pictures: name it with --data."""
    return Config(
        recipe="folder",
        data="",
        out="runs/folder",
        steps=None,
        width=None,
        precision=None,
        **REALISTIC,
    )


def demo() -> Config:
    """Train on bundled emoji (32 px, colour), in minutes on a laptop."""
    return Config(
        recipe="demo",
        data="emoji",
        out="runs/demo",
        steps=None,
        minutes=6.0,
        size=32,
        width=16,
        precision=None,
        checkpoint_every=500,
        **REALISTIC,
    )


def digits() -> Config:
    """Train on bundled handwritten digits (16 px, grey), in a minute or two on a laptop."""
    return Config(
        recipe="digits",
        data="digits",
        out="runs/digits",
        steps=2000,
        width=16,
        code_dim=16,
        xi_dim=16,
        learning_rate=5e-4,
        checkpoint_every=500,
    )


RECIPES: dict[str, Callable[[], Config]] = {
    make.__name__: make
    for make in (demo, digits, toy, folder, cifar10, cifar100, svhn, celeba, bedroom, ffhq256)
}


def get_recipe(name: str) -> Config:
    """Return a recipe's defaults; raise UserError, with a suggestion, for an unknown name."""
    if name not in RECIPES:
        raise UserError(f"no recipe '{name}'{did_you_mean(name, RECIPES)}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()


def changed_settings(config: Config) -> dict[str, Any]:
    """Return the settings that differ from those of the config's recipe, by name."""
    recipe = get_recipe(config.recipe)
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}
    return {name: value for name, value in values.items() if value != getattr(recipe, name)}


def with_overrides(config: Config, overrides: dict[str, Any]) -> Config:
    """Return the config with some fields replaced; raise UserError for an unknown field."""
    check_fields(overrides, "a run has no setting")
    return dataclasses.replace(config, **overrides)
