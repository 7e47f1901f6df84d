"""VAE/GAN (Larsen et al., 2016), as compared with in Table 1."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.functional import softplus

from avae.frameworks.adversarial import Adversarial, adversarial_terms
from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import Losses, Noise, NoiseShapes
from avae.frameworks.coefficients import Coefficient, current_value
from avae.frameworks.contracts import CRITIC_WITH_FEATURES, DECODER, GAUSSIAN_ENCODER, NetworkContract
from avae.frameworks.vae import VAE
from avae.losses import critic_loss, feature_loss, kl_to_prior, manifold_loss

GAMMA = 0.01
"""Weight of L_F in the decoder's loss, as in the released code."""


class VAEGAN(VAE, Adversarial):
    """A VAE whose reconstruction loss is measured in the critic's features, and whose decoder is criticised.

    With x~ a reconstruction and x_p a prior sample: the encoder learns from beta KL + L_F, the decoder from
    gamma L_F + l(x~) + l(x_p), the critic from sp(l(x)) + sp(-l(x~)) + sp(-l(x_p)), sp being softplus.

    Args:
        encoder, decoder, code_dim, beta: as `VAE`.
        critic: has `with_features(x) -> (logits (N, 1), features (N, ...))`; large logits mean generated.
        gamma: weight of L_F in the decoder's loss.
        augmentation: of what the critic sees; reconstructions are changed just as their originals are.
    """

    contracts: Mapping[str, NetworkContract] = {
        "encoder": GAUSSIAN_ENCODER,
        "decoder": DECODER,
        "critic": CRITIC_WITH_FEATURES,
    }
    caption = (
        "The decoder has learnt to draw what could be real, and what has the first row's features in "
        "the eyes of the critic rather than its pixels."
    )
    ema_networks = ("decoder",)
    adversarial_network = "decoder"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        critic: nn.Module,
        code_dim: int,
        beta: Coefficient = 1.0,
        gamma: float = GAMMA,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__(encoder, decoder, code_dim, beta)
        self.critic = critic
        self.gamma = gamma
        self.augmentation = augmentation

    def noise_shapes(self, n: int) -> NoiseShapes:
        return super().noise_shapes(n) | self.critic_noise_shapes(n)

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        mu, sigma = self.encoder(x)
        reconstructed = self.decoder(mu + noise["eps"] * sigma)
        drawn = self.decoder(noise["z"])
        real, features = self._criticise(self.augment_real(x, noise))
        rebuilt, features_hat = self._criticise(self.augment_real(reconstructed, noise))
        fake, _ = self._criticise(self.augment_fake(drawn, noise))
        kl = kl_to_prior(mu, sigma).mean()
        l_f = feature_loss(features_hat, features).mean()
        l_m = manifold_loss(rebuilt).mean() + manifold_loss(fake).mean()
        l_c = (critic_loss(real, fake) + softplus(-rebuilt)).mean()
        by_network = {
            "encoder": current_value(self.beta) * kl + l_f,
            "decoder": self.gamma * l_f + l_m,
            "critic": l_c,
        }
        terms = {"mse": (reconstructed - x).square().mean(), "feature": l_f}
        terms |= self.code_metrics(mu, sigma, kl) | adversarial_terms(l_c, real, fake, x, drawn)
        return by_network, terms

    def critic_logits_real(self, seen: Tensor, x: Tensor) -> Tensor:
        return self._criticise(seen)[0]

    def _criticise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = self.critic.with_features(x)  # type: ignore[operator]
        return logits.flatten(), features
