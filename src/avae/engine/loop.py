"""The training loop: steps, logging, evaluation, checkpoints, rollbacks."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avae.distributed.launcher import rank
from avae.distributed.processes import max_over_ranks
from avae.engine.checkpoint import CheckpointManager, NonFiniteError
from avae.engine.collapse import CollapseDetector, CollapseError, OnCollapse
from avae.engine.metrics_log import RunningMeans, StatsLog, non_finite
from avae.engine.progress import ProgressDisplay
from avae.engine.signals import StopRequest
from avae.engine.step import Terms

FIRST_SAVE, NEXT_SAVE = 60.0, 600.0
"""Seconds after which a run is saved for the first time, and again, even if no checkpoint is due: the work
that may be lost."""

_NOTHING, _SAVE, _STOP = range(3)
"""What the processes of a run ask for after a step: the largest is done, by all."""


@dataclass(frozen=True)
class Schedule:
    """Length and intervals of a run, in steps, as in the config.

    Attributes:
        steps: number of steps of the run.
        batch_size: items per step.
        log_every, checkpoint_every: steps between two log lines or checkpoints.
        evaluate_every: steps between two evaluations; 0 for none.
    """

    steps: int
    batch_size: int
    log_every: int
    checkpoint_every: int
    evaluate_every: int = 0


@dataclass(frozen=True)
class LoopSpec:
    """Everything the loop needs.

    Attributes:
        step: runs the next training step, given the number of steps done; returns its terms.
        learning_rate: number of steps done -> factor of the initial learning rate in the next step.
        save: writes a checkpoint, given the number of steps done and whether a rollback may return to it.
        evaluate: runs an evaluation, given the number of steps done.
        checkpoints: the checkpoints that `save` writes.
        means: means of the terms since the last line of the log; part of every checkpoint.
        schedule: length and intervals of the run.
        on_collapse: as in the config.
        folder: the run folder.
        title: title of the progress bar.
        stop: signals, which it records.
        shorter: flags that make a run shorter, shown if it takes long.
        reports: called in rank 0 with each line of stats.jsonl, once it is written.
    """

    step: Callable[[int], Terms]
    learning_rate: Callable[[int], float]
    save: Callable[[int, bool], None]
    evaluate: Callable[[int], None]
    checkpoints: CheckpointManager
    means: RunningMeans
    schedule: Schedule
    on_collapse: OnCollapse
    folder: Path
    title: str
    stop: StopRequest
    shorter: str = ""
    reports: Sequence[Callable[[dict[str, Any]], None]] = ()


@dataclass(frozen=True)
class TrainingResult:
    """The step at which the loop ended, and the signal that stopped it, or None."""

    step: int
    signal: int | None


def train_loop(spec: LoopSpec, start: int) -> TrainingResult:
    """Train from step `start` to the end, or until a signal; save the last state in either case.

    After a rollback the run continues like a resumed one, so that a kill makes no difference.

    Raises:
        CollapseError: training has collapsed, and a rollback is not requested or no longer possible.
    """
    schedule = spec.schedule
    with ProgressDisplay(spec.title, schedule.steps, schedule.batch_size, spec.shorter) as display:
        while True:
            try:
                return run_steps(spec, start, display)
            except CollapseError as collapse:
                start = _roll_back(spec, collapse, display)


def run_steps(spec: LoopSpec, start: int, display: ProgressDisplay) -> TrainingResult:
    """Train from step `start` to the end, until a signal, or until a collapse, which it raises."""
    schedule, stop = spec.schedule, spec.stop
    save_by = time.monotonic() + FIRST_SAVE
    stats = StatsLog(spec.folder / "stats.jsonl", start, spec.checkpoints.rollbacks)
    detector = CollapseDetector(stats.kept)
    display.begin(start)
    for done in range(start + 1, schedule.steps + 1):
        spec.means.add(spec.step(done - 1))
        if done == start + 1:
            display.begin(done)  # exclude compilation in the first step from the speed
        overdue = time.monotonic() > save_by
        asked = max_over_ranks(_STOP if stop.signal is not None else _SAVE if overdue else _NOTHING)
        planned = done == schedule.steps or done % schedule.checkpoint_every == 0
        # A signal or the clock adds no log line and no rollback point: no run depends on them.
        if planned or done % schedule.log_every == 0:
            _log_and_check(done, spec, detector, stats, display)
        if schedule.evaluate_every and done % schedule.evaluate_every == 0:
            spec.evaluate(done)  # before the checkpoint, or a kill in between would skip it
        if planned or asked != _NOTHING:
            spec.save(done, planned and not detector.violations)
            save_by = time.monotonic() + NEXT_SAVE
        display.advance(done)
        if asked == _STOP and done < schedule.steps:
            # Another process may have received the signal.
            return TrainingResult(done, stop.signal or signal.SIGTERM)
    return TrainingResult(schedule.steps, None)


def _log_and_check(
    done: int, spec: LoopSpec, detector: CollapseDetector, stats: StatsLog, display: ProgressDisplay
) -> None:
    """Log the means since the last line and check them; raise CollapseError if training has collapsed."""
    means = spec.means.pop()
    line = {
        "step": done,
        "images": done * spec.schedule.batch_size,
        "images_per_second": round(display.images_per_second(done), 1),
        "learning_rate_factor": spec.learning_rate(done - 1),
        **means,
    }
    detector.update(line)
    stats.write(line | detector.log_fields())
    for report in spec.reports if rank() == 0 else ():
        report(line | detector.log_fields())
    display.show_terms(done, means, str(detector))
    if (bad := non_finite(means)) is not None:
        why = f"{bad} is {means[bad]} between the last report and step {done}"
        raise NonFiniteError(done, why, spec.checkpoints.recovery_hint(finite=True))
    if detector.collapse and spec.on_collapse != "ignore":
        why = f"{detector.collapse}, since step {detector.collapse.since}"
        raise CollapseError(done, f"training has collapsed: {why}", spec.checkpoints.recovery_hint())


def _roll_back(spec: LoopSpec, collapse: CollapseError, display: ProgressDisplay) -> int:
    """Roll back, save that state and return its step; raise the collapse if no rollback is allowed."""
    if spec.on_collapse != "rollback" or not spec.checkpoints.can_roll_back:
        raise collapse
    step = spec.checkpoints.roll_back(collapse)
    spec.save(step, True)
    display.print(
        f"{collapse.why}; back at step {step}, "
        f"from here at {spec.checkpoints.learning_rate_scale:g} of the rate"
    )
    return step
