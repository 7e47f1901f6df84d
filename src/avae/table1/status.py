"""The status of a run of the table, determined from its folder alone."""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from avae.engine.checkpoint import latest_checkpoint, step_of
from avae.engine.metrics_log import read_stats
from avae.errors import UserError
from avae.evaluation.lpips import SMALLEST
from avae.evaluation.protocol import Result
from avae.evaluation.sample_count import SAMPLES
from avae.files import write_json
from avae.json_io import Count, read_json
from avae.recipes.config import Config, facts, fields_with
from avae.recipes.facts import Fact
from avae.recipes.paper import has_encoder
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.recipes.saved_run import read_run
from avae.recipes.setting_names import flag
from avae.shown_text import printable
from avae.table1.commands import EvaluationOptions
from avae.table1.jobs import Job
from avae.training.run_folder import result_path

FAILED = "failed.json"
"""File in the folder of a failed run."""


@dataclass(frozen=True)
class Failure:
    """Why a run has no model.

    Attributes:
        kind: "collapsed" or "failed".
        reason: error message.
        step: last step in its log.
    """

    kind: Literal["collapsed", "failed"]
    reason: str
    step: Count


def is_trained(job: Job) -> bool:
    """Return True if a run has completed all its steps."""
    return checkpoint_step(job.run) == job.config.steps


def is_measured(job: Job, options: EvaluationOptions) -> bool:
    """Return True if a run has a result of its last step, with FID and all else that the options allow."""
    result = read_result(job.run, options.protocol) if is_trained(job) else None
    if result is None or result["step"] != job.config.steps:
        return False
    misses_fid = result.get("features") is None
    misses_lpips = result.get("lpips") is None and options.lpips_weights and _has_lpips(job)
    return not misses_fid and not misses_lpips


def needs_work(job: Job, options: EvaluationOptions) -> bool:
    """Return True if a run must still be trained or evaluated, and has not failed."""
    return failure_of(job.run) is None and not is_measured(job, options)


def checkpoint_step(run: Path) -> int:
    """Return the step of a run's last checkpoint, 0 if there is none."""
    last = latest_checkpoint(run / "state")
    return step_of(last) if last else 0


def logged_step(run: Path) -> int:
    """Return the last step in a run's log, 0 if there is none."""
    lines = read_stats(run / "stats.jsonl")
    return int(lines[-1]["step"]) if lines else 0


def read_result(run: Path, protocol: str) -> Result | None:
    """Read a run's result, if there is one; raise UserError if it is damaged or of another protocol."""
    path = result_path(run, protocol)
    if not path.is_file():
        return None
    try:
        result = read_json(path, Result)
        if "step" not in result:
            raise ValueError("it names no step")
        if not result["data"]["checksum"]:
            raise ValueError("it names no data")
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it to measure the run again") from None
    if result["protocol"] != protocol:
        found = printable(result["protocol"])
        raise UserError(f"{path} is of the protocol {found}, not {protocol}: move it away")
    return result


def failure_of(run: Path) -> Failure | None:
    """Read why a run failed, if it did; to try the run again, delete this file.

    Raises:
        UserError: the file is damaged.
    """
    path = run / FAILED
    if not path.is_file():
        return None
    try:
        return read_json(path, Failure)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it to try the run again") from None


def record_failure(run: Path, reason: str) -> Failure:
    """Write to a run's folder why it failed."""
    collapsed = re.search(r"collapsed|not finite|\b(nan|inf)\b", reason)
    failure = Failure("collapsed" if collapsed else "failed", reason, logged_step(run))
    write_json(run / FAILED, dataclasses.asdict(failure) | {"date": date.today().isoformat()})
    return failure


def check_settings(jobs: Iterable[Job]) -> None:
    """Raise UserError, naming run and setting, if an existing run has other settings than requested."""
    for job in jobs:
        saved = read_run(job.run)
        if saved:
            _check_same(job.config, saved.config)


def check_data(job: Job, checksum: str) -> None:
    """Raise UserError if an existing run was trained on other data."""
    saved = read_run(job.run)
    if saved and saved.data["checksum"] != checksum:
        raise UserError(
            f"{job.run} was trained on {saved.data['name']} {saved.data['checksum'][:19]}, and --data "
            f"{job.column.source} is {checksum[:19]}: restore the data, or pass another --out"
        )


def check_measured(job: Job, options: EvaluationOptions, features: str | None) -> None:
    """Raise UserError if an existing result has another number of samples or other features.

    Args:
        job: run to check.
        options: requested evaluation.
        features: checksum of the requested features; None if they are unavailable.
    """
    result = read_result(job.run, options.protocol)
    if result is None:
        return
    requested = {"drawn": options.samples or SAMPLES, "checksum": features}
    found = {"drawn": result["counts"].get("drawn"), **(result.get("features") or {})}
    for key, name in (("drawn", "samples drawn"), ("checksum", "features")):
        if requested[key] and found.get(key) and requested[key] != found[key]:
            raise UserError(
                f"{result_path(job.run, options.protocol)} is of {found[key]} {name}, not {requested[key]}: "
                "ask for the same, or delete it to measure the run again"
            )


def _check_same(requested: Config, saved: ResolvedConfig) -> None:
    """Raise UserError for a differing field; open fields that the data determine are the saved run's."""
    open_fields = [name for name in fields_with(Fact.FROM_DATA) if getattr(requested, name) is None]
    known = {name: getattr(saved, name) for name in open_fields}
    resolved = with_defaults(dataclasses.replace(requested, **known))
    for name, declared in facts().items():
        expected, found = getattr(resolved, name), getattr(saved, name)
        if Fact.MAY_CHANGE not in declared and expected != found:
            raise UserError(
                f"{requested.out} is a run with {flag(name)} {found}, not {expected}: "
                "ask for that, or pass another --out"
            )


def _has_lpips(job: Job) -> bool:
    """Return True if LPIPS is defined for a run: its model reconstructs, and its images are large enough."""
    saved = read_run(job.run)
    return has_encoder(job.row) and saved is not None and saved.config.item_shape[-1] >= SMALLEST
