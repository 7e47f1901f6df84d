"""avae train RECIPE [flags]"""

from dataclasses import dataclass

from avae.cli.parsing import parse
from avae.errors import UserError
from avae.recipes.catalogue import RECIPES, recipe
from avae.recipes.config import Config


@dataclass(frozen=True)
class Train:
    """Train a recipe.

    Example: avae train folder --data photos/ --size 64 --out runs/photos
    """

    config: Config
    resume: bool = False
    """Go on from the last checkpoint in --out; flags left out are as that run has them."""
    overwrite: bool = False
    """Replace the run in --out."""
    dry_run: bool = False
    """Print parameters, estimated memory and the time of a few steps, and start nothing."""


def run(arguments: list[str]) -> int:
    """Train; 0 once finished, 128 + the signal's number if one ended it early."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    name, *flags = arguments
    if name.startswith("-"):
        raise UserError(f"name a recipe before {name}: {', '.join(RECIPES)}")
    prog = f"avae train {name}"
    asked = parse(Train, prog, flags, Train(recipe(name)))
    # Here, for they import torch, which help does not need.
    from avae.runs.folder import resume_config
    from avae.runs.train import run as train

    if asked.resume:
        asked = parse(Train, prog, flags, Train(resume_config(asked.config)))
    if asked.dry_run:
        from avae.profiling.dry_run import dry_run

        dry_run(asked.config, resume=asked.resume, overwrite=asked.overwrite)
        return 0
    outcome = train(asked.config, resume=asked.resume, overwrite=asked.overwrite)
    return 0 if outcome.signal is None else 128 + outcome.signal


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
