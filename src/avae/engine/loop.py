"""The training loop."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avae.distributed.processes import any_rank
from avae.engine.checkpoint import CheckpointManager, NonFiniteError
from avae.engine.collapse import CollapseDetector, CollapseError, OnCollapse
from avae.engine.metrics_log import RunningMeans, StatsLog, non_finite
from avae.engine.progress import ProgressDisplay
from avae.engine.signals import StopRequest
from avae.engine.step import Terms


@dataclass(frozen=True)
class Schedule:
    """How long a run is and when what is due, in steps; as in the recipe.

    Attributes:
        steps: of the run.
        batch_size: items a step.
        log_every, checkpoint_every: steps between two.
        evaluate_every: likewise; 0 for never.
    """

    steps: int
    batch_size: int
    log_every: int
    checkpoint_every: int
    evaluate_every: int = 0


@dataclass(frozen=True)
class LoopSpec:
    """What the loop runs.

    Attributes:
        step: number of steps done -> terms of the next one, which it does.
        learning_rate: number of steps done -> the next one's factor of the first learning rate, for the log.
        save: called with the number of steps done, and whether that is a state to go back to, whenever a
            checkpoint is due.
        evaluate: called with the number of steps done when an evaluation is due.
        checkpoints: what `save` saves to, among other things.
        means: of the terms since the last line of the log; among what is saved.
        schedule: of the run.
        on_collapse: as in the recipe.
        folder: of the run.
        title: for the progress bar.
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


@dataclass(frozen=True)
class TrainingResult:
    """Where the loop ended, and the signal that ended it early, if one did."""

    step: int
    signal: int | None


def train_loop(spec: LoopSpec, start: int) -> TrainingResult:
    """Train from step `start` to the end, or to a signal; in either case the last state is saved.

    A run that goes back goes on as one that is resumed, so that a kill makes no difference.

    Raises:
        CollapseError: training is dead, and not to be tried again from an earlier state, or no more.
    """
    with (
        StopRequest() as stop,
        ProgressDisplay(spec.title, spec.schedule.steps, spec.schedule.batch_size) as display,
    ):
        while True:
            try:
                return run_steps(spec, start, stop, display)
            except CollapseError as collapse:
                start = _roll_back(spec, collapse, display)


def run_steps(spec: LoopSpec, start: int, stop: StopRequest, display: ProgressDisplay) -> TrainingResult:
    """Train from step `start` as far as it goes without a rollback."""
    schedule = spec.schedule
    stats = StatsLog(spec.folder / "stats.jsonl", start, spec.checkpoints.rollbacks)
    sentinel = CollapseDetector(stats.kept)
    display.begin(start)
    for done in range(start + 1, schedule.steps + 1):
        spec.means.add(spec.step(done - 1))
        if done == start + 1:
            display.begin(done)  # what the first step may have compiled says nothing of the others' speed
        stopping = any_rank(stop.signal is not None)
        planned = done == schedule.steps or done % schedule.checkpoint_every == 0
        # A signal adds neither a line nor a state to go back to: both would change the course of the run.
        if planned or done % schedule.log_every == 0:
            _log_and_check(done, spec, sentinel, stats, display)
        if schedule.evaluate_every and done % schedule.evaluate_every == 0:
            spec.evaluate(done)  # before the checkpoint, or a kill meanwhile would skip it
        if planned or stopping:
            spec.save(done, planned and not sentinel.symptoms)
        display.advance(done)
        if stopping and done < schedule.steps:
            # Of several processes, another may have had the signal.
            return TrainingResult(done, stop.signal or signal.SIGTERM)
    return TrainingResult(schedule.steps, None)


def _log_and_check(
    done: int, spec: LoopSpec, sentinel: CollapseDetector, stats: StatsLog, display: ProgressDisplay
) -> None:
    """Log the means since the last report, and check them; raise CollapseError where training is dead."""
    means = spec.means.pop()
    line = {
        "step": done,
        "images": done * spec.schedule.batch_size,
        "images_per_second": round(display.images_per_second(done), 1),
        "learning_rate_factor": spec.learning_rate(done - 1),
        **means,
    }
    sentinel.update(line)
    stats.write(line | sentinel.log_fields())
    display.show_terms(done, means, str(sentinel))
    if (bad := non_finite(means)) is not None:
        why = f"{bad} is {means[bad]} between the last report and step {done}"
        raise NonFiniteError(done, why, spec.checkpoints.recovery_hint(finite=True))
    if sentinel.collapse and spec.on_collapse != "ignore":
        why = f"{sentinel.collapse}, since step {sentinel.collapse.since}"
        raise CollapseError(done, f"training has collapsed: {why}", spec.checkpoints.recovery_hint())


def _roll_back(spec: LoopSpec, collapse: CollapseError, display: ProgressDisplay) -> int:
    """Return the step to resume from, once that is saved; raise the collapse if it is not to be."""
    if spec.on_collapse != "rollback" or not spec.checkpoints.can_roll_back:
        raise collapse
    step = spec.checkpoints.roll_back(collapse)
    spec.save(step, True)
    display.say(
        f"{collapse.why}; back at step {step}, "
        f"from here at {spec.checkpoints.learning_rate_scale:g} of the rate"
    )
    return step
