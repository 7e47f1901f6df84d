"""VAE/GAN (Larsen et al., 2016), a baseline of Table 1."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.functional import softplus

from avae.frameworks.adversarial import Adversarial, adversarial_terms
from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import Losses, Noise, NoiseShapes
from avae.frameworks.coefficients import Coefficient, current_value
from avae.frameworks.contracts import CRITIC_WITH_FEATURES, DECODER, GAUSSIAN_ENCODER, NetworkContract
from avae.frameworks.representations.representation import code_terms
from avae.frameworks.vae import VAE
from avae.losses import critic_loss, feature_loss, kl_to_prior, manifold_loss

GAMMA = 0.01
"""Weight of L_F in the decoder's loss, as in the released code."""


class VAEGAN(VAE, Adversarial):
    """A VAE with a reconstruction loss in the critic's features, and a decoder trained against the critic.

    With a reconstruction x~, a prior sample x_p and sp = softplus: the encoder is trained on beta KL + L_F,
    the decoder on gamma L_F + l(x~) + l(x_p), the critic on sp(l(x)) + sp(-l(x~)) + sp(-l(x_p)).

    Args:
        encoder, decoder, code_dim, beta: as for `VAE`.
        critic: has `with_features(x) -> (logits (N, 1), features (N, ...))`; large logits mean generated.
        gamma: weight of L_F in the decoder's loss.
        augmentation: augmentation of the critic's inputs, the same for originals and reconstructions.
    """

    contracts: Mapping[str, NetworkContract] = {
        "encoder": GAUSSIAN_ENCODER,
        "decoder": DECODER,
        "critic": CRITIC_WITH_FEATURES,
    }
    caption = (
        "The decoder is trained to draw pictures that could be real, and that match the first row in the "
        "critic's features rather than in pixels."
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
        self.beta = beta
        self.critic = critic
        self.gamma = gamma
        self.augmentation = augmentation

    def noise_shapes(self, n: int) -> NoiseShapes:
        return super().noise_shapes(n) | self.critic_noise_shapes(n)

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        mu, sigma = self.encoder(x)
        reconstructed = self.decoder(mu + noise["eps"] * sigma)
        generated = self.decoder(noise["z"])
        real, features = self._logits_and_features(self.augment_real(x, noise))
        rebuilt, features_hat = self._logits_and_features(self.augment_real(reconstructed, noise))
        fake, _ = self._logits_and_features(self.augment_fake(generated, noise))
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
        terms |= code_terms(mu, kl) | self.coefficient_terms()
        terms |= adversarial_terms(l_c, real, fake, x, generated)
        return by_network, terms

    def critic_logits(self, *inputs: Tensor) -> Tensor:
        return self._logits_and_features(*inputs)[0]

    def _logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = self.critic.with_features(x)  # type: ignore[operator]
        return logits.flatten(), features
