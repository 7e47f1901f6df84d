"""avae train RECIPE [flags]"""

import shlex

from avae.cli.flags.train import Train
from avae.console import say
from avae.distributed.launcher import rank
from avae.recipes.config import Config
from avae.recipes.frameworks import FRAMEWORKS
from avae.training.train import run as train


def run(options: Train) -> int:
    """Train a recipe; return 0, or 128 + the number of the signal that stopped it."""
    if options.dry_run:
        from avae.profiling.dry_run import dry_run  # slow to import, and rarely asked for

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
