"""The two commands of a run: `avae train` and `avae evaluate`."""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from avae.recipes.registry import changed_settings
from avae.recipes.setting_names import flag
from avae.table1.jobs import Job

AVAE = (sys.executable, "-P", "-m", "avae")
"""Command that starts avae; -P keeps the current folder off the module path, as the installed script does."""


@dataclass(frozen=True)
class EvaluationOptions:
    """Options for evaluating the runs; None stands for the default of `avae evaluate`.

    Attributes:
        protocol: paper or standard.
        features, inception_weights, lpips_weights, samples, device, cache: the flags of `avae evaluate`.
    """

    protocol: str
    features: str = "auto"
    inception_weights: Path | None = None
    lpips_weights: Path | None = None
    samples: int | None = None
    device: str | None = None
    cache: str | None = None


def train_command(job: Job) -> list[str]:
    """Return the arguments of `avae` that train or resume a run."""
    values = {"data": job.config.data} | changed_settings(job.config)
    return ["train", job.config.recipe, *_flags(values), "--resume"]


def evaluate_command(job: Job, options: EvaluationOptions) -> list[str]:
    """Return the arguments of `avae` that evaluate a run."""
    flags = _flags({"data": job.config.data} | dataclasses.asdict(options))
    return ["evaluate", job.config.out, "--overwrite", *flags]


def _flags(values: dict[str, object]) -> list[str]:
    arguments: list[str] = []
    for name, value in values.items():
        if value is True:
            arguments.append(flag(name))
        elif value is not None and value is not False:
            arguments += [flag(name), str(value)]
    return arguments
