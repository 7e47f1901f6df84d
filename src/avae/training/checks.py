"""Check a run as early as possible: settings and folder before data are read, then the split of batches."""

import dataclasses
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from avae.data.cache import cache_folder
from avae.data.sources.resolve import absolute_source
from avae.distributed.device import pick_device
from avae.distributed.processes import check_launcher, world_size
from avae.errors import UserError
from avae.frameworks.base import Framework
from avae.recipes.build import expected_tensors
from avae.recipes.config import Config, validate
from avae.recipes.resolve import ResolvedConfig
from avae.recipes.saved_run import SavedRun, read_run
from avae.training.run_folder import (
    note_other_cache,
    require_named_features,
    require_new_run,
    require_own_folders,
    require_same_config,
)

logger = logging.getLogger(__name__)


def validate_run(
    config: Config, resume: bool, overwrite: bool
) -> tuple[Config, torch.device, SavedRun | None]:
    """Check everything that does not depend on the data.

    Returns:
        The config with absolute paths, its device, and the saved run to resume, if any.

    Raises:
        UserError: the settings, the device or the run folder cannot be used.
    """
    if resume and overwrite:
        raise UserError("--resume continues a run and --overwrite replaces it: choose one")
    folder = Path(config.out)
    saved = read_run(folder) if resume else None
    if saved:
        config = require_named_features(config, saved.config)
    config = _with_absolute_paths(config)
    validate(config)
    check_launcher()
    cache_folder(config.cache)  # raises UserError if there is none
    device = pick_device(config.device)
    if saved:
        require_same_config(config, saved.config)
        require_own_folders(folder)
        note_other_cache(saved.config, config.cache)
    else:
        require_new_run(folder, overwrite)
    return config, device, saved


def check_memory(
    config: ResolvedConfig, device: torch.device, networks: Mapping[str, torch.nn.Module] | None
) -> None:
    """Raise UserError if weights, their gradients and moments, or a batch alone exceed the whole memory."""
    room = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else _memory()
    wanted = f"--width {config.width} --code-dim {config.code_dim} --xi-dim {config.xi_dim}"
    try:
        values = sum(math.prod(each.shape) for each in expected_tensors(config, networks or {}).values())
    except ValueError:
        raise UserError(f"{wanted}: no memory is that large; choose less") from None
    if 16 * values > room:
        raise UserError(
            f"{wanted}: the networks take {16 * values / 2**30:,.0f} GiB, and this machine has "
            f"{room / 2**30:,.0f}; choose less"
        )
    item = 4 * (math.prod(config.item_shape) + config.code_dim)
    share = config.batch_size // (world_size() * config.micro_batches)
    if item * share > room:
        raise UserError(
            f"--batch-size {config.batch_size}: a batch takes {item * share / 2**30:,.0f} GiB, and this "
            f"machine has {room / 2**30:,.0f}; choose less"
        )


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_batch_split(config: ResolvedConfig, framework: Framework) -> None:
    """Raise UserError if a batch cannot be split as configured; log a note if that changes batch norm."""
    parts = world_size() * config.micro_batches
    split = f"{world_size()} processes of {config.micro_batches} micro-batches"
    if config.batch_size % parts or config.batch_size // parts < 2:
        raise UserError(
            f"--batch-size {config.batch_size}: it cannot be divided over {split} of 2 or more items each"
        )
    group = math.lcm(*(getattr(module, "batch_multiple", 1) for module in framework.modules()))
    if parts > 1 and config.batch_size // parts % group:
        raise UserError(
            f"--batch-size {config.batch_size}: groups of {group} items are compared, which {split} "
            f"would cut: choose a multiple of {group * parts}"
        )
    norms = any(isinstance(module, _BatchNorm) for module in framework.modules())
    if norms and config.micro_batches > 1:
        raise UserError(
            f"--micro-batches {config.micro_batches}: these networks have batch norm, which would see one "
            f"micro-batch at a time: leave it out, or choose a smaller --batch-size"
        )
    if norms and world_size() > 1:
        local = config.batch_size // world_size()
        logger.info(
            f"note: batch norm sees the {local} items of its own process, not all {config.batch_size}"
        )


def _with_absolute_paths(config: Config) -> Config:
    """Return the config with absolute paths, all of them strings."""
    data, out = os.fspath(config.data), os.fspath(config.out)
    init_from = config.init_from and _absolute(os.fspath(config.init_from))
    if not data:
        raise UserError("--data is missing: name a folder of pictures, or a .zip or .tar(.gz) of them")
    data = absolute_source(data)
    if init_from and Path(init_from).is_relative_to(_absolute(out)):
        raise UserError(
            f"--init-from {init_from} lies in --out, which is about to change: pass another --out"
        )
    file, colon, name = config.features.partition(":")
    features = f"{_absolute(file)}:{name}" if colon and file.endswith(".py") else config.features
    return dataclasses.replace(config, data=data, out=out, init_from=init_from, features=features)


def _absolute(path: str) -> str:
    # Unlike os.path.expanduser, Path.expanduser raises for an unknown user.
    return str(Path(os.path.expanduser(path)).absolute())
