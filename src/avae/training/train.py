"""Train a model, from the name of a recipe or from a config."""

import dataclasses
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from avae.console import lasting_output, messages_on_stderr, no_progress
from avae.data.pictures import ValueRange
from avae.distributed.device import pick_device
from avae.distributed.launcher import rank
from avae.distributed.processes import process_group
from avae.engine.checkpoint import latest_checkpoint, step_of
from avae.engine.loop import TrainingResult, train_loop
from avae.engine.signals import Interrupted, StopRequest
from avae.errors import UserError
from avae.frameworks.representations import fitted_tensors
from avae.load_data import load_dataset, pack_given
from avae.model import Model, load
from avae.open_representation import open_representation
from avae.recipes.config import Config
from avae.recipes.registry import get_recipe, with_overrides
from avae.recipes.representations import FROM_PYTHON, VAE, names_code
from avae.recipes.resolve import resolve
from avae.recipes.settings import Settings
from avae.safetensors_io import strip_prefix
from avae.saved_model import load_weights
from avae.torch_defaults import torch_defaults
from avae.training.checks import check_batch_split, check_memory
from avae.training.plan import needs_plan, plan
from avae.training.run_folder import (
    check_same_data,
    keep_warm_start,
    note_other_cache,
    resume_config,
    run_lock,
)
from avae.training.trackers import Tracking
from avae.training.trainer import Trainer
from avae.training.validate_run import note_settings_without_effect, validate_run

logger = logging.getLogger(__name__)

Callback = Callable[[dict[str, Any]], None]

DATA_FROM_PYTHON = "pictures from Python"
"""Placeholder for the field `data` until the pictures are packed."""


def train(
    name: str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    networks: Mapping[str, nn.Module] | None = None,
    value_range: ValueRange | None = None,
    callback: Callback | None = None,
    progress: bool = True,
    **settings: Unpack[Settings],
) -> Model:
    """Train a recipe and return the model; the run folder is `out`.

    Args:
        name: recipe: demo, digits, toy, folder, cifar10, cifar100, svhn, celeba, bedroom or ffhq256.
        resume: continue from the last checkpoint in `out`, with its settings unless given here.
        overwrite: replace the run in `out`.
        networks: custom modules instead of the built ones, by name ("encoder", "decoder", "generator",
            "critic"); docs/networks.md describes what each framework requires.
        value_range: values of black and white in floats that are passed as data; None for (-1, 1).
        callback: called with each line of stats.jsonl, a dict, every `log_every` steps. What it raises ends
            training; `resume=True` continues from the last checkpoint.
        progress: False to show no progress.
        settings: fields of `avae.recipes.config.Config`, such as data, out, steps, width; `Settings` has
            their types. data may also be pictures from Python, all that `Model.encode` takes, or a pair
            (train, test) of them, see `avae.data.from_python.pack_from_python`. representation may also be a
            frozen module from float images (N, C, H, W) in [-1, 1] to features (N, ...), see
            docs/representations.md.

    Raises:
        UserError: a setting, the data or the run folder cannot be used; the message gives the reason.
        KeyboardInterrupt, SystemExit: after Ctrl-C, or SIGTERM or SIGHUP, once the state is saved.
    """
    config = get_recipe(name)
    given: Callable[[Config], str] | None = None
    values: dict[str, Any] = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in settings.items()
    }
    if not isinstance(values.get("data", ""), str):
        given = partial(pack_given, values["data"], value_range=value_range)
        values["data"] = DATA_FROM_PYTHON
    module: nn.Module | None = None
    represented = values.get("representation", VAE)
    if isinstance(represented, nn.Module):
        module = represented
        values["representation"] = f"{FROM_PYTHON}:{type(module).__name__}"
    elif not isinstance(represented, str):
        raise UserError(
            f"representation={represented!r}: pass a text, as --representation takes, or a torch.nn.Module"
        )
    if resume:
        config = resume_config(dataclasses.replace(config, out=values.get("out", config.out)))
    config = with_overrides(config, values)
    with messages_on_stderr(unless_configured=True), nullcontext() if progress else no_progress():
        result = run(
            config,
            resume=resume,
            overwrite=overwrite,
            networks=networks,
            module=module,
            given=given,
            callback=callback,
        )
    if result.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if result.signal is not None:
        raise SystemExit(128 + result.signal)
    named = module or (config.representation if names_code(config.representation) else None)
    return load(config.out, device=config.device, networks=networks, representation=named)


@torch_defaults()
def run(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    networks: Mapping[str, nn.Module] | None = None,
    module: nn.Module | None = None,
    given: Callable[[Config], str] | None = None,
    callback: Callback | None = None,
) -> TrainingResult:
    """Train the run that a config describes, until its last step or a signal.

    Args:
        config: configuration of the run, not resolved yet.
        resume: continue the run in `config.out`, if there is one.
        overwrite: replace it.
        networks: custom modules, by name.
        module: the representation, if it is a module from Python.
        given: packs pictures from Python, instead of those that `config` names, and returns their path.
        callback: as for `train`.

    Raises:
        UserError: as `train`.
    """
    with lasting_output(), StopRequest() as stop:
        try:
            return _run(config, stop, resume, overwrite, networks, module, given, callback)
        except Interrupted:
            logger.info("stopped before the first step: there is nothing to save")
            return TrainingResult(0, stop.signal)


def _run(
    config: Config,
    stop: StopRequest,
    resume: bool,
    overwrite: bool,
    networks: Mapping[str, nn.Module] | None,
    module: nn.Module | None,
    given: Callable[[Config], str] | None,
    callback: Callback | None,
) -> TrainingResult:
    """Train as `run`; raise `Interrupted` at a signal before the first step."""
    with stop.interruptible():
        config, saved = validate_run(config, resume, overwrite)
        device, folder = pick_device(config.device), Path(config.out)
        if saved:
            note_other_cache(saved.config, config.cache)
            config = keep_warm_start(config, saved.config)
        else:
            note_settings_without_effect(config)
        reached = latest_checkpoint(folder / "state") if saved else None
        if reached and step_of(reached) == config.steps:
            logger.info(f"{config.out} is finished: all {config.steps} steps are done")
            return TrainingResult(step_of(reached), None)
        if given is not None:
            config = dataclasses.replace(config, data=given(config))
        if not saved and needs_plan(config):
            config, data, parts = plan(config, device, module)
        else:
            data = load_dataset(config.data, config)
            if saved:
                check_same_data(config.data, data, saved)
            config, parts = open_representation(
                config,
                data,
                device,
                module=module,
                saved=saved.representation if saved else None,
                trained=folder / "model" if reached else None,
            )
        resolved = resolve(config, data)
        check_memory(resolved, device, networks, parts)
        trainer = Trainer(resolved, data, device, networks, parts)
        check_batch_split(resolved, trainer.framework)
        if config.init_from and not reached:
            _load_initial_weights(trainer, config.init_from)
    with ExitStack() as held:
        with stop.interruptible():
            held.enter_context(process_group(device))
            if rank() == 0:
                held.enter_context(run_lock(folder))
            start = trainer.prepare(saved, overwrite)
            if rank() == 0 and config.log != "none":
                trainer.tracking = held.enter_context(closing(Tracking(resolved, start)))
        reports = [trainer.tracking.line] if trainer.tracking else []
        result = train_loop(trainer.loop(stop, [*reports, *([callback] if callback else [])]), start)
    if result.signal is not None:
        logger.info(f"stopped at step {result.step} of {config.steps}, all saved; continue with --resume")
    return result


def _load_initial_weights(trainer: Trainer, path: str) -> None:
    """Load the weights of every network in `path` that has the same name and kind; log their names.

    Frozen networks, and what was fitted to data, stay as they are.
    """
    weights, loaded = load_weights(path), []
    for name, network in trainer.framework.networks.items():
        fitted = fitted_tensors(network)
        state = {k: v for k, v in strip_prefix(weights, f"{name}.").items() if k not in fitted}
        if not state or state.keys() != network.state_dict().keys() - fitted:
            continue
        try:
            network.load_state_dict(state, strict=False)
        except RuntimeError:
            raise UserError(
                f"--init-from {path}: its {name} has another shape; "
                "match --size, --width, --code-dim and --xi-dim"
            ) from None
        loaded.append(name)
    if not loaded:
        networks = " or ".join(trainer.framework.networks)
        raise UserError(f"--init-from {path}: it has no {networks} of this run's kind; see docs/networks.md")
    logger.info(f"initial weights of {' and '.join(loaded)} from {path}")
    if "generator" in loaded:
        trainer.keep_generator()
