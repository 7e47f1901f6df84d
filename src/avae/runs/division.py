"""Whether a batch can be divided over processes and micro-batches."""

import logging
import math

from torch.nn.modules.batchnorm import _BatchNorm

from avae.distributed import world_size
from avae.errors import UserError
from avae.frameworks.base import Framework
from avae.recipes.defaults import ResolvedConfig

logger = logging.getLogger(__name__)


def check_division(config: ResolvedConfig, framework: Framework) -> None:
    """Raise UserError unless a batch can be divided as asked; tell if batch norm will see the difference."""
    parts = world_size() * config.micro_batches
    over = f"{world_size()} processes of {config.micro_batches} micro-batches"
    if config.batch_size % parts or config.batch_size // parts < 2:
        raise UserError(
            f"--batch-size {config.batch_size}: it cannot be divided over {over} of 2 or more items each"
        )
    group = math.lcm(*(getattr(module, "batch_multiple", 1) for module in framework.modules()))
    if parts > 1 and config.batch_size // parts % group:
        raise UserError(
            f"--batch-size {config.batch_size}: the critic compares groups of {group} items, which {over} "
            f"would cut: choose a multiple of {group * parts}"
        )
    norms = any(isinstance(module, _BatchNorm) for module in framework.modules())
    if norms and config.micro_batches > 1:
        raise UserError(
            f"--micro-batches {config.micro_batches}: these networks have batch norm, which would see one "
            f"micro-batch at a time: leave it out, or choose a smaller --batch-size"
        )
    if norms and world_size() > 1:
        own = config.batch_size // world_size()
        logger.info(f"note: batch norm sees the {own} items of its own process, not all {config.batch_size}")
