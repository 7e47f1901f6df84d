"""The VampPrior (Tomczak and Welling, 2018, arXiv 1705.07120), fitted to the codes of a trained encoder."""

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from avae.frameworks.base import Noise, NoiseShapes
from avae.priors.early_stopping import Terms, descend
from avae.priors.posteriors import Posteriors
from avae.priors.prior import Density
from avae.rng import row_chunks

COMPONENTS = 500
"""Number of pseudo-items, as in the paper; fewer if there are fewer codes."""

STEPS, CHECK_EVERY = 100, 10
"""Steps of the fit, and between checks on held-out codes: each step encodes all pseudo-items."""

LEARNING_RATE = 0.01

AT_ONCE = 100
"""Pseudo-items encoded at once, to save memory."""


class Vamp(Density):
    """u = m_c + S e, e ~ N(0, I), for a random c: a mixture of the posteriors of pseudo-items.

    The pseudo-items begin as training items, and are learned: with the encoder as it is, they maximise the
    likelihood of the codes. Only the means m and the factor S of their posteriors are kept.

    Args:
        dim: number of dimensions k.
        components: number of pseudo-items.
    """

    means: Tensor
    factor: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__(dim)
        self.components = components
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("factor", torch.eye(dim))

    @classmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int, posteriors: Posteriors | None = None) -> Self:
        """Fit as `Density.fit` does.

        Args:
            posteriors: posteriors of u, given the items of the rows of `train`.
        """
        assert posteriors is not None, "a mixture of posteriors needs them"
        density = cls(train.shape[1], min(len(train), COMPONENTS))
        density.factor = posteriors.factor.float()
        pseudo = _PseudoItems(posteriors, density.components)

        def loss(u: Tensor, eps: Tensor) -> tuple[Tensor, Terms]:
            return -_log_density(u, pseudo(), density.factor).mean(), {}

        vectors = train.float(), held_out.float()
        descend(pseudo, loss, *vectors, seed, steps=STEPS, check_every=CHECK_EVERY, rate=LEARNING_RATE)
        with torch.no_grad():
            density.means = pseudo().contiguous()
        return density

    def check(self) -> None:
        if not (self.factor.diagonal() > 0).all():
            raise ValueError("a scale that is not positive")

    @classmethod
    def least_values(cls, **sizes: int) -> int:
        return sizes["components"] * sizes["dim"]

    @property
    def sizes(self) -> dict[str, int]:
        return super().sizes | {"components": self.components}

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"component": (n, 1)}

    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        uniform = (1 + torch.erf(noise["component"][:, 0] / math.sqrt(2))) / 2
        chosen = (uniform * self.components).long().clamp(max=self.components - 1)
        return self.means[chosen] + normal @ self.factor.T

    def log_density(self, u: Tensor) -> Tensor:
        parts = [u[rows.start : rows.stop] for rows in row_chunks(len(u))]
        return torch.cat([_log_density(part, self.means, self.factor) for part in parts])


class _PseudoItems(nn.Module):
    """Items that are learned; called, it returns the means of their posteriors (K, k)."""

    def __init__(self, posteriors: Posteriors, count: int) -> None:
        super().__init__()
        self.mean = posteriors.mean
        self.items = nn.Parameter(posteriors.items(torch.arange(count)).clone())

    def forward(self) -> Tensor:
        parts = torch.split(self.items, AT_ONCE)
        return torch.cat([checkpoint(self.mean, part, use_reentrant=False) for part in parts])


def _log_density(u: Tensor, means: Tensor, factor: Tensor) -> Tensor:
    """Return log p (N,) of vectors (N, k) under a uniform mixture of N(means, factor factor^T)."""
    whitened, centres = (torch.linalg.solve_triangular(factor, v.T, upper=False).T for v in (u, means))
    squares = torch.cdist(whitened, centres).square()
    one = math.log(len(means)) + factor.diagonal().log().sum() + u.shape[1] / 2 * math.log(2 * math.pi)
    return torch.logsumexp(-squares / 2, dim=1) - one
