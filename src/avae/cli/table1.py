"""avae table1 [flags]"""

import dataclasses
import logging
from pathlib import Path

from avae.cli.flags.table1 import Table1
from avae.console import say
from avae.data.cache import cache_folder
from avae.errors import UserError
from avae.evaluation.features import open_features, resolve_features
from avae.evaluation.lpips import open_lpips
from avae.evaluation.pretrained_weights import MissingWeightsError
from avae.load_data import load_dataset
from avae.recipes.config import table_flags
from avae.table1 import commands, status
from avae.table1.commands import EvaluationOptions
from avae.table1.export import write_table
from avae.table1.jobs import Job, columns, jobs
from avae.table1.lease import is_leased
from avae.table1.results import read_runs
from avae.table1.statistics import count
from avae.table1.status import check_settings
from avae.table1.table import Table
from avae.table1.worker import work

logger = logging.getLogger(__name__)

FAILED, ELSEWHERE = 1, 3


def run(options: Table1) -> int:
    """Train and evaluate missing runs, and write the table."""
    if options.table_only:
        check_protocol(options.out, options.protocol)
        made = write_table(options.out, options.protocol)
        print_summary(made, options.out)
        return FAILED if made.failed else 0
    # Settings without a value are set by each recipe.
    settings = {name: value for name in table_flags() if (value := getattr(options, name)) is not None}
    table_columns = columns(options.data, settings.get("cache"))
    table_jobs = jobs(table_columns, options.frameworks, options.seeds, options.out.absolute(), settings)
    how = EvaluationOptions(
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


def check_protocol(out: Path, protocol: str) -> None:
    """Raise UserError if all results are of the other protocol: an empty table would replace theirs."""
    other = "standard" if protocol == "paper" else "paper"
    ours, theirs = (list(out.glob(f"*/*/seed-*/evaluation/{name}.json")) for name in (protocol, other))
    if theirs and not ours:
        raise UserError(
            f"--protocol {protocol}: only {other} results exist ({theirs[0]}), so pass --protocol {other}"
        )


def print_plan(jobs: list[Job], how: EvaluationOptions) -> None:
    """Print the remaining work of each run, as commands."""
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


def run_jobs(options: Table1, jobs: list[Job], how: EvaluationOptions) -> int:
    """Train and evaluate the remaining runs, and write the table after each; return the exit code."""
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


def open_requested_features(how: EvaluationOptions) -> str | None:
    """Open `--features` before training and return their checksum; None if their weights are unavailable.

    Raises:
        UserError: the features cannot be opened.
    """
    try:
        return open_features(how.features, how.inception_weights, "cpu", cache_folder(how.cache)).checksum
    except MissingWeightsError as missing:
        logger.info(f"note: there will be no FID: {missing}")
        return None


def print_summary(made: Table, out: Path) -> None:
    """Print the table's path, failed runs, and how many comparisons confirm the published order."""
    for run, why in made.failed.items():
        say(f"{run}: {why}")
    for column in made.columns:
        if column.checks:
            answers = ", ".join(f"{answer} {number}" for answer, number in count(column.checks).items())
            say(f"{column.data}: the published order of models: {answers}")
    say(f"table: {out / 'table.md'}")
