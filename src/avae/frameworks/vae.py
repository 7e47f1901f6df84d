"""The variational auto-encoder (section 2.1)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avae.errors import UserError
from avae.frameworks.base import CodeMode, Framework, Losses, Noise, NoiseShapes, Pass
from avae.losses import gaussian_nll, kl_to_prior, vae_loss


class VAE(Framework):
    """Encoder and decoder learn from one scalar, L_R + beta L_P (Eq. 9).

    Args:
        encoder: x -> mu (N, d), sigma (d,).
        decoder: z (N, d) -> x.
        code_dim: d.
        beta: weight of the KL term.
    """

    drawers: Mapping[str, float | None] = {"decoder": None}

    def __init__(self, encoder: nn.Module, decoder: nn.Module, code_dim: int, beta: float = 1.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.code_dim = code_dim
        self.beta = beta

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"eps": (n, self.code_dim), "z": (n, self.code_dim)}

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        mu, sigma = self.encoder(x)
        x_hat = self.decoder(mu + noise["eps"] * sigma)
        reconstruction = gaussian_nll(x_hat, x).mean()
        kl = kl_to_prior(mu, sigma).mean()
        l_vae = vae_loss(reconstruction, kl, self.beta)
        return (
            {"encoder": l_vae, "decoder": l_vae},
            {"reconstruction": reconstruction, "kl": kl, "mse": 2 * reconstruction / x[0].numel()},
        )

    def statistics_passes(self) -> dict[str, Pass]:
        return {
            "encoder": lambda x, noise: self.encoder(x),
            "decoder": lambda x, noise: self.decoder(self.posterior_sample(x, noise)),
        }

    def posterior_sample(self, x: Tensor, noise: Noise) -> Tensor:
        """Draw z ~ q(z|x), (N, d)."""
        mu, sigma = self.encoder(x)
        z: Tensor = mu + noise["eps"] * sigma
        return z

    def encode(self, x: Tensor) -> Tensor:
        mu: Tensor = self.encoder(x)[0]
        return mu

    def decode(self, mu: Tensor, noise: Noise, realism: float | None = None) -> Tensor:
        _refuse_realism(realism)
        x: Tensor = self.decoder(mu)
        return x

    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        z = self.encode(x) if code == "mean" else self.posterior_sample(x, noise)
        return self.decode(z, noise, realism)

    def sample(self, noise: Noise) -> Tensor:
        x: Tensor = self.decoder(noise["z"])
        return x

    def code_scale(self) -> Tensor:
        return torch.ones_like(self.sigma())

    def sigma(self) -> Tensor:
        sigma: Tensor = self.encoder.log_sigma.exp()  # type: ignore[operator]
        return sigma


def _refuse_realism(realism: float | None) -> None:
    if realism is not None:
        raise UserError(
            f"realism={realism} mixes a decoder with a generator, and a VAE has no generator: leave it out"
        )
