"""Check that a run fits the memory, and that its batches can be split."""

import logging
import math
import os
from collections.abc import Mapping

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from avae.distributed.launcher import world_size
from avae.errors import UserError
from avae.frameworks.base import Framework
from avae.recipes.build import expected_tensors
from avae.recipes.parts import Parts
from avae.recipes.resolve import ResolvedConfig

logger = logging.getLogger(__name__)


def check_memory(
    config: ResolvedConfig,
    device: torch.device,
    networks: Mapping[str, torch.nn.Module] | None,
    parts: Parts | None = None,
) -> None:
    """Raise UserError if weights, their gradients and moments, or a batch alone exceed the whole memory."""
    room = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else _memory()
    wanted = f"--width {config.width} --code-dim {config.code_dim} --xi-dim {config.xi_dim}"
    try:
        tensors = expected_tensors(config, networks or {}, parts)
    except ValueError:
        raise UserError(f"{wanted}: no memory is that large; choose less") from None
    values = sum(math.prod(each.shape) for each in tensors.values())
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
