"""Choose size, width, precision and number of steps of a run for the time that a user has."""

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from avae.data.cache import cache_folder, compiled_folder
from avae.data.dataset import Dataset
from avae.data.packed.format import is_packed
from avae.distributed.launcher import world_size
from avae.engine.compile import CompiledGradients
from avae.engine.graphed_updates import GraphedUpdates
from avae.errors import UserError
from avae.load_data import load_dataset
from avae.open_representation import open_representation
from avae.recipes.config import Config, Precision
from avae.recipes.parts import Parts
from avae.recipes.registry import get_recipe
from avae.recipes.resolve import ResolvedConfig, resolve
from avae.training.checks import check_memory
from avae.training.step_time import seconds_per_step

logger = logging.getLogger(__name__)

MINUTES = {"cpu": 20.0, "mps": 60.0, "cuda": 60.0}
"""Minutes of a run without a number of steps, by type of device."""

WIDTHS = (16, 24, 32, 48, 64, 96, 128)

ENOUGH_STEPS = 10_000
"""Steps from which on a wider network gains more than further steps."""

FEW_STEPS = 3_000
"""Steps below which images of half the size are the better choice."""

SMALL = 32
"""Pixels across from which on size is not halved."""

MINUTES_TO_COMPILE = {"cpu": 60.0, "mps": 60.0, "cuda": 5.0}
"""Minutes from which on the step is compiled, unless a flag says otherwise. Compiling takes up to 7 minutes
on a processor, whose steps are then 1.4 times as fast, and up to 2 on a GPU, whose steps are 1.3 to 7 times
as fast."""

SHARE = 0.95
"""Share of the time for steps; the rest is for checkpoints, the prior and previews."""

PLANNED = ("steps", "size", "width", "precision", "compile")
"""Fields that the plan sets if they are open; it always sets steps."""


def needs_plan(config: Config) -> bool:
    """Return True if the number of steps is open, or other minutes are asked for than those of the recipe.

    Raises:
        UserError: minutes and steps are both asked for.
    """
    default = get_recipe(config.recipe)
    if config.minutes in (None, default.minutes):
        return config.steps is None
    if config.steps not in (None, default.steps):
        raise UserError(f"--steps {config.steps} --minutes {config.minutes:g}: choose one of them")
    return True


def plan(
    config: Config, device: torch.device, module: nn.Module | None = None
) -> tuple[Config, Dataset, Parts]:
    """Choose what a config leaves open, so that training takes the time that the user has.

    A few real steps are timed for one width after another, from the smallest one on. The result is the config
    of a run like any other: it names size, width, precision and steps.

    Args:
        config: configuration with `minutes`, or without `steps`.
        device: device to train on.
        module: the representation, if it is a module from Python.

    Returns:
        The config with minutes, size, width, precision and steps, its data, and its representation.

    Raises:
        UserError: there are several processes, or the time or the memory is too little.
    """
    if world_size() > 1:
        raise UserError("--minutes times the steps of one process: with several, pass --steps instead")
    begun = time.monotonic()
    minutes = config.minutes or MINUTES[device.type]
    config = dataclasses.replace(config, minutes=minutes)
    if config.compile == "auto":
        pays = minutes >= MINUTES_TO_COMPILE[device.type]
        config = dataclasses.replace(config, compile="on" if pays else "off")
    while True:
        data = load_dataset(config.data, config)
        opened, parts = open_representation(config, data, device, module=module)
        check_memory(_resolved(opened, data, config.width or WIDTHS[0], "fp32"), device, None, parts)
        left = SHARE * 60 * minutes - (time.monotonic() - begun)
        planned = _widest(opened, data, device, left, parts)
        size = data.preprocessing.size if data.preprocessing else 0
        fixed = config.size is not None or is_packed(Path(config.data))
        if fixed or size <= SMALL or planned.steps >= FEW_STEPS:
            break
        config = dataclasses.replace(config, size=size // 2)
    if planned.compile == "on":
        compiled = GraphedUpdates(CompiledGradients(compiled_folder(cache_folder(config.cache))))
        if per_step := seconds_per_step(planned, device, compiled, parts=parts):
            left = SHARE * 60 * minutes - (time.monotonic() - begun)
            planned = dataclasses.replace(planned, steps=int(left / per_step))
            if planned.steps < 1:
                raise UserError(f"--minutes {minutes:g}: too short to compile; pass more, or --compile off")
    logger.info(
        f"planned for {minutes:g} minutes on {device.type}: {planned.steps:,} steps, width {planned.width}, "
        f"{planned.precision}{', compiled' if planned.compile == 'on' else ''}; "
        "for better pictures pass more --minutes"
    )
    return dataclasses.replace(opened, **{name: getattr(planned, name) for name in PLANNED}), data, parts


def _widest(
    config: Config, data: Dataset, device: torch.device, seconds: float, parts: Parts
) -> ResolvedConfig:
    """Return the config of the widest network that takes `ENOUGH_STEPS`, or of the narrowest one."""
    widths = WIDTHS if config.width is None else (config.width,)
    precisions = candidate_precisions(device) if config.precision is None else (config.precision,)
    best: ResolvedConfig | None = None
    for width in widths:
        candidates = [_resolved(config, data, width, precision) for precision in precisions]
        timed = _timed(candidates, device, parts)
        if not timed:
            break  # out of memory
        per_step, candidate = min(timed, key=lambda option: option[0])
        precisions = (candidate.precision,)
        steps = int(seconds / per_step)
        if best is not None and steps < ENOUGH_STEPS:
            break
        best = dataclasses.replace(candidate, steps=steps)
    if best is None:
        raise UserError(f"--width {widths[0]}: a step does not fit the memory; pass a smaller --batch-size")
    if best.steps < 1:
        raise UserError(f"--minutes {config.minutes:g}: too short for a single step; pass more")
    return best


def _timed(
    candidates: Sequence[ResolvedConfig], device: torch.device, parts: Parts
) -> list[tuple[float, ResolvedConfig]]:
    """Return the seconds of a step of each candidate that fits the memory, and the candidate."""
    timed, limit = [], math.inf
    for candidate in candidates:
        begun = time.monotonic()
        per_step = seconds_per_step(candidate, device, parts=parts, limit=limit)
        if per_step is not None:
            timed.append((per_step, candidate))
            # A faster one needs less; bf16 where the processor only emulates it takes many times as long.
            limit = min(limit, time.monotonic() - begun)
    return timed


def candidate_precisions(device: torch.device) -> tuple[Precision, ...]:
    """Return the precisions to time: one on a GPU, where both take the host's time with small networks."""
    if device.type == "cuda":
        return ("bf16",) if torch.cuda.is_bf16_supported(including_emulation=False) else ("fp32",)
    return ("fp32", "bf16")


def _resolved(config: Config, data: Dataset, width: int, precision: Precision) -> ResolvedConfig:
    # The number of steps only decides how often each phase is due: shares are the same for any.
    return resolve(dataclasses.replace(config, width=width, precision=precision, steps=ENOUGH_STEPS), data)
