"""Small networks and weights that tests of evaluation share."""

from pathlib import Path

import torch
from torch import Tensor, nn

from avae.evaluation.features import FeatureExtractor
from avae.evaluation.pretrained_weights import state_dict_checksum


class Projection(nn.Module):
    """Features of 16 px images: random sums of pixels, nearly Gaussian over images."""

    def __init__(self, features: int = 8, seed: int = 0) -> None:
        super().__init__()
        weights = torch.randn(3 * 16 * 16, features, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("weights", weights / 16)
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return images.flatten(1) @ self.weights


def projection(**how: int) -> FeatureExtractor:
    """Open a projection as features."""
    module = Projection(**how)
    return FeatureExtractor(
        "projection", state_dict_checksum(module.state_dict()), module, torch.device("cpu")
    )


def random_weights(network: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Return weights for a network that keep what it computes near one, layer by layer."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in network.state_dict().items():
        if tensor.ndim > 1:
            fan_in = tensor[0].numel()
            state[name] = torch.randn(tensor.shape, generator=generator) * (2 / fan_in) ** 0.5
        else:
            state[name] = tensor.clone() if tensor.ndim else torch.zeros_like(tensor)
    return state


def saved(state: dict[str, Tensor], path: Path) -> Path:
    """Write weights as published ones are."""
    torch.save(state, path)
    return path
