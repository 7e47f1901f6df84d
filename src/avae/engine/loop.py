"""The training loop."""

import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from avae.distributed import any_of
from avae.engine.checkpoint import Checkpoints, NonFiniteError
from avae.engine.log import Display, Stats, non_finite
from avae.engine.moving import Moving
from avae.engine.optimizers import set_learning_rate
from avae.engine.sentinel import CollapseError, OnCollapse, Sentinel
from avae.engine.signals import StopRequest
from avae.engine.step import Batches, Differentiate, Phase, training_step


@dataclass(frozen=True)
class Plan:
    """What the loop runs.

    Attributes:
        phases, networks, optimizers, averages: see `step`, `optimizers` and `ema`.
        controls: coefficients to move after every step, given its terms.
        differentiate: `step.gradients`, or what does the same.
        batches: step, phase -> this process's micro-batches (x, noise), a pure function.
        learning_rate: step -> factor of the first learning rate.
        checkpoints: what `save` saves to, among other things.
        save: called with the number of steps done, and whether that is a state to go back to, whenever a
            checkpoint is due.
        evaluate: called with the number of steps done when an evaluation is due.
        steps, batch_size, evaluate_every, checkpoint_every, log_every, on_collapse: as in the recipe.
        folder: of the run.
        title: for the progress bar.
    """

    phases: Sequence[Phase]
    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    averages: Mapping[str, AveragedModel]
    controls: Collection[Moving]
    differentiate: Differentiate
    batches: Callable[[int, Phase], Batches]
    learning_rate: Callable[[int], float]
    checkpoints: Checkpoints
    save: Callable[[int, bool], None]
    evaluate: Callable[[int], None]
    steps: int
    batch_size: int
    evaluate_every: int
    checkpoint_every: int
    log_every: int
    on_collapse: OnCollapse
    folder: Path
    title: str


@dataclass(frozen=True)
class Outcome:
    """Where the loop ended, and the signal that ended it early, if one did."""

    step: int
    signal: int | None


def fit(plan: Plan, start: int) -> Outcome:
    """Train from step `start` to the end, or to a signal; in either case the last state is saved.

    Raises:
        CollapseError: training is dead, and not to be tried again from an earlier state, or no more.
    """
    with StopRequest() as stop, Display(plan.title, plan.steps, plan.batch_size) as display:
        return _train(plan, start, stop, display)


def _train(plan: Plan, start: int, stop: StopRequest, display: Display) -> Outcome:
    """A run that went back goes on as one that is resumed, so that a kill makes no difference."""
    while True:
        try:
            return _train_from(start, plan, stop, display)
        except CollapseError as collapse:
            start = _go_back(plan, collapse, display)


def _train_from(start: int, plan: Plan, stop: StopRequest, display: Display) -> Outcome:
    """Go on as far as it goes without a rollback."""
    stats = Stats(plan.folder / "stats.jsonl", start, plan.checkpoints.rollbacks)
    sentinel, means = Sentinel(stats.kept), plan.checkpoints.means
    display.begin(start)
    for done in range(start + 1, plan.steps + 1):
        means.add(_step(plan, done - 1))
        if done == start + 1:
            display.begin(done)  # what the first step may have compiled says nothing of the others' speed
        stopping = any_of(stop.signal is not None)
        planned = done == plan.steps or done % plan.checkpoint_every == 0
        # A signal adds neither a line nor a state to go back to: both would change the course of the run.
        if planned or done % plan.log_every == 0:
            _report(done, plan, sentinel, stats, display)
        if plan.evaluate_every and done % plan.evaluate_every == 0:
            plan.evaluate(done)  # before the checkpoint, or a kill meanwhile would skip it
        if planned or stopping:
            plan.save(done, planned and not sentinel.symptoms)
        display.advance(done)
        if stopping and done < plan.steps:
            # Of several processes, another may have had the signal.
            return Outcome(done, stop.signal or signal.SIGTERM)
    return Outcome(plan.steps, None)


def _step(plan: Plan, step: int) -> dict[str, Tensor]:
    set_learning_rate(plan.optimizers, plan.learning_rate(step))
    terms = training_step(
        step, plan.phases, plan.networks, plan.optimizers, partial(plan.batches, step), plan.differentiate
    )
    for name, average in plan.averages.items():
        average.update_parameters(plan.networks[name])
    for control in plan.controls:
        control.update(terms)
    return terms


def _report(done: int, plan: Plan, sentinel: Sentinel, stats: Stats, display: Display) -> None:
    """Log the means since the last report, and what they tell; raise CollapseError if that is death."""
    means = plan.checkpoints.means.take()
    line = {
        "step": done,
        "images": done * plan.batch_size,
        "images_per_second": round(display.images_per_second(done), 1),
        "learning_rate_factor": plan.learning_rate(done - 1),
        **means,
    }
    sentinel.see(line)
    stats.write(line | sentinel.findings())
    display.terms(done, means, str(sentinel))
    if (bad := non_finite(means)) is not None:
        why = f"{bad} is {means[bad]} between the last report and step {done}"
        raise NonFiniteError(done, why, plan.checkpoints.remedy(finite=True))
    if sentinel.collapse and plan.on_collapse != "ignore":
        why = f"{sentinel.collapse}, since step {sentinel.collapse.since}"
        raise CollapseError(done, f"training has collapsed: {why}", plan.checkpoints.remedy())


def _go_back(plan: Plan, collapse: CollapseError, display: Display) -> int:
    """Return the step to try again from, once that is saved; raise the collapse if it is not to be."""
    if plan.on_collapse != "rollback" or not plan.checkpoints.may_go_back:
        raise collapse
    step = plan.checkpoints.go_back(collapse)
    plan.save(step, True)
    display.say(f"{collapse.why}; back at step {step}, from here at {plan.checkpoints.rate:g} of the rate")
    return step
