"""Flags of avae table1."""

import dataclasses
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

from tyro.conf import arg

from avae.cli.parsing import parse
from avae.distributed.launcher import world_size
from avae.errors import UserError
from avae.recipes.config import Config, table_flags
from avae.recipes.paper import DEFAULT_ROWS, Row, table1_config

SHARED = dataclasses.replace(table1_config("cifar10", "avae-b"), size=None)
"""Defaults of the shared flags; the size is that of each recipe."""


@dataclass(frozen=True)
class Table1:
    """Rebuild the paper's table: train and measure models x data sets x seeds, and write OUT/table.md.

    The same command resumes an interrupted table. Start it several times, on any machines that share OUT, to
    divide the runs between them (docs/table1.md has a SLURM script).

    Example: avae table1 --data cifar10 svhn --frameworks vae gan avae-b --seeds 5 --out table

    Exit code: 0 all runs are measured, 1 a run failed or collapsed (the table has the reason), 3 other
    workers still have runs to finish.
    """

    data: tuple[str, ...] = ()
    """Columns: bedroom, celeba, cifar10, cifar100, svhn; RECIPE=SOURCE for one of these with other data
    (cifar10=cifar10-jpeg.tar.gz); or custom pictures, as --data of avae train."""
    out: Path = Path("table1")
    """Folder for the runs, SET/ROW/seed-N, and for table.md, table.csv and table.json."""
    frameworks: tuple[Row, ...] = DEFAULT_ROWS
    """Rows, by default the paper's and avae-xi-b. Names of AVAE show if it has xi, and its latent loss (a:
    Eq. 12, b: Eq. 16). docs/frameworks.md describes the others."""
    seeds: int = 5
    """Number of runs per cell; their seeds are 0, 1, ..."""
    protocol: Literal["paper", "standard"] = "paper"
    """Protocol of the evaluation, see docs/metrics.md."""
    features: str = "auto"
    """Features for FID: auto, inception, cifar10-resnet, FILE.py:attr or package.module:attr, as avae
    evaluate."""
    inception_weights: Path | None = None
    """File of the Inception weights; by default downloaded to the cache."""
    lpips_weights: Path | None = None
    """File of the AlexNet weights for LPIPS; by default downloaded to the cache."""
    samples: int | None = None
    """Number of samples to evaluate each run on; by default that of avae evaluate."""
    table_only: bool = False
    """Only write the table from the results in OUT."""
    dry_run: bool = False
    """Only print what would be done, as commands."""


def with_settings(options: type[Table1]) -> type[Table1]:
    """Return the options, extended by a flag for each config field that all runs share."""
    hints = get_type_hints(Config)
    settings = [
        (name, Annotated[hints[name], arg(help=flag.help)], field(default=getattr(SHARED, name)))
        for name, flag in table_flags().items()
    ]
    made = make_dataclass(options.__name__, settings, bases=(options,), frozen=True)
    made.__doc__ = options.__doc__
    return made


def read(arguments: list[str]) -> Table1:
    """Parse flags, and check them."""
    options = parse(with_settings(Table1), "avae table1", arguments)
    if not options.table_only:
        if world_size() > 1:
            raise UserError(
                "table1 runs in one process: instead of torchrun, start the command several times"
            )
        validate_options(options)
    return options


def validate_options(options: Table1) -> None:
    """Raise UserError for invalid options, which would otherwise fail after hours."""
    if not options.data:
        raise UserError("--data is missing: name the columns, such as cifar10, or RECIPE=SOURCE")
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: train 1 or more")
    if options.samples is not None and options.samples < 1:
        raise UserError(f"--samples {options.samples}: measure 1 or more")
    if len(set(options.frameworks)) < len(options.frameworks) or not options.frameworks:
        raise UserError(f"--frameworks {' '.join(options.frameworks)}: name each row once")
    for name in ("inception_weights", "lpips_weights"):
        path = getattr(options, name)
        if path is not None and not path.is_file():
            raise UserError(f"--{name.replace('_', '-')} {path}: no such file")
