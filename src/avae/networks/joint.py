"""BiGAN's critic, which sees an item and a code together."""

import torch
from torch import Tensor, nn

from avae.networks.mlp import MLP


class JointCritic(nn.Module):
    """An item's branch and a code's branch, joined end to end and read by a head (section 5).

    Branch of codes and head are perceptrons with two hidden layers.

    Args:
        body: x -> (N, features), the branch of items, built like a critic.
        features: what it makes of an item, and the branch of codes of a code.
        code_dim: d.
        width: of all hidden layers.
    """

    def __init__(self, body: nn.Module, features: int, code_dim: int, width: int) -> None:
        super().__init__()
        self.body = body
        self.code = MLP(code_dim, features, width)
        self.head = MLP(2 * features, 1, width)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the logits (N, 1) of pairs of items x and codes z (N, d)."""
        joined = torch.cat([self.body(x), self.code(z)], 1)
        logits: Tensor = self.head(nn.functional.leaky_relu(joined, 0.2))
        return logits
