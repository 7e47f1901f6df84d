"""The two commands that make a cell: `avae train` and `avae evaluate`."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from avae.recipes.config import Config, flag
from avae.recipes.registry import get_recipe
from avae.table1.jobs import Job

AVAE = (sys.executable, "-P", "-m", "avae")
"""Without the folder we are in on the path of modules, as the installed command has it."""


@dataclass(frozen=True)
class EvaluationOptions:
    """How runs are measured; None: as `avae evaluate` does by itself.

    Attributes:
        protocol: paper or standard.
        features, inception_weights, lpips_weights, samples, device, cache: flags of `avae evaluate`.
    """

    protocol: str
    features: str | None = None
    inception_weights: Path | None = None
    lpips_weights: Path | None = None
    samples: int | None = None
    device: str | None = None
    cache: str | None = None


def train_command(job: Job) -> list[str]:
    """Return the arguments of `avae` that train a run, or go on with it."""
    usual = get_recipe(job.config.recipe)
    changed = {
        field.name: getattr(job.config, field.name)
        for field in dataclasses.fields(Config)
        if field.name != "recipe" and getattr(job.config, field.name) != getattr(usual, field.name)
    }
    return ["train", job.config.recipe, *_flags({"data": usual.data} | changed), "--resume"]


def evaluate_command(job: Job, how: EvaluationOptions) -> list[str]:
    """Return the arguments of `avae` that measure a run."""
    return ["evaluate", job.config.out, *_flags({"data": job.config.data} | dataclasses.asdict(how))]


def _flags(values: dict[str, object]) -> list[str]:
    words: list[str] = []
    for name, value in values.items():
        if value is True:
            words.append(flag(name))
        elif value is not None and value is not False:
            words += [flag(name), str(value)]
    return words
