"""The introspective adversarial network (Brock et al., 2016, arXiv 1609.07093): encoder and critic in one."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from avae.frameworks.adversarial import Adversarial, adversarial_terms
from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import Losses, Noise, NoiseShapes, Pass
from avae.frameworks.coefficients import Coefficient, current_value
from avae.frameworks.contracts import DECODER, FEATURE_ENCODER, TERNARY_CRITIC, NetworkContract
from avae.frameworks.representations.representation import code_terms
from avae.frameworks.vae import VAE
from avae.losses import kl_to_prior, log_odds_of_fake, non_saturating_loss, ternary_critic_loss

PIXEL_WEIGHT = 6.0
"""Weight of the mean absolute error of pixels in [-1, 1]: its authors' 3 times the 2 in their loss."""

ORTHOGONAL_WEIGHT = 1e-3
"""Weight of the orthogonal regularization of critic and decoder: its authors' value."""


class IAN(VAE, Adversarial):
    """A VAE whose encoder is a head on the critic: it reads codes from what the critic looks at.

    The critic tells real, reconstructed and generated items apart. With a reconstruction x^ and a prior
    sample x_p, the encoder is trained on R + beta KL / d, the decoder on R - log P(x_p is real) + O, where
    R = 6 |x - x^| + |f(x) - f(x^)|^2 - log P(x^ is real), with means over values, and f are the critic's
    features. The critic is trained on `ternary_critic_loss` + O, x^ as a constant, and feels nothing of the
    encoder's loss. O is the orthogonal regularization.

    Args:
        critic: has `with_features(x) -> (logits (N, 3), features (N, ...))`, logits of the classes real,
            reconstructed and generated.
        encoder: the critic's features -> mu (N, d), sigma (d,).
        decoder, code_dim, beta: as for `VAE`.
        augmentation: augmentation of the critic's inputs, the same for originals and reconstructions; codes
            are those of items without it.
    """

    # The encoder is built for the features of the critic.
    contracts: Mapping[str, NetworkContract] = {
        "critic": TERNARY_CRITIC,
        "encoder": FEATURE_ENCODER,
        "decoder": DECODER,
    }
    caption = (
        "The encoder reads their codes from the critic's features. The decoder is trained to match them in "
        "pixels and in these features, and to draw pictures that could be real."
    )
    ema_networks = ("decoder",)
    adversarial_network = "decoder"

    def __init__(
        self,
        critic: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module,
        code_dim: int,
        beta: Coefficient = 1.0,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__(encoder, decoder, code_dim, beta)
        self.beta = beta
        self.critic = critic
        self.augmentation = augmentation

    def noise_shapes(self, n: int) -> NoiseShapes:
        return super().noise_shapes(n) | self.critic_noise_shapes(n)

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        real, features = self.critic.with_features(self.augment_real(x, noise))  # type: ignore[operator]
        read = features if self.augmentation is None else self.features(x)
        mu, sigma = self.encoder(read.detach())
        rebuilt, drawn = self.decoder(mu + noise["eps"] * sigma), self.decoder(noise["z"])
        judged, features_hat = self.critic.with_features(self.augment_real(rebuilt, noise))  # type: ignore[operator]
        fake, _ = self.critic.with_features(self.augment_fake(drawn, noise))  # type: ignore[operator]
        l_f, kl = mse_loss(features_hat, features), kl_to_prior(mu, sigma).mean()
        likeness = PIXEL_WEIGHT * l1_loss(rebuilt, x) + l_f
        likeness = likeness + non_saturating_loss(log_odds_of_fake(judged)).mean()
        odds_real, odds_fake = log_odds_of_fake(real), log_odds_of_fake(fake)
        l_c = ternary_critic_loss(real, judged, fake).mean()
        by_network = {
            "critic": l_c + ORTHOGONAL_WEIGHT * orthogonality(self.critic),
            "encoder": likeness + current_value(self.beta) * kl / self.code_dim,
            "decoder": likeness
            + non_saturating_loss(odds_fake).mean()
            + ORTHOGONAL_WEIGHT * orthogonality(self.decoder),
        }
        terms = {"mse": (rebuilt - x).square().mean(), "feature": l_f}
        terms |= code_terms(mu, kl) | self.coefficient_terms()
        return by_network, terms | adversarial_terms(l_c, odds_real, odds_fake, x, drawn)

    def features(self, x: Tensor) -> Tensor:
        """Return the critic's features of items (N, ...), from which the encoder reads codes."""
        features: Tensor = self.critic.with_features(x)[1]  # type: ignore[operator]
        return features

    def critic_logits(self, *inputs: Tensor) -> Tensor:
        return log_odds_of_fake(self.critic.with_features(*inputs)[0])  # type: ignore[operator]

    def batch_norm_passes(self) -> dict[str, Pass]:
        return {
            "critic": lambda x, noise: self.features(x),
            "encoder": lambda x, noise: self.encode(x),
            "decoder": lambda x, noise: self.decoder(self.posterior_sample(x, noise)),
        }

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(self.features(x))

    def raw_codes(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def posterior_sample(self, x: Tensor, noise: Noise) -> Tensor:
        return super().posterior_sample(self.features(x), noise)


def orthogonality(network: nn.Module) -> Tensor | float:
    """Return the orthogonal regularization of a network's convolutions, a sum over filters; 0 without any.

    A filter W (k, channels k) adds the sum of |W W^T - I|, so that its k rows become orthonormal. That is
    what the released code computes; the paper prints it for a whole bank of filters.
    """
    weights = ((module, getattr(module, "weight", None)) for module in network.modules())
    return sum(
        _deviation(getattr(module, "scale", 1.0) * weight)
        for module, weight in weights
        if isinstance(weight, Tensor) and weight.ndim == 4
    )


def _deviation(filters: Tensor) -> Tensor:
    """Return the sum of |W W^T - I| over filters (N, channels, k, k)."""
    rows = filters.movedim(1, 2).flatten(2)
    # Row by row, because a product of matrices would be in bf16 under autocast.
    gram = torch.stack([(rows * row).sum(2) for row in torch.split(rows, 1, 1)], 1)
    return (gram - torch.eye(rows.shape[1]).to(rows)).abs().sum()
