"""avae train RECIPE [flags]"""

import shlex
from dataclasses import dataclass

from avae.cli.parsing import parse
from avae.console import say
from avae.errors import UserError
from avae.recipes.config import Config
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.registry import RECIPES, get_recipe


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


def run(arguments: list[str]) -> int:
    """Train a recipe; return 0, or 128 + the number of the signal that stopped it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0
    name, *flags = arguments
    if name.startswith("-"):
        raise UserError(f"name a recipe before {name}: {', '.join(RECIPES)}")
    prog = f"avae train {name}"
    options = parse(Train, prog, flags, Train(get_recipe(name)))
    # Imported here: they import torch, which help does not need.
    from avae.distributed.processes import rank
    from avae.training.run_folder import resume_config
    from avae.training.train import run as train

    if options.resume:
        options = parse(Train, prog, flags, Train(resume_config(options.config)))
    if options.dry_run:
        from avae.profiling.dry_run import dry_run

        dry_run(options.config, resume=options.resume, overwrite=options.overwrite)
        return 0
    result = train(options.config, resume=options.resume, overwrite=options.overwrite)
    if result.signal is not None:
        return 128 + result.signal
    if rank() == 0:
        say(*_next_steps(options.config).split("\n"))
    return 0


def _next_steps(config: Config) -> str:
    """Return where the model is, and commands to look at it."""
    run = shlex.quote(config.out)
    reconstruct = [f"avae reconstruct {run} PICTURES"] * ("encoder" in FRAMEWORKS[config.framework].parts)
    commands = [f"avae evaluate {run}", *reconstruct, f"avae sample {run}"]
    return "\n".join([f"the model is in {config.out}; next:", *(f"  {command}" for command in commands)])


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
