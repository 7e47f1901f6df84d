"""The variational auto-encoder (section 2.1)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avae.frameworks.autoencoder import AutoEncoder
from avae.frameworks.base import CodeMode, Losses, Noise, reject_realism
from avae.frameworks.coefficients import Coefficient
from avae.frameworks.contracts import DECODER, GAUSSIAN_ENCODER, NetworkContract
from avae.frameworks.representations import VAERepresentation


class VAE(AutoEncoder):
    """An encoder and a decoder trained on one loss, L_R + beta L_P (Eq. 9).

    Args:
        encoder: x -> mu (N, d), sigma (d,).
        decoder: z (N, d) -> x.
        code_dim: number of dimensions d of a code.
        beta: weight of the KL term, constant or scheduled.
    """

    contracts: Mapping[str, NetworkContract] = {"encoder": GAUSSIAN_ENCODER, "decoder": DECODER}
    caption = "The decoder draws the average of all pictures that share a code."
    image_networks: Mapping[str, float | None] = {"decoder": None}

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, code_dim: int, beta: Coefficient = 1.0
    ) -> None:
        super().__init__(VAERepresentation(encoder, decoder, code_dim, beta))

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        mu, sigma = self.representation.encode(x)
        by_network, terms = self.representation.losses(x, mu, sigma, noise)
        return by_network, terms | self.coefficient_terms()

    def decode(self, mu: Tensor, noise: Noise, realism: float | None = None) -> Tensor:
        reject_realism(realism)
        x: Tensor = self.decoder(mu)
        return x

    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        z = self.encode(x) if code == "mean" else self.posterior_sample(x, noise)
        return self.decode(z, noise, realism)

    def drawing_codes(self, x: Tensor, noise: Noise) -> Tensor:
        return self.posterior_sample(x, noise)

    def sample(self, noise: Noise) -> Tensor:
        x: Tensor = self.decoder(noise["z"])
        return x

    def code_scale(self) -> Tensor:
        return torch.ones_like(self.sigma())
