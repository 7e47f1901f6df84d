"""IntroVAE (Huang et al., 2018, 1807.06358) and Soft-IntroVAE (Daniel, Tamar, 2021, 2012.13253)."""

from torch import Tensor, nn

from avae.frameworks.base import Losses, Noise, NoiseShapes
from avae.frameworks.coefficients import Coefficient, current_value
from avae.frameworks.representations.representation import code_terms
from avae.frameworks.vae import VAE
from avae.losses import gaussian_nll, kl_to_prior, soft_introspection

MARGIN = 120.0
"""The KL, in nats, up to which IntroVAE's encoder pushes drawn items: its authors' value at 256 px."""

NEGATIVE_WEIGHT = 0.5
"""Weight of drawn items in IntroVAE's encoder loss: its authors' value."""

NEGATIVE_BETA = 256.0
"""Weight of the KL of drawn items in Soft-IntroVAE: its authors' value for CIFAR-10 and SVHN."""

REDRAWN_WEIGHT = 1e-8
"""Weight of the reconstructions of drawn items in Soft-IntroVAE's decoder loss: its authors' value."""


class IntroVAE(VAE):
    """A VAE whose encoder is its critic: it gives items a low KL, and what the decoder draws a high one.

    With the reconstruction x^ and a prior sample x_p, and [.]+ the positive part: the encoder is trained on
    L_R + beta (KL(x) + w/2 ([m - KL(x^)]+ + [m - KL(x_p)]+)), x^ and x_p as constants, and the decoder on
    L_R + beta/2 (KL(x^) + KL(x_p)). L_R has the weight 1 here, as in a VAE; its authors' is .05 at 256 px,
    where L_R is a sum of 64 times as many values as at 32 px. Sigma is shared by all items, as in AVAE.

    Args:
        encoder, decoder, code_dim, beta: as for `VAE`.
        margin: m, in nats; it must be above the KL of items.
    """

    caption = "The decoder is trained to draw pictures that the encoder takes for real."

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        code_dim: int,
        beta: Coefficient = 1.0,
        margin: float = MARGIN,
    ) -> None:
        super().__init__(encoder, decoder, code_dim, beta)
        self.beta = beta
        self.margin = margin

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        mu, sigma = self.encoder(x)
        rebuilt, drawn = self.decoder(mu + noise["eps"] * sigma), self.decoder(noise["z"])
        reconstruction, kl = gaussian_nll(rebuilt, x).mean(), kl_to_prior(mu, sigma).mean()
        beta = current_value(self.beta)
        of_encoder, of_decoder = reconstruction + beta * kl, reconstruction
        terms = {"reconstruction": reconstruction, "mse": 2 * reconstruction / x[0].numel()}
        for name, fake in (("rebuilt", rebuilt), ("drawn", drawn)):
            below = (self.margin - kl_to_prior(*self.encoder(fake.detach()))).clamp(min=0).mean()
            of_encoder = of_encoder + beta * NEGATIVE_WEIGHT / 2 * below
            terms[f"kl_{name}"] = kl_to_prior(*self.encoder(fake)).mean()
            of_decoder = of_decoder + beta / 2 * terms[f"kl_{name}"]
        by_network = {"encoder": of_encoder, "decoder": of_decoder}
        return by_network, terms | code_terms(mu, kl) | self.coefficient_terms()


class SoftIntroVAE(VAE):
    """IntroVAE without a margin: the encoder raises the bound (ELBO) of items and lowers that of drawn ones.

    With s = 1 / number of values of an item: the encoder is trained on s (L_R + beta KL(x)) and on
    `soft_introspection` of x^ and x_p as constants; the decoder on s (L_R + beta/2 (KL(x^) + KL(x_p))
    + gamma/2 (L_R of decoding the codes of x^ and x_p, as constants)). L_R is Eq. 8 in [-1, 1]; its authors'
    is the squared error in [0, 1], half of it. Sigma is shared by all items, as in AVAE.

    Args:
        encoder, decoder, code_dim, beta: as for `VAE`.
        negative_beta: weight of the KL of drawn items in the encoder's loss.
    """

    caption = IntroVAE.caption

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        code_dim: int,
        beta: Coefficient = 1.0,
        negative_beta: float = NEGATIVE_BETA,
    ) -> None:
        super().__init__(encoder, decoder, code_dim, beta)
        self.beta = beta
        self.negative_beta = negative_beta

    def noise_shapes(self, n: int) -> NoiseShapes:
        codes = (n, self.code_dim)
        return super().noise_shapes(n) | {"eps_rebuilt": codes, "eps_drawn": codes}

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        scale = 1 / x[0].numel()
        mu, sigma = self.encoder(x)
        rebuilt, drawn = self.decoder(mu + noise["eps"] * sigma), self.decoder(noise["z"])
        reconstruction, kl = gaussian_nll(rebuilt, x).mean(), kl_to_prior(mu, sigma).mean()
        beta = current_value(self.beta)
        of_encoder = scale * (reconstruction + beta * kl)
        of_decoder = scale * reconstruction
        terms = {"reconstruction": reconstruction, "mse": 2 * scale * reconstruction}
        for name, fake in (("rebuilt", rebuilt), ("drawn", drawn)):
            eps = noise[f"eps_{name}"]
            mu_fake, sigma_fake = self.encoder(fake.detach())
            again = self.decoder(mu_fake + eps * sigma_fake)
            lost = gaussian_nll(again, fake.detach())
            kl_fake = kl_to_prior(mu_fake, sigma_fake)
            of_encoder = of_encoder + soft_introspection(lost, kl_fake, self.negative_beta, scale).mean() / 2
            terms[f"kl_{name}"] = kl_to_prior(*self.encoder(fake)).mean()
            of_decoder = of_decoder + scale / 2 * (beta * terms[f"kl_{name}"] + REDRAWN_WEIGHT * lost.mean())
        by_network = {"encoder": of_encoder, "decoder": of_decoder}
        return by_network, terms | code_terms(mu, kl) | self.coefficient_terms()
