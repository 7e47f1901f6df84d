"""The training loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from avae.engine.checkpoint import NonFiniteError, newest
from avae.engine.log import Display, Means, Stats, non_finite
from avae.engine.optimizers import set_learning_rate
from avae.engine.signals import StopRequest
from avae.engine.step import Noise, Phase, training_step


@dataclass(frozen=True)
class Plan:
    """What the loop runs.

    Attributes:
        phases, networks, optimizers, averages: see `step`, `optimizers` and `ema`.
        batch: step -> (x, noise), a pure function.
        learning_rate: step -> factor of the first learning rate.
        save: called with the number of steps done whenever a checkpoint is due.
        steps, batch_size, checkpoint_every, log_every: as in the recipe.
        folder: of the run.
        title: for the progress bar.
    """

    phases: Sequence[Phase]
    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    averages: Mapping[str, AveragedModel]
    batch: Callable[[int], tuple[Tensor, Noise]]
    learning_rate: Callable[[int], float]
    save: Callable[[int], None]
    steps: int
    batch_size: int
    checkpoint_every: int
    log_every: int
    folder: Path
    title: str


@dataclass(frozen=True)
class Outcome:
    """Where the loop ended, and the signal that ended it early, if one did."""

    step: int
    signal: int | None


def fit(plan: Plan, start: int) -> Outcome:
    """Train from step `start` to the end, or to a signal; in either case the last state is saved."""
    means, stats = Means(), Stats(plan.folder / "stats.jsonl", start)
    done = start
    with StopRequest() as stop, Display(plan.title, start, plan.steps, plan.batch_size) as display:
        for step in range(start, plan.steps):
            x, noise = plan.batch(step)
            set_learning_rate(plan.optimizers, plan.learning_rate(step))
            means.add(training_step(step, plan.phases, plan.networks, plan.optimizers, x, noise))
            for name, average in plan.averages.items():
                average.update_parameters(plan.networks[name])
            done = step + 1
            stopping = stop.signal is not None or done == plan.steps
            saving = stopping or done % plan.checkpoint_every == 0
            if saving or done % plan.log_every == 0:
                _report(done, means.take(), plan, stats, display)
            if saving:
                plan.save(done)
            display.advance(done)
            if stopping:
                break
    return Outcome(done, stop.signal if done < plan.steps else None)


def _report(done: int, means: dict[str, float], plan: Plan, stats: Stats, display: Display) -> None:
    """Log the means since the last report; stop if one is not finite."""
    stats.write(
        {
            "step": done,
            "images": done * plan.batch_size,
            "images_per_second": round(display.images_per_second(done), 1),
            "learning_rate_factor": plan.learning_rate(done - 1),
            **means,
        }
    )
    display.terms(done, means)
    if (bad := non_finite(means)) is not None:
        last = newest(plan.folder / "state")
        raise NonFiniteError(f"{bad} is {means[bad]} between the last report and step {done}", last)
