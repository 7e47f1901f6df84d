"""A worker: takes one free run of the table after the other, trains it and evaluates it."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avae.console import Progress, progress_bar
from avae.engine.signals import StopRequest
from avae.shown_text import printable
from avae.table1 import commands, status, subprocesses
from avae.table1.commands import AVAE, EvaluationOptions
from avae.table1.jobs import Job
from avae.table1.lease import RunLease, hold_lease, is_locked, lease_holder
from avae.training.run_folder import result_path

logger = logging.getLogger(__name__)

STOPPING = "stopping once the run in training is saved; press Ctrl-C again to give up"

PAUSE = 1.0
"""Seconds between checks of a training process that outlived its worker."""


@dataclass
class WorkerResult:
    """Result of a worker, by names of runs.

    Attributes:
        measured: runs trained and evaluated.
        failed: reason by run, for runs that failed.
        elsewhere: runs held by other workers.
        signal: signal that stopped the worker, if any.
    """

    measured: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)
    signal: int | None = None


def work(
    jobs: Sequence[Job],
    options: EvaluationOptions,
    on_done: Callable[[], object],
    avae: Sequence[str] = AVAE,
) -> WorkerResult:
    """Train and evaluate every unfinished run that no other worker holds.

    Args:
        jobs: runs of the table.
        options: how to evaluate.
        on_done: function called after each run.
        avae: command that arguments of `avae` are appended to.

    Raises:
        KeyboardInterrupt: at a second Ctrl-C; the first one saves the current run and stops the worker.
    """
    with StopRequest(STOPPING) as stop:
        worker = _Worker(jobs, options, on_done, avae, stop)
        while worker.run_once() and stop.signal is None:
            pass
    worker.result.signal = stop.signal
    return worker.result


class _Worker:
    def __init__(
        self,
        jobs: Sequence[Job],
        options: EvaluationOptions,
        on_done: Callable[[], object],
        avae: Sequence[str],
        stop: StopRequest,
    ) -> None:
        self.jobs, self.options, self.on_done, self.avae, self.stop = jobs, options, on_done, avae, stop
        self.result = WorkerResult()
        self._tried: set[str] = set()
        self._waited_for: set[str] = set()
        self._start = time.monotonic()

    def run_once(self) -> bool:
        """Go through all runs once; return True if another round is due."""
        self.result.elsewhere = []
        worked = waiting = False
        for job in self.jobs:
            if job.name in self._tried or not self._due(job) or self.stop.signal is not None:
                continue
            with hold_lease(job.run) as lease:
                if lease is None:
                    self.result.elsewhere.append(f"{job.name} ({_holder_text(job.run)})")
                elif is_locked(job.run):
                    self._wait_for(job)
                    waiting = True
                elif self._due(job):  # checked again: it may have been finished before the lease was held
                    self._tried.add(job.name)
                    self._train_and_measure(job, lease)
                    worked = True
                    self.on_done()
        if waiting and not worked:
            time.sleep(PAUSE)
        return worked or waiting

    def _due(self, job: Job) -> bool:
        return status.needs_work(job, self.options)

    def _wait_for(self, job: Job) -> None:
        if job.name not in self._waited_for:
            logger.info(f"{job.name}: another process is training there; this worker continues when it ends")
            self._waited_for.add(job.name)

    def _train_and_measure(self, job: Job, lease: RunLease) -> None:
        """Train a run, unless it is trained, and evaluate it."""
        start = time.monotonic()
        trained = status.is_trained(job) or self._train(job, lease)
        if trained and self.stop.signal is None and not lease.lost and self._measure(job, lease):
            self.result.measured.append(job.name)
            logger.info(f"{job.name}: done in {_duration(time.monotonic() - start)}; {self._time_left()}")

    def _train(self, job: Job, lease: RunLease) -> bool:
        result = self._run(commands.train_command(job), job, lease, "training")
        if result.code == 0:
            return True
        # A command killed after a request to stop, as at the end of a batch job, has not failed.
        if not result.interrupted and self.stop.signal is None and not is_locked(job.run):
            failure = status.record_failure(job.run, result.reason)
            self._fail(job, f"{failure.kind} at step {failure.step}: {failure.reason}")
        return False

    def _measure(self, job: Job, lease: RunLease) -> bool:
        result = self._run(commands.evaluate_command(job, self.options), job, lease, "measuring")
        if result.code == 0 and result_path(job.run, self.options.protocol).is_file():
            return True
        if not result.interrupted:
            self._fail(job, f"trained, but not measured: {result.reason}")
        return False

    def _run(
        self, command: list[str], job: Job, lease: RunLease, activity: str
    ) -> subprocesses.ProcessResult:
        number = self.jobs.index(job) + 1
        with progress_bar(f"{number} of {len(self.jobs)}: {activity} {job.name}") as progress:
            return subprocesses.run(
                [*self.avae, *command],
                log_path(job.run),
                stop=self.stop,
                lease_lost=lambda: lease.lost,
                while_waiting=_progress_updater(job, progress) if activity == "training" else lambda: None,
            )

    def _fail(self, job: Job, why: str) -> None:
        self.result.failed[job.name] = why
        logger.info(f"{job.name}: {why} (see {log_path(job.run)})")

    def _time_left(self) -> str:
        """Return the number of remaining runs and the time that this worker needs for them alone."""
        left = sum(self._due(job) and job.name not in self._tried for job in self.jobs)
        each = (time.monotonic() - self._start) / max(len(self._tried), 1)
        return f"{left} of {len(self.jobs)} left" + (
            f", {_duration(left * each)} for one worker" if left else ""
        )


def log_path(run: Path) -> Path:
    """Return the file with the output of a run's commands."""
    return run.with_name(f"{run.name}.log")


def _progress_updater(job: Job, progress: Progress) -> Callable[[], None]:
    """Return a function that shows the last logged step of a run if its log has changed."""
    log, last_change = job.run / "stats.jsonl", 0

    def update() -> None:
        nonlocal last_change
        changed = log.stat().st_mtime_ns if log.exists() else 0
        if changed != last_change:
            last_change = changed
            progress.update(status.logged_step(job.run), job.config.steps)

    return update


def _holder_text(run: Path) -> str:
    holder = lease_holder(run)
    if holder is None:
        return "an unknown process"
    return f"process {holder.pid} on {printable(holder.host.partition(' ')[0])}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
