"""The standard normal density: the linear map of a prior makes any Gaussian of it."""

from typing import Self

from torch import Tensor

from avae.frameworks.base import Noise
from avae.priors.prior import Density, standard_normal_log_density


class StandardNormal(Density):
    """N(0, I)."""

    @classmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int) -> Self:
        return cls(train.shape[1])

    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        return normal

    def log_density(self, u: Tensor) -> Tensor:
        return standard_normal_log_density(u)
