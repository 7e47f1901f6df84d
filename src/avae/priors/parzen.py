"""Manifold Parzen windows (Vincent and Bengio, 2002): a Gaussian about every code, as its neighbours lie."""

import math
from typing import Self

import torch
from torch import Tensor

from avae.frameworks.base import Noise, NoiseShapes
from avae.priors.prior import Density

MAX_POINTS = 10_000
"""Maximum number of vectors that are stored."""

NEIGHBOURS = 10
"""Neighbours of a vector that span its Gaussian, at most one for each dimension."""

CHUNK = 1000
"""Rows of distances computed at a time."""


class Parzen(Density):
    """u = c + (w_1 (c_1 - c) + ... + w_K (c_K - c)) / sqrt(K), w ~ N(0, I), for a random c of stored vectors.

    c_1 to c_K are the nearest neighbours of c. So draws are about as far from c as its neighbours, in
    directions in which there are vectors. The isotropic part of the paper is left out: in many dimensions
    hardly any code would remain near the others. So there is no density in all dimensions.

    Args:
        dim: number of dimensions k.
        points: number of stored vectors.
        neighbours: number of neighbours K, at most k.
    """

    vectors: Tensor
    nearest: Tensor

    def __init__(self, dim: int, points: int, neighbours: int) -> None:
        super().__init__(dim)
        self.points, self.neighbours = points, neighbours
        self.register_buffer("vectors", torch.zeros(points, dim))
        self.register_buffer("nearest", torch.zeros(points, neighbours, dtype=torch.int64))

    @classmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int) -> Self:
        vectors = train[:MAX_POINTS]
        count, dim = vectors.shape
        density = cls(dim, count, min(NEIGHBOURS, dim, count - 1))
        density.vectors = vectors.contiguous()
        for start in range(0, count, CHUNK):
            rows = torch.arange(start, min(start + CHUNK, count))
            distances = torch.cdist(vectors[rows], vectors)
            distances[torch.arange(len(rows)), rows] = torch.inf  # a vector is no neighbour of its own
            density.nearest[rows] = distances.topk(density.neighbours, largest=False).indices
        return density

    def check(self) -> None:
        if not ((self.nearest >= 0) & (self.nearest < self.points)).all():
            raise ValueError("neighbours that are not stored")

    @classmethod
    def least_values(cls, **sizes: int) -> int:
        return sizes["points"] * sizes["dim"]

    @property
    def sizes(self) -> dict[str, int]:
        return super().sizes | {"points": self.points, "neighbours": self.neighbours}

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"component": (n, 1)}

    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        uniform = (1 + torch.erf(noise["component"][:, 0] / math.sqrt(2))) / 2
        chosen = (uniform * self.points).long().clamp(max=self.points - 1)
        centre = self.vectors[chosen]
        to_neighbours = self.vectors[self.nearest[chosen]] - centre[:, None]
        weights = normal[:, : self.neighbours] / math.sqrt(self.neighbours)
        return centre + torch.einsum("nk,nkd->nd", weights, to_neighbours)

    def log_density(self, u: Tensor) -> None:
        return None
