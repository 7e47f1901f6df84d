"""LPIPS: how alike two images look to a network (Zhang et al., 2018)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from avae.data.cache import cache_folder
from avae.errors import UserError
from avae.evaluation.pretrained_weights import (
    ALEXNET,
    ensure_weights,
    read_weights,
    sha256,
    state_dict_checksum,
)

SMALLEST = 31
"""Side of the smallest image, in pixels, that AlexNet's two poolings leave something of."""

_BATCH = 64


@dataclass(frozen=True)
class Lpips:
    """LPIPS on AlexNet, with the linear heads of version 0.1.

    Attributes:
        name: as results tell it.
        checksum: of the values of all its weights, the heads' too.
        module: (x_hat, x), float (N, 3, H, W) in [-1, 1] -> (N, 1, 1, 1).
        device: where it takes them.
    """

    name: str
    checksum: str
    module: nn.Module
    device: torch.device


def open_lpips(weights: Path | None, device: torch.device | str, cache: Path | None = None) -> Lpips:
    """Open LPIPS; the heads come with torchmetrics.

    Args:
        weights: torchvision's AlexNet checkpoint, or one like it, instead of the published one.
        device: where to compute.
        cache: the folder of packed sets and downloads; None is the user's own.

    Raises:
        MissingWeightsError: the published weights cannot be had.
        UserError: the file holds something else.
    """
    # The class behind the library's public one, which takes no file of weights: it would always download.
    from torchmetrics.functional.image.lpips import _NoTrainLpips  # slow to import

    path = ensure_weights(ALEXNET, weights, cache or cache_folder(None))
    state = read_weights(path, ALEXNET.flag)
    module = _NoTrainLpips(net="alex", pnet_rand=True)
    try:
        # Its layers lie in slices: "slice2.3.weight" is torchvision's "features.3.weight".
        module.net.load_state_dict(
            {name: state[f"features.{name.split('.', 1)[1]}"] for name in module.net.state_dict()}
        )
    except (KeyError, RuntimeError):
        raise UserError(
            f"{ALEXNET.flag} {path}: these are not weights of that network; put {ALEXNET.url} there"
        ) from None
    published = sha256(path) == ALEXNET.sha256
    name = "lpips-alex-0.1" if published else f"lpips-alex-0.1 on {path.name}"
    return Lpips(name, state_dict_checksum(module.state_dict()), module.to(device), torch.device(device))


@torch.inference_mode()
def lpips_distance(lpips: Lpips, x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the distance of every pair, (N,) on the CPU; 0 for the same image.

    Args:
        x_hat, x: float (N, C, H, W) in [-1, 1], of 31 px or more; grey ones are repeated to 3 channels.
    """
    return torch.cat([lpips.module(*pair).flatten().cpu() for pair in _pairs(lpips.device, x_hat, x)])


def _pairs(device: torch.device, x_hat: Tensor, x: Tensor) -> Iterator[list[Tensor]]:
    for parts in zip(torch.split(x_hat, _BATCH), torch.split(x, _BATCH), strict=True):
        yield [part.to(device).clamp(-1, 1).expand(-1, 3, -1, -1) for part in parts]
