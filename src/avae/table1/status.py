"""How far a run of the table has come, told by its folder alone."""

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from avae.engine.checkpoint import latest_checkpoint, step_of
from avae.engine.metrics_log import read_stats
from avae.errors import UserError
from avae.evaluate_model import SAMPLES
from avae.evaluation.lpips import SMALLEST
from avae.files import write_json
from avae.recipes.config import Config, facts, fields_with, flag
from avae.recipes.facts import Fact
from avae.recipes.paper import has_encoder
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.table1.commands import EvaluationOptions
from avae.table1.jobs import Job
from avae.training.run_folder import read_run

FAILED = "failed.json"


@dataclass(frozen=True)
class Failure:
    """Why a run has no model.

    Attributes:
        kind: "collapsed", as the sentinel calls it, or "failed".
        reason: in words.
        step: last one in its log.
    """

    kind: str
    reason: str
    step: int


def is_trained(job: Job) -> bool:
    """Whether all steps of a run are done."""
    return checkpoint_step(job.run) == job.config.steps


def is_measured(job: Job, how: EvaluationOptions) -> bool:
    """Whether a run has a result, with all that the weights given can measure."""
    result = read_result(job.run, how.protocol) if is_trained(job) else None
    if result is None or result["step"] != job.config.steps:
        return False  # the latter if it was trained for longer since
    lacks_fid = result.get("features") is None and (how.features or how.inception_weights)
    lacks_lpips = result.get("lpips") is None and how.lpips_weights and _takes_lpips(job)
    return not lacks_fid and not lacks_lpips


def _takes_lpips(job: Job) -> bool:
    saved = read_run(job.run)
    return has_encoder(job.row) and saved is not None and saved.config.item_shape[-1] >= SMALLEST


def needs_work(job: Job, how: EvaluationOptions) -> bool:
    """Whether anything is left to be done for a run."""
    return failure_of(job.run) is None and not is_measured(job, how)


def checkpoint_step(run: Path) -> int:
    """Return the step of a run's last checkpoint, 0 without any."""
    last = latest_checkpoint(run / "state")
    return step_of(last) if last else 0


def logged_step(run: Path) -> int:
    """Return the last step in a run's log."""
    lines = read_stats(run / "stats.jsonl")
    return int(lines[-1]["step"]) if lines else 0


def result_path(run: Path, protocol: str) -> Path:
    """Return where `avae evaluate` puts a run's result."""
    return run / "evaluation" / f"{protocol}.json"


def read_result(run: Path, protocol: str) -> dict[str, Any] | None:
    """Read a run's result, if there is one; raise UserError if it is damaged or of another protocol."""
    path = result_path(run, protocol)
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        if not {"metrics", "counts", "protocol", "reconstruction", "step"} <= result.keys():
            raise ValueError("it is no result")
        if not result["data"]["checksum"]:
            raise ValueError("it tells no data")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it to measure the run again") from None
    if result["protocol"] != protocol:
        raise UserError(f"{path} is of the protocol {result['protocol']}, not {protocol}: move it away")
    return result


def failure_of(run: Path) -> Failure | None:
    """Read why a run failed, if it did; deleting that file lets it be tried again."""
    path = run / FAILED
    if not path.is_file():
        return None
    try:
        noted = json.loads(path.read_text())
        return Failure(noted["kind"], noted["reason"], noted["step"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it to try the run again") from None


def record_failure(run: Path, reason: str) -> Failure:
    """Note why a run failed in its folder."""
    kind = "collapsed" if re.search(r"collapsed|not finite|\b(nan|inf)\b", reason) else "failed"
    failure = Failure(kind, reason, logged_step(run))
    write_json(run / FAILED, dataclasses.asdict(failure) | {"date": date.today().isoformat()})
    return failure


def check_settings(jobs: Iterable[Job]) -> None:
    """Raise UserError, naming run and setting, unless every run that is there is the one asked for."""
    for job in jobs:
        saved = read_run(job.run)
        if saved:
            _check_same(job.config, saved.config)


def check_data(job: Job, checksum: str) -> None:
    """Raise UserError if a run that is there was made with other data."""
    saved = read_run(job.run)
    if saved and saved.data["checksum"] != checksum:
        raise UserError(
            f"{job.run} was trained on {saved.data['name']} {saved.data['checksum'][:19]}, and --data "
            f"{job.column.source} is {checksum[:19]}: restore the data, or pass another --out"
        )


def check_measured(job: Job, how: EvaluationOptions, features: str | None) -> None:
    """Raise UserError if a result that is there was measured in another way.

    Args:
        features: checksum of those asked for; None if they cannot be had.
    """
    result = read_result(job.run, how.protocol) or {}
    wanted = {"drawn": how.samples or SAMPLES, "checksum": features}
    found = {"drawn": result.get("counts", {}).get("drawn"), **(result.get("features") or {})}
    for what, words in (("drawn", "samples drawn"), ("checksum", "features")):
        if wanted[what] and found.get(what) and wanted[what] != found[what]:
            raise UserError(
                f"{result_path(job.run, how.protocol)} is of {found[what]} {words}, not {wanted[what]}: "
                "ask for the same, or delete it to measure the run again"
            )


def _check_same(asked: Config, saved: ResolvedConfig) -> None:
    left_open = [name for name in fields_with(Fact.FROM_DATA) if getattr(asked, name) is None]
    resolved = with_defaults(dataclasses.replace(asked, **{name: getattr(saved, name) for name in left_open}))
    for name, declared in facts().items():
        wanted, found = getattr(resolved, name), getattr(saved, name)
        if Fact.MAY_CHANGE not in declared and wanted != found:
            raise UserError(
                f"{asked.out} is a run with {flag(name)} {found}, not {wanted}: "
                "ask for that, or pass another --out"
            )
