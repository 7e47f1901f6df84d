"""The variational auto-encoder (section 2.1)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avae.frameworks.base import (
    CodeMode,
    Framework,
    Losses,
    Noise,
    NoiseShapes,
    Pass,
    reject_realism,
)
from avae.frameworks.coefficients import Coefficient, current_value
from avae.frameworks.contracts import DECODER, GAUSSIAN_ENCODER, NetworkContract
from avae.losses import ACTIVE, MIN_NATS, gaussian_nll, kl_to_prior, vae_loss


class VAE(Framework):
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
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.code_dim = code_dim
        self.beta = beta

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"eps": (n, self.code_dim), "z": (n, self.code_dim)}

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        mu, sigma = self.encoder(x)
        return self.vae_losses(x, mu, sigma, noise)

    def vae_losses(self, x: Tensor, mu: Tensor, sigma: Tensor, noise: Noise) -> Losses:
        """Return the losses of encoder and decoder, given the posterior of x."""
        x_hat = self.decoder(mu + noise["eps"] * sigma)
        reconstruction = gaussian_nll(x_hat, x).mean()
        kl = kl_to_prior(mu, sigma).mean()
        l_vae = vae_loss(reconstruction, kl, current_value(self.beta))
        terms = {"reconstruction": reconstruction, "mse": 2 * reconstruction / x[0].numel()}
        return {"encoder": l_vae, "decoder": l_vae}, terms | self.code_metrics(mu, sigma, kl)

    def code_metrics(self, mu: Tensor, sigma: Tensor, kl: Tensor) -> dict[str, Tensor]:
        """Return log terms of the code: KL in nats, bits per dimension, active units, scheduled coefficients.

        A unit is active if the variance of its mean over the batch exceeds 0.01 (Burda et al., 2016).
        """
        terms = {
            "kl": kl,
            "bits_per_dimension": kl / (self.code_dim * math.log(2)),
            "active_units": (mu.var(0) > ACTIVE).to(kl.dtype).sum(),
        }
        return terms | self.coefficient_terms()

    def batch_norm_passes(self) -> dict[str, Pass]:
        return {
            "encoder": lambda x, noise: self.encoder(x),
            "decoder": lambda x, noise: self.decoder(self.posterior_sample(x, noise)),
        }

    def posterior_sample(self, x: Tensor, noise: Noise) -> Tensor:
        """Sample z ~ q(z|x), (N, d)."""
        mu, sigma = self.encoder(x)
        z: Tensor = mu + noise["eps"] * sigma
        return z

    def encode(self, x: Tensor) -> Tensor:
        mu: Tensor = self.encoder(x)[0]
        return mu

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

    def informative_dimensions(self) -> Tensor:
        return -self.sigma().log() >= MIN_NATS

    def sigma(self) -> Tensor:
        sigma: Tensor = self.encoder.log_sigma.exp()  # type: ignore[operator]
        return sigma
