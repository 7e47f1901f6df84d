"""A worker: takes one run after the other that nobody else is at, trains and measures it."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avae.console import Progress, progress_bar
from avae.engine.signals import StopRequest
from avae.table1 import commands, status, subprocesses
from avae.table1.commands import AVAE, EvaluationOptions
from avae.table1.jobs import Job
from avae.table1.lease import RunLease, hold_lease, is_locked, lease_holder

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between looks at a training that a killed worker left running."""


@dataclass
class WorkerResult:
    """What a worker did, by the names of runs.

    Attributes:
        measured: those with a result now.
        failed: those without one, and why.
        elsewhere: those in the hands of others.
        signal: that ended the work early, if one did.
    """

    measured: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    signal: int | None = None


def work(
    jobs: Sequence[Job], how: EvaluationOptions, done: Callable[[], object], avae: Sequence[str] = AVAE
) -> WorkerResult:
    """Carry out every run that is due and free, until there is none.

    Args:
        jobs: of the table.
        how: to measure.
        done: called after each run.
        avae: the command to call, with arguments of the command line.

    Raises:
        KeyboardInterrupt: at a second Ctrl-C; at the first the run at hand is saved.
    """
    with StopRequest() as stop:
        worker = _Worker(jobs, how, done, avae, stop)
        while worker.run_once() and stop.signal is None:
            pass
    worker.tally.signal = stop.signal
    return worker.tally


class _Worker:
    def __init__(
        self,
        jobs: Sequence[Job],
        how: EvaluationOptions,
        done: Callable[[], object],
        avae: Sequence[str],
        stop: StopRequest,
    ) -> None:
        self.jobs, self.how, self.done, self.avae, self.stop = jobs, how, done, avae, stop
        self.tally = WorkerResult()
        self._tried: set[str] = set()
        self._waited_for: set[str] = set()
        self._began = time.monotonic()

    def run_once(self) -> bool:
        """Go through all runs once; return whether to go round again."""
        self.tally.elsewhere = []
        worked = waiting = False
        for job in self.jobs:
            if job.name in self._tried or not self._due(job) or self.stop.signal is not None:
                continue
            with hold_lease(job.run) as claim:
                if claim is None:
                    self.tally.elsewhere.append(f"{job.name} ({_holder_text(job.run)})")
                elif is_locked(job.run):
                    self._wait_for(job)
                    waiting = True
                elif self._due(job):  # still: it may have been finished before we had the claim
                    self._tried.add(job.name)
                    self._carry_out(job, claim)
                    worked = True
                    self.done()
        if waiting and not worked:
            time.sleep(PAUSE)
        return worked or waiting

    def _due(self, job: Job) -> bool:
        return status.needs_work(job, self.how)

    def _wait_for(self, job: Job) -> None:
        if job.name not in self._waited_for:
            logger.info(f"{job.name}: another process is training there; it is taken up when that ends")
            self._waited_for.add(job.name)

    def _carry_out(self, job: Job, claim: RunLease) -> None:
        """Train and measure a run, as far as either is still to be done."""
        began = time.monotonic()
        trained = status.is_trained(job) or self._train(job, claim)
        if trained and self.stop.signal is None and not claim.lost and self._measure(job, claim):
            self.tally.measured.append(job.name)
            logger.info(f"{job.name}: done in {_duration(time.monotonic() - began)}; {self._time_left()}")

    def _train(self, job: Job, claim: RunLease) -> bool:
        ended = self._run(commands.train_command(job), job, claim, "training")
        if ended.code == 0:
            return True
        # What was told to stop and is killed before it has, as when a machine's time is up, has not failed.
        if not ended.interrupted and self.stop.signal is None and not is_locked(job.run):
            failure = status.record_failure(job.run, ended.reason)
            self._fail(job, f"{failure.kind} at step {failure.step}: {failure.reason}")
        return False

    def _measure(self, job: Job, claim: RunLease) -> bool:
        ended = self._run(commands.evaluate_command(job, self.how), job, claim, "measuring")
        if ended.code == 0 and status.result_path(job.run, self.how.protocol).is_file():
            return True
        if not ended.interrupted:
            self._fail(job, f"trained, but not measured: {ended.reason}")
        return False

    def _run(self, command: list[str], job: Job, claim: RunLease, what: str) -> subprocesses.ProcessResult:
        number = self.jobs.index(job) + 1
        with progress_bar(f"{number} of {len(self.jobs)}: {what} {job.name}") as progress:
            return subprocesses.run(
                [*self.avae, *command],
                log_path(job.run),
                stop=self.stop,
                given_up=lambda: claim.lost,
                while_waiting=_watching(job, progress) if what == "training" else lambda: None,
            )

    def _fail(self, job: Job, why: str) -> None:
        self.tally.failed[job.name] = why
        logger.info(f"{job.name}: {why} (see {log_path(job.run)})")

    def _time_left(self) -> str:
        """Say how much is left, and for how long that keeps this worker busy if nobody helps."""
        left = sum(self._due(job) and job.name not in self._tried for job in self.jobs)
        each = (time.monotonic() - self._began) / max(len(self._tried), 1)
        return f"{left} of {len(self.jobs)} left" + (
            f", {_duration(left * each)} for one worker" if left else ""
        )


def log_path(run: Path) -> Path:
    """Return the file with what the commands of a run said."""
    return run.with_name(f"{run.name}.log")


def _watching(job: Job, progress: Progress) -> Callable[[], None]:
    """Return a function that shows the step a run has come to, whenever its log has changed."""
    log, seen = job.run / "stats.jsonl", 0

    def watch() -> None:
        nonlocal seen
        changed = log.stat().st_mtime_ns if log.exists() else 0
        if changed != seen:
            seen = changed
            progress.update(status.logged_step(job.run), job.config.steps)

    return watch


def _holder_text(run: Path) -> str:
    holder = lease_holder(run) or {}
    return f"process {holder.get('pid', '?')} on {str(holder.get('host', '?')).partition(' ')[0]}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
