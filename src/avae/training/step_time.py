"""Time real training steps of a run on its device."""

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avae.data.dataset import Dataset
from avae.distributed.launcher import rank
from avae.engine.step import Batches, NamesAndTerms, Optimizers, Phase, UpdateFn, update_networks
from avae.errors import is_out_of_memory
from avae.recipes.parts import Parts
from avae.recipes.resolve import ResolvedConfig
from avae.training.trainer import Trainer

WARM_UP, TIMED = 2, 5
"""Steps of each phase before timing starts, and steps to take the median of."""

TIME_LIMIT = 20.0
"""Seconds after which no further step of a phase begins: steps of large networks may take minutes."""


def seconds_per_step(
    config: ResolvedConfig,
    device: torch.device,
    update: UpdateFn | None = None,
    parts: Parts | None = None,
    limit: float = math.inf,
) -> float | None:
    """Return the seconds of an average step, measured on random items; None if memory runs out.

    The steps compute this process's share of the batch, without the exchange between processes. Each phase is
    timed on its own, and counts by how often it is due.

    Args:
        config: configuration of the run.
        device: device to train on.
        update: the compiled form of a step, for one process; by default steps are eager.
        parts: the parts of AVAE's representation; None for a VAE.
        limit: seconds after which no further step begins, but the first of each phase.
    """
    begun, total = time.perf_counter(), 0.0
    try:
        trainer = random_trainer(config, device, parts)
        for phase in trainer.phases:
            left = min(TIME_LIMIT, limit - (time.perf_counter() - begun))
            seconds = _phase_seconds(trainer, phase, update or update_alone, left)
            total += seconds * phase.frequency(config.steps)
        return total
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def random_trainer(config: ResolvedConfig, device: torch.device, parts: Parts | None = None) -> Trainer:
    """Return a trainer on one batch of random items of the run's shape, without evaluation."""
    # An evaluator would load the networks that compute features.
    config = dataclasses.replace(config, evaluate_every=0, keep_best=None)
    of_parts = (part.description["classes"] for part in parts or () if "classes" in part.description)
    classes = list(config.classes) or next(of_parts, [])
    return Trainer(config, _random_data(config, classes), device, None, parts)


def update_alone(phase: Phase, batches: Batches, optimizers: Optimizers) -> NamesAndTerms:
    """Take one step of the optimizers, without the exchange between processes."""
    return update_networks(phase, batches, optimizers, average=lambda tensors: lambda: tensors)


def take_step(trainer: Trainer, phase: Phase, step: int, update: UpdateFn = update_alone) -> None:
    """Take one step of one phase: update networks, moving averages and coefficients."""
    names, terms = update(phase, trainer.batches.micro_batches(step, phase), trainer.optimizers)
    for name, average in trainer.averages.items():
        if name in names:
            average.update_parameters(phase.networks[name])
    if phase.name == "main":
        for coefficient in trainer.framework.coefficients.values():
            coefficient.update(terms)


def _phase_seconds(trainer: Trainer, phase: Phase, update: UpdateFn, limit: float) -> float:
    """Return the median time of a phase's steps, or the last one's if the limit allows no more."""
    times: list[float] = []
    while not times or (len(times) < WARM_UP + TIMED and sum(times) < limit):
        _synchronize(trainer.device)
        start = time.perf_counter()
        take_step(trainer, phase, len(times), update)
        _synchronize(trainer.device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:] or times[-1:])


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _random_data(config: ResolvedConfig, classes: Sequence[str]) -> Dataset:
    rng = np.random.default_rng(rank())
    count = config.batch_size
    items: NDArray[Any]
    if config.size is None:
        items = rng.standard_normal((count, *config.item_shape), dtype=np.float32)
    else:
        items = rng.integers(0, 256, (count, config.size, config.size, config.channels), dtype=np.uint8)
    labels = rng.integers(0, len(classes), count, dtype=np.int32) if classes else None
    return Dataset("random items", items, items, "", labels=labels, classes=tuple(classes))
