"""A normalizing flow, built by zuko."""

from typing import Self

import torch
import zuko
from torch import Tensor, nn

from avae.frameworks.base import Noise
from avae.priors.early_stopping import Terms, descend
from avae.priors.prior import Density

TRANSFORMS, WIDTH = 4, 128


class Flow(Density):
    """A masked autoregressive flow (Papamakarios, Pavlakou, Murray, 2017) that begins as N(0, I).

    Args:
        dim: number of dimensions k.
        transforms: number of autoregressive affine transforms.
        width: units of each of the two hidden layers of a transform.
    """

    def __init__(self, dim: int, transforms: int, width: int) -> None:
        super().__init__(dim)
        self.transforms, self.width = transforms, width
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.flow = zuko.flows.MAF(dim, transforms=transforms, hidden_features=(width, width))
        for transform in self.flow.transform.transforms:
            # Shift 0 and scale 1: held-out vectors stop the descent no later than at a Gaussian.
            nn.init.zeros_(transform.hyper[-1].weight)
            nn.init.zeros_(transform.hyper[-1].bias)

    @classmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int) -> Self:
        density = cls(train.shape[1], TRANSFORMS, WIDTH)

        def loss(u: Tensor, eps: Tensor) -> tuple[Tensor, Terms]:
            return -density.log_density(u).mean(), {}

        descend(density, loss, train.float(), held_out.float(), seed)
        return density

    @classmethod
    def least_values(cls, **sizes: int) -> int:
        return sizes["transforms"] * sizes["width"] ** 2

    @property
    def sizes(self) -> dict[str, int]:
        return super().sizes | {"transforms": self.transforms, "width": self.width}

    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        u: Tensor = self.flow().transform.inv(normal)
        return u

    def log_density(self, u: Tensor) -> Tensor:
        log_p: Tensor = self.flow().log_prob(u)
        return log_p
