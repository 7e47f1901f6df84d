"""The networks of the toy example (section 5.1): perceptrons with two hidden layers."""

import torch
from torch import Tensor, nn

from avae.networks.family import NetworkFamily


class MLP(nn.Module):
    """Two hidden layers of `width` units with ReLU. Several inputs are concatenated.

    forward: (N, ...) tensors with `inputs` features in total -> (N, outputs), in the dtype of the input.
    `feature_count` is the number of features of an item in `with_features`.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 128) -> None:
        super().__init__()
        self.feature_count = width
        self.layers = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )

    def forward(self, *parts: Tensor) -> Tensor:
        joined = torch.cat(parts, 1)
        # Under autocast the layers compute in bf16; the output has the dtype of the input.
        out: Tensor = self.layers(joined).to(joined.dtype)
        return out

    def with_features(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result of `forward`, and the last hidden layer (N, width): VAE/GAN's features."""
        joined = torch.cat(parts, 1)
        hidden = self.layers[:-1](joined)
        return self.layers[-1](hidden).to(joined.dtype), hidden.to(joined.dtype)


def _down(item: tuple[int, ...], width: int, outputs: int) -> nn.Module:
    (features,) = item
    return MLP(features, outputs, width)


def _up(item: tuple[int, ...], width: int, inputs: int) -> nn.Module:
    (features,) = item
    return MLP(inputs, features, width)


FAMILY = NetworkFamily(encoder=_down, decoder=_up, generator=_up, critic=_down)
