"""A second VAE on the codes of the first (Dai and Wipf, 2019)."""

from typing import Self

import torch
from torch import Tensor

from avae.frameworks.base import Noise, NoiseShapes
from avae.frameworks.coefficients import DecoderVariance
from avae.frameworks.vae import VAE
from avae.networks.gaussian import GaussianEncoder
from avae.networks.mlp import MLP
from avae.priors.early_stopping import Terms, descend
from avae.priors.prior import Density

WIDTH = 256

START = 0.1
"""Variance of the decoder at first, where the whole has variance 1: low, or its codes would stay empty."""

MEMORY = 0.998
"""Share of the decoder's variance that a step keeps."""

LEAST_VARIANCE = 1e-3


class TwoStage(Density):
    """u = D(v) + sqrt(variance) noise, v ~ N(0, I), with the decoder D of a VAE and its variance.

    Args:
        dim: number of dimensions k, of u and of v.
        width: units of each of the decoder's two hidden layers.
    """

    variance: Tensor

    def __init__(self, dim: int, width: int) -> None:
        super().__init__(dim)
        self.width = width
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.decoder = MLP(dim, dim, width)
        self.register_buffer("variance", torch.ones(()))

    @classmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int) -> Self:
        dim = train.shape[1]
        density, variance = cls(dim, WIDTH), DecoderVariance(START, MEMORY, LEAST_VARIANCE)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            encoder = GaussianEncoder(MLP(dim, dim, WIDTH), dim)
        vae = VAE(encoder, density.decoder, dim, beta=variance)

        def loss(u: Tensor, eps: Tensor) -> tuple[Tensor, Terms]:
            """Return the ELBO's opposite, in nats up to a constant: L_VAE / beta + (k / 2) log beta."""
            by_network, terms = vae.losses(u, {"eps": eps})
            return by_network["decoder"] / variance.value + dim / 2 * variance.value.log(), terms

        descend(vae, loss, train.float(), held_out.float(), seed, variance.update)
        density.variance = variance.value.clone()
        return density

    @classmethod
    def least_values(cls, **sizes: int) -> int:
        return sizes["width"] ** 2

    @property
    def sizes(self) -> dict[str, int]:
        return super().sizes | {"width": self.width}

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"second_eps": (n, self.dim)}

    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        mean: Tensor = self.decoder(normal)
        return mean + self.variance.sqrt() * noise["second_eps"]

    def log_density(self, u: Tensor) -> None:
        return None
