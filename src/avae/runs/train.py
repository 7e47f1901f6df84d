"""From a recipe's name to a trained model."""

import copy
import dataclasses
import math
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avae.data.dataset import DataSet, ShuffledOrder, as_tensor
from avae.data.sources import BUILT_IN
from avae.devices import pick_device
from avae.engine.checkpoint import Checkpoints, newest, step_of
from avae.engine.ema import averages
from avae.engine.loop import Outcome, Plan, fit
from avae.engine.optimizers import adams
from avae.engine.step import Losses, Phase
from avae.errors import UserError
from avae.files import write_atomically
from avae.frameworks.base import Framework, Noise
from avae.frameworks.recalibrate import recalibrate
from avae.model import Model, load, load_weights
from avae.noise import normal
from avae.recipes.build import build_framework
from avae.recipes.catalogue import changed, recipe
from avae.recipes.config import Config, learning_rate_factor, sigma_lr_multiplier, validate
from avae.runs.folder import (
    alone,
    as_asked,
    check_fresh,
    check_same,
    check_same_data,
    clear,
    describe,
    read_run,
    write_run,
)
from avae.runs.preview import previews
from avae.runs.reading import load_with_progress
from avae.tensorfile import under

RECALIBRATION_ITEMS = 4096


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
        name: of the recipe: demo, toy or folder.
        resume: go on from the last checkpoint in `out`, with its settings but for those given.
        overwrite: replace the run in `out`.
        networks: your own modules instead of the built ones, by name ("encoder", "decoder", "generator",
            "critic"); an encoder must be a `avae.networks.gaussian.GaussianEncoder` around your own body.
        settings: fields of `avae.recipes.config.Config`, such as data, out, steps, width.

    Raises:
        UserError: a setting, the data or the run folder will not do; the message says why.
        KeyboardInterrupt, SystemExit: after Ctrl-C, or SIGTERM, once the state is saved.
    """
    config = starting_config(name, settings, resume)
    outcome = run(config, resume=resume, overwrite=overwrite, networks=networks)
    if outcome.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)
    return load(config.out, device=config.device, networks=networks)


def starting_config(name: str, settings: dict[str, Any], resume: bool) -> Config:
    """Return the recipe's config, or, to resume, the saved one, with `settings` replaced."""
    config = recipe(name)
    saved = read_run(Path(settings.get("out", config.out))) if resume else None
    return changed(as_asked(saved.config, config) if saved else config, settings)


def run(
    config: Config,
    *,
    resume: bool = False,
    overwrite: bool = False,
    networks: Mapping[str, nn.Module] | None = None,
) -> Outcome:
    """Carry a run out, in its folder, as far as it goes."""
    if resume and overwrite:
        raise UserError("--resume goes on with a run and --overwrite replaces it: choose one")
    config = _with_whole_paths(config)
    validate(config)
    folder, device = Path(config.out), pick_device(config.device)
    saved = read_run(folder) if resume else None
    if saved:
        check_same(config, saved.config)
        reached = newest(folder / "state")
        if reached and step_of(reached) == config.steps:
            say(f"{config.out} is finished: all {config.steps} steps are done")
            return Outcome(config.steps, None)
    else:
        check_fresh(folder, overwrite)
    data = load_with_progress(config.data, config.size, config.channels)
    config = _settled(config, data)
    if saved:
        check_same_data(config.data, data, saved)
    training = Training(config, data, device, networks)
    if config.init_from and not (saved and newest(folder / "state")):
        _take_weights(training.framework, config.init_from)
    with alone(folder):
        if saved:
            start = training.checkpoints.restore()
            if saved.config.steps != config.steps:
                say(f"{config.steps} steps instead of {saved.config.steps}: {_schedule(config, start)}")
        else:
            start = 0
            check_fresh(folder, overwrite)
            clear(folder)
        say_what_is_read(data)
        write_run(folder, config, data)
        outcome = training.fit(start)
    if outcome.signal is not None:
        say(f"stopped at step {outcome.step} of {config.steps}, all saved; go on with --resume")
    return outcome


class Training:
    """Everything a run holds in memory.

    Args:
        config: settled.
        data: to train on.
        device: where.
        networks: your own, by name.
    """

    def __init__(
        self, config: Config, data: DataSet, device: torch.device, networks: Mapping[str, nn.Module] | None
    ) -> None:
        self.config, self.data, self.device = config, data, device
        self.folder = Path(config.out)
        framework = build_framework(config, networks)
        # Convolutions are faster in this layout, see benchmarks/memory_format.py.
        self.framework = framework.to(memory_format=torch.channels_last).to(device).train()
        self.order = ShuffledOrder(len(data.train), config.seed)
        self.optimizers = adams(
            self.framework.networks, config.learning_rate, {"log_sigma": sigma_lr_multiplier(config)}
        )
        self.averages = averages(
            self.framework.networks, self.framework.averaged, config.ema_half_life, config.batch_size
        )
        self.checkpoints = Checkpoints(
            self.folder / "state", self.framework.networks, self.optimizers, self.averages
        )

    def fit(self, start: int) -> Outcome:
        """Train from step `start`."""
        config = self.config
        plan = Plan(
            phases=[Phase("main", in_precision(self.framework.losses, self.device, config.precision))],
            networks=self.framework.networks,
            optimizers=self.optimizers,
            averages=self.averages,
            batch=self.batch,
            learning_rate=lambda step: learning_rate_factor(config, step),
            save=self.save,
            steps=config.steps,
            batch_size=config.batch_size,
            checkpoint_every=config.checkpoint_every,
            log_every=config.log_every,
            folder=self.folder,
            title=f"{config.framework} on {self.data.name}",
        )
        return fit(plan, start)

    def batch(self, step: int, stream: str = "train") -> tuple[Tensor, Noise]:
        """Return a step's items and noise, functions of (seed, step)."""
        items = self.data.train[self.order.batch(step, self.config.batch_size)]
        noise = {
            name: torch.from_numpy(normal(shape, self.config.seed, f"{stream}/{name}", step)).to(self.device)
            for name, shape in self.framework.noise_shapes(len(items)).items()
        }
        return as_tensor(items, self.device), noise

    def save(self, step: int) -> None:
        """Write model, pictures and, last, the state, so that a state never outruns its model."""
        model = self.model()
        self.checkpoints.refuse_non_finite(step, model.framework.state_dict())
        model.save(self.folder / "model")
        for kind, picture in previews(model, self.data).items():
            write_atomically(self.folder / "images" / f"step-{step:08d}-{kind}.png", picture)
        self.checkpoints.save(step)

    def model(self) -> Model:
        """Return a copy for use: averaged weights where there are any, batch-norm statistics settled."""
        framework = copy.deepcopy(self.framework)
        for name, average in self.averages.items():
            framework.networks[name].load_state_dict(average.module.state_dict())
        steps = math.ceil(RECALIBRATION_ITEMS / self.config.batch_size)
        recalibrate(framework, [self.batch(step, "recalibrate") for step in range(steps)])
        return Model(framework, self.config, describe(self.data), self.device)


def in_precision(losses: Losses, device: torch.device, precision: str) -> Losses:
    """Run the networks in bf16 where asked; what they return, and so every loss, stays in fp32."""

    def autocast(x: Tensor, noise: Noise) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return losses(x, noise)

    return autocast


def say(text: str) -> None:
    """Tell the user something that is no result."""
    print(text, file=sys.stderr)


def say_what_is_read(data: DataSet) -> None:
    """Tell what was read, and name what was not."""
    kind = f"{data.train.shape[1]} px images" if data.holds_images else "points"
    say(f"{data.name}: {len(data.train)} + {len(data.test)} {kind} to train and test on")
    if data.rejected:
        first = data.rejected[0]
        say(f"left out {len(data.rejected)}: {first.name} ({first.reason}), ...; see rejected.jsonl")


def _with_whole_paths(config: Config) -> Config:
    """Make paths mean the same from any folder, be they strings or of another kind."""
    data, out = os.fspath(config.data), os.fspath(config.out)
    init_from = config.init_from and _whole(os.fspath(config.init_from))
    if not data:
        raise UserError("--data is missing: name a folder of pictures, or a .zip or .tar(.gz) of them")
    if data not in BUILT_IN:
        data = _whole(data)
    if init_from and Path(init_from).is_relative_to(_whole(out)):
        raise UserError(
            f"--init-from {init_from} lies in --out, which is about to change: pass another --out"
        )
    return dataclasses.replace(config, data=data, out=out, init_from=init_from)


def _whole(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _settled(config: Config, data: DataSet) -> Config:
    """Fill in what the data decide."""
    if data.holds_images != (config.network == "dcgan"):
        kind = "images" if data.holds_images else "points"
        raise UserError(f"--network {config.network} does not fit {data.name}, which is made of {kind}")
    if len(data.train) < 2:
        raise UserError(f"--data {config.data}: {len(data.train)} training items; bring 2 or more")
    size = data.train.shape[1] if data.holds_images else None
    return dataclasses.replace(
        config,
        size=size,
        channels=data.train.shape[-1],
        sigma_lr_multiplier=sigma_lr_multiplier(config),
    )


def _schedule(config: Config, start: int) -> str:
    now, last = (config.learning_rate * learning_rate_factor(config, step) for step in (start, config.steps))
    return f"the learning rate goes on at {now:.3g} and ends at {last:.3g}"


def _take_weights(framework: Framework, path: str) -> None:
    """Copy the weights of every network that `path` has under the same name."""
    weights = load_weights(path)
    for name, network in framework.networks.items():
        own = under(weights, f"{name}.")
        try:
            if own:
                network.load_state_dict(own)
        except RuntimeError:
            raise UserError(
                f"--init-from {path}: its {name} has another shape; "
                "match --size, --width, --code-dim and --xi-dim"
            ) from None
