"""The recipes by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

from avae.errors import UserError, suggestion
from avae.recipes.config import Config, check_fields
from avae.recipes.demo import demo
from avae.recipes.folder import folder
from avae.recipes.paper import bedroom, celeba, cifar10, cifar100, ffhq256, svhn
from avae.recipes.toy import toy

RECIPES: dict[str, Callable[[], Config]] = {
    make.__name__: make for make in (demo, toy, folder, cifar10, cifar100, svhn, celeba, bedroom, ffhq256)
}


def recipe(name: str) -> Config:
    """Return a recipe's defaults; raise UserError, with a suggestion, if there is none of that name."""
    if name not in RECIPES:
        raise UserError(f"no recipe '{name}'{suggestion(name, RECIPES)}; there are {', '.join(RECIPES)}")
    return RECIPES[name]()


def changed(config: Config, overrides: dict[str, Any]) -> Config:
    """Return the config with some fields replaced; raise UserError for a field that is none."""
    check_fields(overrides, "a run has no setting")
    return dataclasses.replace(config, **overrides)
