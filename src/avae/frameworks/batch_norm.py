"""Batch-norm statistics for use one image at a time."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from avae.frameworks.base import Framework, Noise


@torch.no_grad()
def recalibrate_batch_norm(
    framework: Framework, batches: Callable[[], Iterable[tuple[Tensor, Noise]]]
) -> None:
    """Put a framework in evaluation mode and measure its batch-norm statistics anew.

    Network by network, in the framework's order, the statistics become plain averages over what the
    network meets when used: E on real images, D on z ~ q(z|x), G on the codes it was trained on. Training
    mixes real and generated images in E's running statistics, so these cannot serve. Hand it a copy of one
    in training.

    Args:
        batches: makes them anew for each network, so that they need not be held together; never called where
            there is no batch norm.
    """
    framework.eval()
    for name, show in framework.batch_norm_passes().items():
        network = framework.networks[name]
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        if not norms:
            continue
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average
        network.train()
        for x, noise in batches():
            show(x, noise)
        network.eval()
