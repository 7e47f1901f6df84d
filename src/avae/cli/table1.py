"""avae table1 [flags]"""

import dataclasses
import logging
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_type_hints

from tyro.conf import arg

from avae.cli.parsing import parse
from avae.console import say
from avae.errors import UserError
from avae.recipes.config import Config, table_flags
from avae.recipes.paper import ROWS, Row, table1_config

if TYPE_CHECKING:
    from avae.table1.commands import EvaluationOptions
    from avae.table1.jobs import Job
    from avae.table1.table import Table

logger = logging.getLogger(__name__)

FAILED, ELSEWHERE = 1, 3

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
    frameworks: tuple[Row, ...] = ROWS
    """Rows, by default all. Names of AVAE show if it has xi, and its latent loss (a: Eq. 12, b: Eq. 16)."""
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


def run(arguments: list[str]) -> int:
    """Train and evaluate missing runs, and write the table."""
    options = parse(with_settings(Table1), "avae table1", arguments)
    if options.table_only:
        from avae.table1.export import write_table

        check_protocol(options.out, options.protocol)
        made = write_table(options.out, options.protocol)
        print_summary(made, options.out)
        return FAILED if made.failed else 0
    # Imported here: they import torch, which help does not need.
    from avae.distributed.processes import world_size
    from avae.table1 import commands
    from avae.table1.jobs import columns, jobs
    from avae.table1.status import check_settings

    if world_size() > 1:
        raise UserError("table1 runs in one process: instead of torchrun, start the command several times")
    validate_options(options)
    # Settings without a value are set by each recipe.
    settings = {name: value for name in table_flags() if (value := getattr(options, name)) is not None}
    table_columns = columns(options.data, settings.get("cache"))
    table_jobs = jobs(table_columns, options.frameworks, options.seeds, options.out.absolute(), settings)
    how = commands.EvaluationOptions(
        protocol=options.protocol,
        features=options.features,
        inception_weights=options.inception_weights,
        lpips_weights=options.lpips_weights,
        samples=options.samples,
        device=None if settings["device"] == "auto" else settings["device"],
        cache=settings.get("cache"),
    )
    check_settings(table_jobs)
    if options.dry_run:
        print_plan(table_jobs, how)
        return 0
    return run_jobs(options, table_jobs, how)


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


def check_protocol(out: Path, protocol: str) -> None:
    """Raise UserError if all results are of the other protocol: an empty table would replace theirs."""
    other = "standard" if protocol == "paper" else "paper"
    ours, theirs = (list(out.glob(f"*/*/seed-*/evaluation/{name}.json")) for name in (protocol, other))
    if theirs and not ours:
        raise UserError(
            f"--protocol {protocol}: only {other} results exist ({theirs[0]}), so pass --protocol {other}"
        )


def print_plan(jobs: "list[Job]", how: "EvaluationOptions") -> None:
    """Print the remaining work of each run, as commands."""
    from avae.table1 import commands, status
    from avae.table1.lease import is_leased

    for job in jobs:
        failure = status.failure_of(job.run)
        if failure:
            say(f"# {job.name}: {failure.kind}, stays so until {job.run / status.FAILED} is deleted")
        elif status.is_measured(job, how):
            say(f"# {job.name}: done")
        else:
            note = ", held by another worker" if is_leased(job.run) else ""
            say(f"# {job.name}: {status.checkpoint_step(job.run)} of {job.config.steps} steps done{note}")
            if not status.is_trained(job):
                say(" ".join(["avae", *commands.train_command(job)]))
            say(" ".join(["avae", *commands.evaluate_command(job, how)]))


def run_jobs(options: Table1, jobs: "list[Job]", how: "EvaluationOptions") -> int:
    """Train and evaluate the remaining runs, and write the table after each; return the exit code."""
    from avae.data.cache import cache_folder
    from avae.evaluation.features import resolve_features
    from avae.evaluation.lpips import open_lpips
    from avae.load_data import load_dataset
    from avae.table1 import status
    from avae.table1.export import write_table
    from avae.table1.results import read_runs
    from avae.table1.worker import work

    due = [job for job in jobs if status.needs_work(job, how)]
    for column in dict.fromkeys(job.column for job in due):
        ours = [job for job in jobs if job.column == column]
        data = load_dataset(column.source, ours[0].config)
        for job in ours:
            status.check_data(job, data.checksum)
    if due:
        # Chosen once, so that all runs are measured in the same features.
        spec = resolve_features(how.features, how.inception_weights, cache_folder(how.cache))
        how = dataclasses.replace(how, features=spec)
    features = open_requested_features(how) if due else None
    if due and options.lpips_weights:
        open_lpips(options.lpips_weights, "cpu")  # opened now, so that wrong weights fail before training
    for job in jobs:
        status.check_measured(job, how, features)
    logger.info(f"{len(jobs)} runs, {len(due)} of them to be trained or evaluated")
    read_runs(options.out, how.protocol)  # raises now if results cannot be in one table
    tally = work(jobs, how, lambda: write_table(options.out, how.protocol))
    if tally.signal is not None:
        logger.info("stopped, all saved; the same command resumes")
        return 128 + tally.signal
    print_summary(write_table(options.out, how.protocol), options.out)
    if tally.elsewhere:
        logger.info(f"in progress by other workers: {', '.join(tally.elsewhere)}")
    if tally.failed or any(status.failure_of(job.run) for job in jobs):
        return FAILED
    return ELSEWHERE if tally.elsewhere else 0


def open_requested_features(how: "EvaluationOptions") -> str | None:
    """Open `--features` before training and return their checksum; None if their weights are unavailable.

    Raises:
        UserError: the features cannot be opened.
    """
    from avae.data.cache import cache_folder
    from avae.evaluation.features import open_features
    from avae.evaluation.pretrained_weights import MissingWeightsError

    try:
        return open_features(how.features, how.inception_weights, "cpu", cache_folder(how.cache)).checksum
    except MissingWeightsError as missing:
        logger.info(f"note: there will be no FID: {missing}")
        return None


def print_summary(made: "Table", out: Path) -> None:
    """Print the table's path, failed runs, and how many comparisons confirm the published order."""
    from avae.table1.statistics import count

    for run, why in made.failed.items():
        say(f"{run}: {why}")
    for column in made.columns:
        if column.checks:
            answers = ", ".join(f"{answer} {number}" for answer, number in count(column.checks).items())
            say(f"{column.data}: the published order of models: {answers}")
    say(f"table: {out / 'table.md'}")
