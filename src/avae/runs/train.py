"""From a recipe's name to a trained model."""

import copy
import dataclasses
import logging
import math
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from avae.console import messages_on_stderr
from avae.data.cache import cache_folder
from avae.data.dataset import DataSet
from avae.data.feeding import Feed
from avae.distributed import any_of, barrier, from_rank_0, joined, rank, same_everywhere
from avae.engine.checkpoint import Checkpoints, NonFiniteError, Stateful, newest, step_of
from avae.engine.compile import differentiator
from avae.engine.ema import averages
from avae.engine.log import Means
from avae.engine.loop import LoopSpec, Outcome, Schedule, fit
from avae.engine.optimizers import OptimizerState, Rates, adams
from avae.engine.step import training_step
from avae.errors import UserError
from avae.files import write_atomically
from avae.frameworks.adversarial import Adversarial
from avae.frameworks.base import Framework
from avae.frameworks.recalibrate import recalibrate
from avae.frameworks.regularizers import Regularizer
from avae.model import Model, load, load_weights
from avae.recipes.build import build_framework, build_regularizers
from avae.recipes.catalogue import changed, recipe
from avae.recipes.config import Config, learning_rate_factor
from avae.recipes.defaults import ResolvedConfig, resolve
from avae.runs.division import check_division
from avae.runs.draws import Draws
from avae.runs.evaluations import Evaluations
from avae.runs.folder import (
    Saved,
    alone,
    check_fresh,
    check_same_data,
    clear,
    describe,
    resume_config,
    write_run,
)
from avae.runs.phases import phases
from avae.runs.preview import previews
from avae.runs.reading import load_with_progress, pack_given
from avae.runs.settling import checked
from avae.tensorfile import under

logger = logging.getLogger(__name__)

RECALIBRATION_ITEMS = 4096

FEW = 10_000
"""Pictures, under which the papers on augmentation of what the critic sees found it to matter most."""

_GIVEN = "pictures from Python"


def train(
    name: str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    networks: Mapping[str, nn.Module] | None = None,
    **settings: Any,
) -> Model:
    """Train a recipe and return the model; the run folder is `out`.

    Args:
        name: of the recipe, as `avae train` lists them.
        resume: go on from the last checkpoint in `out`, with its settings but for those given.
        overwrite: replace the run in `out`.
        networks: your own modules instead of the built ones, by name ("encoder", "decoder", "generator",
            "critic"); docs/networks.md says what each framework asks of them.
        settings: fields of `avae.recipes.config.Config`, such as data, out, steps, width; data may also be
            an array or a torch Dataset, see `avae.data.given.packed_from`.

    Raises:
        UserError: a setting, the data or the run folder will not do; the message says why.
        KeyboardInterrupt, SystemExit: after Ctrl-C, or SIGTERM, once the state is saved.
    """
    config = recipe(name)
    if resume:
        config = resume_config(dataclasses.replace(config, out=settings.get("out", config.out)))
    data = settings.get("data", "")
    given = None if isinstance(data, str | os.PathLike) else data
    config = changed(config, settings if given is None else settings | {"data": _GIVEN})
    with messages_on_stderr(unless_configured=True):
        outcome = run(config, resume=resume, overwrite=overwrite, networks=networks, given=given)
    if outcome.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)
    return load(config.out, device=config.device, networks=networks)


def run(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    networks: Mapping[str, nn.Module] | None = None,
    given: Any = None,
) -> Outcome:
    """Carry a run out, in its folder, as far as it goes.

    Args:
        given: data from Python, in place of those that `config` names.
    """
    config, device, saved = checked(config, resume, overwrite)
    folder = Path(config.out)
    reached = newest(folder / "state") if saved else None
    if reached and step_of(reached) == config.steps:
        logger.info(f"{config.out} is finished: all {config.steps} steps are done")
        return Outcome(config.steps, None)
    if given is not None:
        config = dataclasses.replace(config, data=pack_given(given, config))
    data = load_with_progress(config.data, config)
    resolved = resolve(config, data)
    if saved:
        check_same_data(config.data, data, saved)
    training = Training(resolved, data, device, networks)
    check_division(resolved, training.framework)
    if config.init_from and not reached:
        _take_weights(training.framework, config.init_from)
    with joined(device), alone(folder) if rank() == 0 else nullcontext():
        start = training.begin(saved, overwrite)
        outcome = fit(training.loop(), start)
    if outcome.signal is not None:
        logger.info(f"stopped at step {outcome.step} of {config.steps}, all saved; go on with --resume")
    return outcome


class Training:
    """Everything a run holds in memory.

    Args:
        config: of the run.
        data: to train on.
        device: where.
        networks: your own, by name.
    """

    def __init__(
        self,
        config: ResolvedConfig,
        data: DataSet,
        device: torch.device,
        networks: Mapping[str, nn.Module] | None,
    ) -> None:
        self.config, self.data, self.device, self.own = config, data, device, bool(networks)
        self.folder = Path(config.out)
        self.dtype = torch.float64 if config.precision == "fp64" else torch.float32
        framework = build_framework(config, networks)
        regularizers = build_regularizers(config, framework)
        # Convolutions are faster in this layout, see benchmarks/memory_format.py.
        self.framework = framework.to(self.dtype).to(memory_format=torch.channels_last).to(device).train()
        feed = Feed(data.train, device, config.seed, config.batch_size, config.flip)
        self.draws = Draws(feed, config, device, self.dtype)
        self.phases = phases(self.framework, regularizers, device, config.precision)
        self.optimizers = adams(self.framework.networks, _rates(config, regularizers))
        self.averages = averages(
            self.framework.networks,
            self.framework.averaged,
            config.ema_half_life,
            config.batch_size,
        )
        measured = config.evaluate_every and rank() == 0
        self.evaluations = Evaluations(config, self._as_model(), data) if measured else None
        self.means = Means()
        self.checkpoints = Checkpoints(self.folder / "state", self._stateful())

    def begin(self, saved: Saved | None, overwrite: bool) -> int:
        """Restore what is saved, or make room for a new run; return the step to start from."""
        if saved:
            start = self.checkpoints.restore()
        else:
            start = 0
            check_fresh(self.folder, overwrite)
        self._check_agreement(start)
        same_everywhere(self.framework.networks.values())
        if rank() == 0:
            if saved is None:
                clear(self.folder)
            elif saved.config.steps != self.config.steps:
                schedule = _schedule(self.config, start, self.checkpoints.rate)
                logger.info(f"{self.config.steps} steps instead of {saved.config.steps}: {schedule}")
            write_run(self.folder, self.config, self.data)
        say_what_is_read(self.data)
        if saved is None and self._may_learn_by_heart():
            logger.info(
                "note: of so few pictures a critic learns each by heart in time; --augment makes that hard"
            )
        barrier()
        if any_of(not (self.folder / "config.json").exists()):
            raise UserError(f"--out {self.folder}: it must lie on a disk that all machines share")
        return start

    def _may_learn_by_heart(self) -> bool:
        few = self.config.recipe == "folder" and len(self.data.train) < FEW
        return few and isinstance(self.framework, Adversarial) and not self.config.augment

    def _check_agreement(self, start: int) -> None:
        """Raise UserError, in every process, unless all are about to do the same."""
        config = dataclasses.replace(self.config, data="", out="", device="auto")
        ours = {"--data": self.data.checksum, "the flags": config, "the run to resume": start}
        theirs = from_rank_0(ours)
        for what, value in ours.items():
            if any_of(value != theirs[what]):
                raise UserError(f"{what} differ between the processes: start all with the same")

    def _stateful(self) -> dict[str, Stateful]:
        """Return all that a resumed run needs, by name."""
        networks, coefficients = self.framework.networks, self.framework.coefficients
        return {
            **{f"network.{name}": network for name, network in networks.items()},
            **{f"average.{name}": average for name, average in self.averages.items()},
            **{f"optimizer.{name}": OptimizerState(networks[name], o) for name, o in self.optimizers.items()},
            **{f"coefficient.{name}": coefficient for name, coefficient in coefficients.items()},
            "means": self.means,
        }

    def loop(self) -> LoopSpec:
        """Return what the loop runs."""
        config = self.config
        cache = cache_folder(config.cache) / "compiled"
        step = partial(
            training_step,
            phases=self.phases,
            optimizers=self.optimizers,
            batches=self.draws.micro_batches,
            differentiate=differentiator(config.compile, config.steps, self.own, cache),
            learning_rate=self._learning_rate,
            averages=self.averages,
            coefficients=self.framework.coefficients.values(),
        )
        return LoopSpec(
            step=step,
            learning_rate=self._learning_rate,
            save=self.save,
            evaluate=self.evaluate,
            checkpoints=self.checkpoints,
            means=self.means,
            schedule=Schedule(
                config.steps,
                config.batch_size,
                config.log_every,
                config.checkpoint_every,
                config.evaluate_every,
            ),
            on_collapse=config.on_collapse,
            folder=self.folder,
            title=f"{config.framework} on {self.data.name}",
        )

    def _learning_rate(self, step: int) -> float:
        return learning_rate_factor(self.config, step) * self.checkpoints.rate

    def save(self, step: int, healthy: bool) -> None:
        """Write model, pictures and, last, the state, so that a state never outruns its model.

        Args:
            step: steps done.
            healthy: whether the state is one to go back to.
        """
        wrong = from_rank_0(self._write(step, healthy) if rank() == 0 else None)
        if wrong:
            raise NonFiniteError(step, wrong, self.checkpoints.remedy(finite=True))
        if rank() > 0:
            self.checkpoints.note(step, healthy)

    def evaluate(self, step: int) -> None:
        """Measure the model; the others wait for rank 0."""
        if rank() == 0 and self.evaluations is not None:
            self.evaluations.measure(step, self.model())
        barrier()

    def _write(self, step: int, healthy: bool) -> str | None:
        """Write all that `save` writes, or return why it must not be."""
        model = self.model()
        wrong = self.checkpoints.non_finite(model.framework.state_dict())
        if wrong:
            return f"{wrong} is not finite at step {step}"
        model.save(self.folder / "model")
        for kind, picture in previews(model, self.data).items():
            write_atomically(self.folder / "images" / f"step-{step:08d}-{kind}.png", picture)
        self.checkpoints.save(step, healthy)
        return None

    def model(self) -> Model:
        """Return a copy for use: averaged weights where there are any, batch-norm statistics settled."""
        framework = copy.deepcopy(self.framework)
        for name, average in self.averages.items():
            framework.networks[name].load_state_dict(average.module.state_dict())
        steps = math.ceil(RECALIBRATION_ITEMS / self.config.batch_size)
        whole, shapes = range(self.config.batch_size), framework.noise_shapes(self.config.batch_size)
        recalibrate(
            framework,
            lambda: (self.draws.batch(step, whole, shapes, "recalibrate") for step in range(steps)),
        )
        return self._as_model(framework)

    def _as_model(self, framework: Framework | None = None) -> Model:
        framework = framework or copy.deepcopy(self.framework)
        return Model(framework.float(), self.config, describe(self.data), self.device)


def say_what_is_read(data: DataSet) -> None:
    """Tell what was read, and name what was not."""
    kind = f"{data.train.shape[1]} px images" if data.holds_images else "points"
    logger.info(f"{data.name}: {len(data.train)} + {len(data.test)} {kind} to train and test on")
    if data.rejected:
        first = data.rejected[0]
        logger.info(f"left out {len(data.rejected)}: {first.name} ({first.reason}), ...; see rejected.jsonl")


def _rates(config: ResolvedConfig, regularizers: Sequence[Regularizer]) -> Rates:
    return Rates(
        config.learning_rate,
        (config.adam_beta1, config.adam_beta2),
        {"log_sigma": config.sigma_lr_multiplier},
        {regularizer.network: regularizer.every for regularizer in regularizers},
    )


def _schedule(config: ResolvedConfig, start: int, rate: float) -> str:
    first = config.learning_rate * rate
    now, last = (first * learning_rate_factor(config, step) for step in (start, config.steps))
    return f"the learning rate goes on at {now:.3g} and ends at {last:.3g}"


def _take_weights(framework: Framework, path: str) -> None:
    """Copy the weights of every network that `path` has by the same name and of the same kind; say which."""
    weights, taken = load_weights(path), []
    for name, network in framework.networks.items():
        own = under(weights, f"{name}.")
        if own.keys() != network.state_dict().keys():
            continue
        try:
            network.load_state_dict(own)
        except RuntimeError:
            raise UserError(
                f"--init-from {path}: its {name} has another shape; "
                "match --size, --width, --code-dim and --xi-dim"
            ) from None
        taken.append(name)
    if not taken:
        networks = " or ".join(framework.networks)
        raise UserError(f"--init-from {path}: it has no {networks} of this run's kind; see docs/networks.md")
    logger.info(f"initial weights of {' and '.join(taken)} from {path}")
