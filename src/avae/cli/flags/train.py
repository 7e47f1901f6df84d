"""Flags of avae train."""

import sys
from dataclasses import dataclass

from avae.cli.parsing import parse
from avae.data.sources.resolve import require_source
from avae.errors import UserError
from avae.recipes.config import Config
from avae.recipes.registry import RECIPES, get_recipe
from avae.training.run_folder import resume_config
from avae.training.validate_run import validate_run


@dataclass(frozen=True)
class Train:
    """Train a recipe.

    Example: avae train folder --data photos/ --size 64 --out runs/photos
    """

    config: Config
    resume: bool = False
    """Resume from the last checkpoint in --out; omitted flags keep the values of that run."""
    overwrite: bool = False
    """Replace the run in --out."""
    dry_run: bool = False
    """Print the number of parameters, estimated memory and the time of a few steps, and do not train."""


def read(arguments: list[str]) -> Train:
    """Parse the recipe and flags, and check them."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        sys.exit(0)
    name, *flags = arguments
    if name.startswith("-"):
        raise UserError(f"name a recipe before {name}: {', '.join(RECIPES)}")
    prog = f"avae train {name}"
    options = parse(Train, prog, flags, Train(get_recipe(name)))
    if options.resume:
        options = parse(Train, prog, flags, Train(resume_config(options.config)))
    check_run(options)
    return options


def check_run(options: Train) -> None:
    """Raise UserError if settings, data or folder cannot be used, as far as that needs no PyTorch."""
    config, saved = validate_run(options.config, options.resume, options.overwrite)
    if saved is None:  # a finished run needs no data
        require_source(config.data)


def _help() -> str:
    firsts = {name: (make.__doc__ or "").partition("\n")[0] for name, make in RECIPES.items()}
    recipes = (f"  {name:<8} {first}" for name, first in firsts.items())
    return "\n".join(
        [
            "usage: avae train RECIPE [flags]",
            "",
            *recipes,
            "",
            "example: avae train folder --data photos/ --size 64 --out runs/photos",
            "",
            "avae train RECIPE --help lists the flags.",
        ]
    )
