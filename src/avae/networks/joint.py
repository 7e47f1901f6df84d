"""Critics that judge pairs: an item and a code, as in BiGAN, or two items."""

import torch
from torch import Tensor, nn

from avae.networks.mlp import MLP


class JointCritic(nn.Module):
    """A branch for items and a branch for codes, concatenated and passed to a head (section 5).

    The branch for codes and the head are perceptrons with two hidden layers.

    Args:
        body: x -> (N, features), the branch for items, built like a critic.
        features: number of output features of each branch.
        code_dim: number of dimensions d of a code.
        width: width of all hidden layers.
        outputs: 1 for logits; more for the body of a `ProjectionCritic`.
    """

    def __init__(self, body: nn.Module, features: int, code_dim: int, width: int, outputs: int = 1) -> None:
        super().__init__()
        self.body = body
        self.code = MLP(code_dim, features, width)
        self.head = MLP(2 * features, outputs, width)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the logits (N, outputs) of pairs of items x and codes z (N, d)."""
        joined = torch.cat([self.body(x), self.code(z)], 1)
        logits: Tensor = self.head(nn.functional.leaky_relu(joined, 0.2))
        return logits


class PairCritic(nn.Module):
    """A critic of pairs of items, joined along their channels.

    Args:
        body: (N, 2 C, ...) -> (N, 1), built like a critic of items with twice as many channels.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the logits (N, 1) of pairs of items (N, C, ...)."""
        logits: Tensor = self.body(torch.cat([x, other], 1))
        return logits
