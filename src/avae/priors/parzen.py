"""Parzen windows: a Gaussian about every code, as wide as makes draws as new as the codes of unseen items."""

import math
from typing import Self

import torch
from torch import Tensor

from avae.frameworks.base import Noise, NoiseShapes
from avae.priors.prior import Density
from avae.rng import normal, rng, row_chunks

MAX_POINTS = 10_000
"""Maximum number of vectors that are stored."""

COMPARED = 1000
"""Number of held-out vectors, and of draws, whose distance to the nearest stored vector is measured."""

NEWNESS = 0.7
"""Median distance of draws to the nearest stored vector, relative to that of held-out vectors."""

LEAST_BANDWIDTH = 0.01


class Parzen(Density):
    """u = sqrt(1 - h^2) c + h e, e ~ N(0, I), for a random c of stored vectors, whose covariance is about I.

    Towards 0 the bandwidth h repeats stored vectors, and 1 makes one Gaussian of them. The factor of c keeps
    the covariance (West, 1993, "Approximating posterior distributions by mixture"). A likelihood would choose
    an h near 1 in many dimensions, so h is chosen by how new draws are.

    Args:
        dim: number of dimensions k.
        points: number of stored vectors.
    """

    vectors: Tensor
    bandwidth: Tensor

    def __init__(self, dim: int, points: int) -> None:
        super().__init__(dim)
        self.points = points
        self.register_buffer("vectors", torch.zeros(points, dim))
        self.register_buffer("bandwidth", torch.ones(()))

    @classmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int) -> Self:
        from scipy.optimize import bisect  # slow to import, and drawing does without

        vectors = train[:MAX_POINTS].contiguous()
        density = cls(vectors.shape[1], len(vectors))
        density.vectors = vectors
        wanted = NEWNESS * density._distance(held_out[:COMPARED])
        noise = torch.from_numpy(normal((COMPARED, density.dim), seed, "parzen")).to(vectors)
        chosen = torch.from_numpy(rng(seed, "parzen windows").integers(density.points, size=COMPARED))

        def excess(bandwidth: float) -> float:
            density.bandwidth = torch.tensor(bandwidth, dtype=vectors.dtype)
            return density._distance(density._draw(chosen, noise)) - wanted

        if excess(LEAST_BANDWIDTH) >= 0:  # held-out vectors are among the stored ones
            return density
        if excess(1.0) > 0:
            excess(bisect(excess, LEAST_BANDWIDTH, 1.0, xtol=1e-3))
        return density

    def check(self) -> None:
        if not 0 < self.bandwidth <= 1:
            raise ValueError("a bandwidth outside (0, 1]")

    @classmethod
    def least_values(cls, **sizes: int) -> int:
        return sizes["points"] * sizes["dim"]

    @property
    def sizes(self) -> dict[str, int]:
        return super().sizes | {"points": self.points}

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"component": (n, 1)}

    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        uniform = (1 + torch.erf(noise["component"][:, 0] / math.sqrt(2))) / 2
        return self._draw((uniform * self.points).long().clamp(max=self.points - 1), normal)

    def log_density(self, u: Tensor) -> Tensor:
        windows = []
        for rows in row_chunks(len(u)):
            distances = torch.cdist(u[rows.start : rows.stop], self._shrinkage * self.vectors)
            windows.append(torch.logsumexp(-0.5 * (distances / self.bandwidth).square(), dim=1))
        one_window = math.log(self.points) + self.dim * (self.bandwidth.log() + 0.5 * math.log(2 * math.pi))
        return torch.cat(windows) - one_window

    @property
    def _shrinkage(self) -> Tensor:
        return (1 - self.bandwidth.square()).sqrt()

    def _draw(self, chosen: Tensor, normal: Tensor) -> Tensor:
        return self._shrinkage * self.vectors[chosen] + self.bandwidth * normal

    def _distance(self, u: Tensor) -> float:
        """Return the median distance of vectors to the nearest stored one."""
        return float(torch.cdist(u, self.vectors).min(1).values.median())
