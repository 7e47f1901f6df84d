"""Report the memory and the time that a run needs, without starting it: avae train --dry-run."""

import dataclasses

from rich.console import Console

from avae.data.sources.published import PUBLISHED
from avae.data.sources.resolve import BUILT_IN
from avae.distributed.device import pick_device
from avae.distributed.launcher import rank
from avae.errors import UserError
from avae.load_data import load_dataset
from avae.open_representation import open_representation
from avae.profiling.device_memory import room_for_tensors
from avae.profiling.estimate import estimate_run
from avae.profiling.report import print_memory, print_time
from avae.recipes.config import Config
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.parts import Parts
from avae.recipes.representations import VAE
from avae.recipes.resolve import ResolvedConfig, resolve, with_defaults
from avae.training.plan import needs_plan, plan
from avae.training.step_time import seconds_per_step
from avae.training.validate_run import validate_run


def dry_run(config: Config, *, resume: bool = False, overwrite: bool = False) -> None:
    """Print the memory and the time that a run needs; write nothing to its folder.

    Pictures are read, and so packed in the cache, only if nothing else determines their size, or for
    their classes. A few steps are computed on random items to time them, if the device's memory suffices;
    every process times its own, and rank 0 prints.

    Raises:
        UserError: as the run would.
    """
    config, saved = validate_run(config, resume, overwrite)
    device = pick_device(config.device)
    parts: Parts | None = None
    if not saved and needs_plan(config):
        config, _, parts = plan(config, device)
    elif config.representation != VAE:
        described = saved.representation if saved else None
        data = load_dataset(config.data, config)
        config, parts = open_representation(config, data, device, saved=described)
    resolved = resolve_without_data(config)
    console = Console(stderr=True, quiet=rank() > 0)
    with console.status("estimating memory: up to a minute for large networks"):
        estimate = estimate_run(resolved, parts)
    if rank() == 0:
        # Before the steps, so that memory is reported even if the system kills them for it.
        print_memory(estimate, device)
    seconds, room = None, room_for_tensors(device)
    if estimate.own_memory.total <= room:
        with console.status("timing a few steps on random items"):
            seconds = seconds_per_step(resolved, device, parts=parts)
    if rank() == 0:
        print_time(estimate, seconds, room)


def resolve_without_data(config: Config) -> ResolvedConfig:
    """Fill in the fields that a published data set determines; for other data, read them as training does."""
    named = PUBLISHED.get(config.data.partition(":")[0])
    if named and NETWORK_FAMILIES[config.network].items != "images":
        raise UserError(f"--network {config.network} does not fit {named.name}, which is made of images")
    size = config.size or (named.size if named else None)
    if config.data in BUILT_IN or size is None or config.condition == "classes":
        return resolve(config, load_dataset(config.data, config))
    return with_defaults(dataclasses.replace(config, size=size, channels=config.channels or 3))
