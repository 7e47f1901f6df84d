"""The Gaussian posterior of an encoder."""

import torch
from torch import Tensor, nn


class GaussianEncoder(nn.Module):
    """q(z|x) = N(z; mu(x), diag(sigma^2)), where sigma is a learned vector independent of x.

    Args:
        body: maps x to (N, d), the posterior mean.
        code_dim: number of dimensions d of a code.
    """

    def __init__(self, body: nn.Module, code_dim: int) -> None:
        super().__init__()
        self.body = body
        self.log_sigma = nn.Parameter(torch.zeros(code_dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu (N, d) and sigma (d,), which starts at 1, the scale of the prior."""
        return self.body(x), self.log_sigma.exp()
