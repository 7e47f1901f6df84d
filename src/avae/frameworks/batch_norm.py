"""Recalibrate batch-norm statistics, so that networks can process single images."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from avae.frameworks.base import Framework, Noise


@torch.no_grad()
def recalibrate_batch_norm(
    framework: Framework, batches: Callable[[], Iterable[tuple[Tensor, Noise]]]
) -> None:
    """Set a framework to evaluation mode and measure its batch-norm statistics again.

    Network by network, in the order of the framework, the statistics become plain averages over the inputs
    that the network gets in use: E on real images, D on z ~ q(z|x), G on the codes it was trained on. The
    running statistics of E from training mix real and generated images, so they cannot be used.

    Args:
        framework: changed in place; pass a copy of a framework in training.
        batches: returns the batches (x, noise), once for each network, so that they need not fit in memory
            together; never called without batch norm.
    """
    framework.eval()
    for name, run_pass in framework.batch_norm_passes().items():
        network = framework.networks[name].train()
        # Frozen networks stay in evaluation mode.
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.training]
        if not norms:
            network.eval()
            continue
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average
        for x, noise in batches():
            run_pass(x, noise)
        network.eval()
