"""Flags of avae demo."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from avae.cli.flags.train import Train, check_run
from avae.cli.options import Device
from avae.cli.parsing import parse
from avae.distributed.launcher import world_size
from avae.errors import UserError
from avae.recipes.registry import demo, with_overrides
from avae.training.run_folder import resume_config


@dataclass(frozen=True)
class Demo:
    """Train on bundled emoji, write a report, and say how real the reconstructions look.

    Example: avae demo
    """

    out: Path = Path(demo().out)
    """The run folder."""
    steps: int | None = demo().steps
    """Optimizer steps; by default as many as take 6 minutes here."""
    seed: int = 0
    """Seed for initial weights, order of data and noise."""
    device: Device = "auto"
    resume: bool = False
    """Resume an interrupted demo; omitted flags keep its values."""
    overwrite: bool = False
    """Replace an earlier demo."""


def read(arguments: list[str]) -> Train:
    """Parse flags, and return the run that the demo trains."""
    options = parse(Demo, "avae demo", arguments)
    if world_size() > 1:
        raise UserError("the demo runs in one process: under torchrun, train demo and then evaluate")
    config = dataclasses.replace(demo(), out=str(options.out))
    if options.resume:
        config = resume_config(config)
        if config.framework != demo().framework:
            raise UserError(
                f"--framework of the run in {options.out} is {config.framework}, and the demo is about "
                f"{demo().framework}: resume it with avae train demo --resume, or pass --out"
            )
        left_out = Demo(options.out, config.steps, config.seed, config.device)
        options = parse(Demo, "avae demo", arguments, left_out)
    config = with_overrides(config, {"steps": options.steps, "seed": options.seed, "device": options.device})
    run = Train(config, options.resume, options.overwrite)
    check_run(run)
    return run
