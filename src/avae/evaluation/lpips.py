"""LPIPS: the distance of two images in the features of a network (Zhang et al., 2018)."""

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
"""Smallest side of an image, in pixels: AlexNet's two poolings leave nothing of a smaller one."""

_BATCH = 64


@dataclass(frozen=True)
class Lpips:
    """LPIPS on AlexNet, with the linear heads of version 0.1.

    Attributes:
        name: name in result files.
        checksum: checksum of the values of all its weights, heads included.
        module: (x_hat, x), float (N, 3, H, W) in [-1, 1] -> (N, 1, 1, 1).
        device: device of its input.
    """

    name: str
    checksum: str
    module: nn.Module
    device: torch.device


def open_lpips(weights: Path | None, device: torch.device | str, cache: Path | None = None) -> Lpips:
    """Open LPIPS. Its linear heads are part of torchmetrics.

    Args:
        weights: file in the form of torchvision's AlexNet weights, to use instead of the published ones.
        device: device to compute on.
        cache: folder of packed data sets and downloads; None is the user's default cache.

    Raises:
        MissingWeightsError: the published weights are not available.
        UserError: the file does not hold AlexNet weights.
    """
    # The private class: the public one accepts no file of weights and always downloads them.
    from torchmetrics.functional.image.lpips import _NoTrainLpips  # slow to import

    path = ensure_weights(ALEXNET, weights, cache or cache_folder(None))
    state = read_weights(path, ALEXNET.flag)
    module = _NoTrainLpips(net="alex", pnet_rand=True)
    try:
        # Layers are grouped in slices here: "slice2.3.weight" is "features.3.weight" in torchvision.
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
    """Return the LPIPS distance of every pair, (N,) on the CPU; 0 for equal images.

    Args:
        x_hat, x: float (N, C, H, W) in [-1, 1], of 31 px or more; grey images are repeated to 3 channels.
    """
    distances = []
    for pair in zip(torch.split(x_hat, _BATCH), torch.split(x, _BATCH), strict=True):
        images = [part.to(lpips.device).clamp(-1, 1).expand(-1, 3, -1, -1) for part in pair]
        distances.append(lpips.module(*images).flatten().cpu())
    return torch.cat(distances)
