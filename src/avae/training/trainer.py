"""The state of a run in memory, and its work at each step, checkpoint and evaluation."""

import copy
import dataclasses
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from avae.data.batch_loader import BatchLoader
from avae.data.cache import cache_folder, compiled_folder
from avae.data.dataset import Dataset
from avae.distributed.launcher import rank, world_size
from avae.distributed.processes import any_rank, barrier, broadcast_from_rank0, broadcast_weights
from avae.engine.checkpoint import CheckpointManager, NonFiniteError, Stateful
from avae.engine.graphed_updates import make_update
from avae.engine.loop import LoopSpec, Schedule
from avae.engine.metrics_log import RunningMeans
from avae.engine.optimizers import AdamSettings, OptimizerState, make_ema, make_optimizers
from avae.engine.signals import StopRequest
from avae.engine.step import no_preparation, training_step
from avae.errors import UserError
from avae.files import remove_partials, write_atomically
from avae.fit_prior import fit_prior, likelihood_report
from avae.frameworks.adversarial import Adversarial
from avae.frameworks.base import Framework
from avae.frameworks.batch_norm import recalibrate_batch_norm
from avae.frameworks.regularizers import Regularizer
from avae.frameworks.representations import LearningState
from avae.model import Model
from avae.priors.registry import STANDARD
from avae.recipes.build import build_framework, build_regularizers
from avae.recipes.parts import Parts, is_vae_alone
from avae.recipes.resolve import ResolvedConfig, learning_rate_factor
from avae.recipes.saved_run import SavedRun
from avae.saved_model import is_calibrated
from avae.training.batches import BatchStream
from avae.training.periodic_evaluation import PeriodicEvaluator
from avae.training.phases import make_phases
from avae.training.previews import previews
from avae.training.run_folder import (
    CALIBRATION_PICTURE,
    dataset_info,
    delete_run_files,
    require_new_run,
    write_run,
)
from avae.training.trackers import Tracking

logger = logging.getLogger(__name__)

RECALIBRATION_ITEMS = 4096
"""Number of items from which the batch-norm statistics of a saved model are computed."""

NARROW = 16
"""Width below which networks draw poorly, so that no narrower one is suggested."""

SMALL_DATASET = 10_000
"""Number of images below which augmentation of the critic's images matters most, according to its papers."""


class Trainer:
    """Framework, data, optimizers, averages and checkpoints of a run.

    Args:
        config: configuration of the run.
        data: data set to train on.
        device: device to train on.
        networks: custom networks, by name.
        parts: the parts of AVAE's representation; None for a VAE.

    Attributes:
        tracking: in rank 0, shows evaluations and previews of the run elsewhere, or None.
    """

    def __init__(
        self,
        config: ResolvedConfig,
        data: Dataset,
        device: torch.device,
        networks: Mapping[str, nn.Module] | None,
        parts: Parts | None = None,
    ) -> None:
        self.config, self.data, self.device = config, data, device
        described = parts is not None and not is_vae_alone(parts)
        self.representation = [part.description for part in parts or ()] if described else []
        self.has_custom_networks, self.folder = bool(networks), Path(config.out)
        self.dtype = _dtype(config, device)
        framework = build_framework(config, networks, parts)
        regularizers = build_regularizers(config, framework)
        # Convolutions are faster in this memory layout, see benchmarks/memory_format.py.
        self.framework = framework.to(self.dtype).to(memory_format=torch.channels_last).to(device).train()
        # A compiled step depends on all that it is given.
        labels = data.labels if "head" in framework.networks else None
        loader = BatchLoader(data.train, device, config.seed, config.batch_size, config.flip, labels)
        self.batches = BatchStream(loader, config, device, self.dtype)
        warm = config.warm_start_steps
        self.phases = make_phases(self.framework, regularizers, device, config.precision, warm)
        self.optimizers = make_optimizers(self.framework.networks, _adam_settings(config, regularizers))
        self.averages = make_ema(
            self.framework.networks,
            self.framework.ema_networks,
            config.ema_half_life,
            config.batch_size,
        )
        evaluates = config.evaluate_every and rank() == 0
        self.evaluator = PeriodicEvaluator(config, self._as_model(), data) if evaluates else None
        self.tracking: Tracking | None = None
        self.means = RunningMeans()
        self.checkpoints = CheckpointManager(self.folder / "state", self._stateful())

    def keep_generator(self) -> None:
        """Start from the generator's weights as they are, not from those of a run's decoder."""
        self.phases = [
            dataclasses.replace(phase, begin=no_preparation) if phase.first == 0 else phase
            for phase in self.phases
        ]

    def prepare(self, saved: SavedRun | None, overwrite: bool) -> int:
        """Restore the last checkpoint, or clear the folder for a new run; return the step to start from.

        Raises:
            UserError: the processes differ in settings, data or disk, or the run folder cannot be used.
        """
        if saved:
            start = self.checkpoints.restore()
        else:
            start = 0
            require_new_run(self.folder, overwrite)
        self._check_agreement(start)
        broadcast_weights(self.framework.networks.values())
        if rank() == 0:
            if saved is None:
                delete_run_files(self.folder)
            elif saved.config.steps != self.config.steps:
                schedule = _schedule(self.config, start, self.checkpoints.learning_rate_scale)
                logger.info(f"{self.config.steps} steps instead of {saved.config.steps}: {schedule}")
            for name in ("", "model", "images", "best"):
                remove_partials(self.folder / name)
            write_run(self.folder, self.config, self.data, self.representation)
        print_dataset_summary(self.data)
        if saved is None and self._critic_may_memorise():
            logger.info(
                f"note: with fewer than {SMALL_DATASET:,} pictures the critic may memorise them; "
                "consider --augment"
            )
        barrier()
        if any_rank(not (self.folder / "config.json").exists()):
            raise UserError(f"--out {self.folder}: it must lie on a disk that all machines share")
        return start

    def _critic_may_memorise(self) -> bool:
        small = self.config.recipe == "folder" and len(self.data.train) < SMALL_DATASET
        return small and isinstance(self.framework, Adversarial) and not self.config.augment

    def _check_agreement(self, start: int) -> None:
        """Raise UserError, in every process, unless all have the same data, settings and first step."""
        config = dataclasses.replace(self.config, data="", out="", device="auto")
        ours = {"--data": self.data.checksum, "the flags": config, "the run to resume": start}
        theirs = broadcast_from_rank0(ours)
        for name, value in ours.items():
            if any_rank(value != theirs[name]):
                raise UserError(f"{name} differ between the processes: start all with the same")

    def _stateful(self) -> dict[str, Stateful]:
        """Return everything that a checkpoint holds, by name."""
        networks, coefficients = self.framework.networks, self.framework.coefficients
        return {
            **{f"network.{name}": LearningState(network) for name, network in networks.items()},
            **{f"average.{name}": average for name, average in self.averages.items()},
            **{f"optimizer.{name}": OptimizerState(networks[name], o) for name, o in self.optimizers.items()},
            **{f"coefficient.{name}": coefficient for name, coefficient in coefficients.items()},
            "means": self.means,
        }

    def loop(self, stop: StopRequest, reports: Sequence[Callable[[dict[str, Any]], None]] = ()) -> LoopSpec:
        """Return the specification of the training loop, which a signal stops.

        Args:
            reports: called with each line of stats.jsonl.
        """
        config = self.config
        cache = compiled_folder(cache_folder(config.cache))
        step = partial(
            training_step,
            phases=self.phases,
            optimizers=self.optimizers,
            batches=self.batches.micro_batches,
            update=make_update(
                config.compile, config.steps, self.has_custom_networks, cache, stop.interruptible
            ),
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
            stop=stop,
            shorter=self._shorter(),
            reports=reports,
        )

    def _shorter(self) -> str:
        """Return flags that make a run of these steps shorter; "" if it was planned for a time."""
        config = self.config
        if config.minutes is not None:
            return ""
        flags = [f"fewer --steps than {config.steps:,}"]
        if world_size() == 1:  # others are not planned
            flags.append("--minutes instead")
        if config.width >= 2 * NARROW and not self.has_custom_networks:
            flags.append(f"--width {config.width // 2}")
        if config.precision == "fp32" and self.device.type == "cuda":
            flags.append("--precision bf16")
        return ", ".join(flags)

    def _learning_rate(self, step: int) -> float:
        return learning_rate_factor(self.config, step) * self.checkpoints.learning_rate_scale

    def save(self, step: int, healthy: bool) -> None:
        """Write the model, preview images and, last, the checkpoint, so that no checkpoint lacks its model.

        Args:
            step: number of completed steps.
            healthy: True if a rollback may return to this checkpoint.

        Raises:
            NonFiniteError: a weight or a state of an optimizer is not finite; nothing is written then.
        """
        problem = broadcast_from_rank0(self._write(step, healthy) if rank() == 0 else None)
        if problem:
            raise NonFiniteError(step, problem, self.checkpoints.recovery_hint(finite=True))
        if rank() > 0:
            self.checkpoints.mark_healthy(step, healthy)

    def evaluate(self, step: int) -> None:
        """Evaluate the model in rank 0; the other processes wait."""
        if rank() == 0 and self.evaluator is not None:
            metrics = self.evaluator.measure(step, self._with_prior(self.model()))
            if self.tracking:
                self.tracking.evaluation(step, metrics)
        barrier()

    def _write(self, step: int, healthy: bool) -> str | None:
        """Write the files of `save`, or return why they must not be written."""
        model = self.model()
        name = self.checkpoints.non_finite(model.framework.state_dict())
        if name:
            return f"{name} is not finite at step {step}"
        if step == self.config.steps:
            model = self._with_prior(model)
        _end_calibration(self.folder)
        model.save(self.folder / "model")
        for kind, image in previews(model, self.data).items():
            write_atomically(self.folder / "images" / f"step-{step:08d}-{kind}.png", image)
            if self.tracking:
                self.tracking.picture(step, kind, image)
        self.checkpoints.save(step, healthy)
        return None

    def model(self) -> Model:
        """Return a copy for inference, with averaged weights, if any, and new batch-norm statistics."""
        framework = copy.deepcopy(self.framework)
        for name, average in self.averages.items():
            framework.networks[name].load_state_dict(average.module.state_dict())
        steps = math.ceil(RECALIBRATION_ITEMS / self.config.batch_size)
        rows, shapes = range(self.config.batch_size), framework.noise_shapes(self.config.batch_size)
        recalibrate_batch_norm(
            framework,
            lambda: (self.batches.batch(step, rows, shapes, "recalibrate") for step in range(steps)),
        )
        return self._as_model(framework)

    def _with_prior(self, model: Model) -> Model:
        """Give a model the prior that the config asks for; log a note if none can be fitted."""
        if self.config.prior == STANDARD or not model.framework.has_encoder:
            return model
        try:
            fitted = fit_prior(model, self.data, self.config.prior, self.config.seed)
        except UserError as error:
            logger.info(f"note: samples are drawn from N(0, I): {error}")
            return model
        logger.info(f"prior of samples: {likelihood_report(fitted)}")
        model.set_prior(fitted.prior)
        return model

    def _as_model(self, framework: Framework | None = None) -> Model:
        framework = framework or copy.deepcopy(self.framework)
        return Model(
            framework.float(),
            self.config,
            dataset_info(self.data),
            self.device,
            representation=self.representation,
        )


def _dtype(config: ResolvedConfig, device: torch.device) -> torch.dtype:
    """Return the type of weights and items; raise UserError if the device lacks it."""
    if config.precision != "fp64":
        return torch.float32
    if device.type == "mps":
        raise UserError("--precision fp64: MPS has no double precision; choose fp32, or --device cpu")
    return torch.float64


def print_dataset_summary(data: Dataset) -> None:
    """Log the number of items, what was decided about them, and the rejected pictures with an example."""
    kind = f"{data.train.shape[1]} px images" if data.is_image_data else "points"
    logger.info(f"{data.name}: {len(data.train)} + {len(data.test)} {kind} to train and test on")
    for note in data.notes:
        logger.info(note)
    if data.rejected:
        first = data.rejected[0]
        logger.info(f"left out {len(data.rejected)}: {first.name} ({first.reason}), ...; see rejected.jsonl")


def _adam_settings(config: ResolvedConfig, regularizers: Sequence[Regularizer]) -> AdamSettings:
    extra_steps: dict[str, float] = defaultdict(float)
    for regularizer in regularizers:
        if regularizer.every > 1:
            extra_steps[regularizer.network] += 1 / regularizer.every
    return AdamSettings(
        config.learning_rate,
        (config.adam_beta1, config.adam_beta2),
        {"log_sigma": config.sigma_lr_multiplier},
        extra_steps,
    )


def _schedule(config: ResolvedConfig, start: int, scale: float) -> str:
    first = config.learning_rate * scale
    now, last = (first * learning_rate_factor(config, step) for step in (start, config.steps))
    return f"the learning rate continues at {now:.3g} and ends at {last:.3g}"


def _end_calibration(folder: Path) -> None:
    """Delete the pictures of a calibration, and log a note, before other weights replace a run's model."""
    if not is_calibrated(folder / "model"):
        return
    for inner in (folder, folder / "model"):
        (inner / CALIBRATION_PICTURE).unlink(missing_ok=True)
    logger.info(
        "note: the calibration has ended, as it was made for the previous weights; "
        "run avae calibrate again when training is done"
    )
