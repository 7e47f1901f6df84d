"""The equations of the paper as pure functions; they return one number per sample unless stated otherwise.

Symbols follow the paper: x is an image, z a code, mu and sigma the posterior mean and scale. Critics return
logits l, with C = sigmoid(l) -> 1 on generated images. All functions compute in the dtype of their arguments.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

MIN_SIGMA = 1e-3
"""Minimum of the divisor in Eqs. 12 and 16, not in the paper: prevents overflow for a vanishing sigma."""

MIN_NATS = 0.005
"""Minimum -log sigma of a dimension whose mean code carries information."""

MIN_CODE_SCALE = math.sqrt(1 - math.exp(-2 * MIN_NATS))
"""sqrt(1 - sigma^2) at this sigma."""

ACTIVE = 0.01
"""Minimum variance of the mean code of an active unit (Burda et al., 2016)."""


def gaussian_nll(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return Eq. 8 without its constant: L_R = 1/2 ||x_hat - x||^2, summed over pixels.

    Args:
        x_hat, x: (N, ...) reconstruction and original; images in [-1, 1].

    Returns:
        (N,) in nats.
    """
    return (x_hat - x).square().flatten(1).sum(1) / 2


def kl_to_prior(mu: Tensor, sigma: Tensor) -> Tensor:
    """Return Eq. 7: L_P = KL(N(mu, diag(sigma^2)) || N(0, I)), summed over dimensions.

    Args:
        mu: (N, d) posterior means.
        sigma: (d,) posterior scale, positive.

    Returns:
        (N,) in nats.
    """
    return (sigma.square() + mu.square() - 1 - 2 * sigma.log()).sum(1) / 2


def gaussian_nll_of_codes(z: Tensor, mu: Tensor, sigma: Tensor) -> Tensor:
    """Return -log N(z; mu, diag(sigma^2)) without its constant: 1/2 ||(z - mu) / sigma||^2 + sum log sigma.

    Args:
        z, mu: (N, d) codes and posterior means.
        sigma: (d,) posterior scale, positive.

    Returns:
        (N,) in nats.
    """
    return ((z - mu) / sigma).square().sum(1) / 2 + sigma.log().sum()


def soft_introspection(reconstruction: Tensor, kl: Tensor, beta: float, scale: float) -> Tensor:
    """Return exp(-2 s (L_R + beta KL)) / 2 of drawn items (Daniel, Tamar, 2021), to lower their bound.

    Args:
        reconstruction, kl: (N,) L_R and KL of drawn items.
        beta: weight of the KL.
        scale: s, one over the number of values of an item.

    Returns:
        (N,), at most 1/2, and 0 for items that the encoder refuses.
    """
    return (-2 * scale * (reconstruction + beta * kl)).exp() / 2


def vae_loss(reconstruction: Tensor, kl: Tensor, beta: float | Tensor = 1.0) -> Tensor:
    """Return Eq. 9 with the constants of Eq. 7: L_VAE = L_R + beta L_P, in nats.

    Args:
        reconstruction, kl: L_R and L_P, both per sample or both averaged.
        beta: weight of L_P.
    """
    return reconstruction + beta * kl


def code_scale_a(sigma: Tensor) -> Tensor:
    """Return the factor of z in the target of Eq. 12: 1 for every dimension, (d,)."""
    return torch.ones_like(sigma)


def code_scale_b(sigma: Tensor) -> Tensor:
    """Return the factor of z in the target of Eq. 16: sqrt(max(1 - sigma^2, 0)), (d,).

    It is also the standard deviation of the mean code at the optimum of a VAE, so calibration divides by it.
    """
    return (1 - sigma.square()).clamp(min=0).sqrt()


def latent_loss(mu: Tensor, z: Tensor, sigma: Tensor, code_scale: Tensor) -> Tensor:
    """Return L_Z = 1/2 ||(mu(x) - s z) / sigma||^2: Eq. 12 with `code_scale_a`, Eq. 16 with `code_scale_b`.

    Args:
        mu: (N, d) posterior means of the generated images x = G(z, xi).
        z: (N, d) codes given to the generator.
        sigma: (d,) posterior scale.
        code_scale: (d,) s. Both are constants here: they get no gradient.

    Returns:
        (N,).
    """
    sigma, code_scale = sigma.detach(), code_scale.detach()
    return ((mu - code_scale * z) / sigma.clamp(min=MIN_SIGMA)).square().sum(1) / 2


def posterior_level(sigma: Tensor, code_scale: Tensor) -> Tensor:
    """Return the latent consistency, 2 L_Z / d, of a generator that samples the true posterior p(x|z).

    For such a generator z = mu + sigma noise, where mu has the variance s^2 = 1 - sigma^2, so
    E(mu - c z)^2 = s^2 - 2 c s^2 + c^2 for a target c z. Divided by sigma^2 that is 2 s^2 / (1 + s) under
    Eq. 16 (c = s), and 1 under Eq. 12 (c = 1).

    Args:
        sigma: (d,) posterior scale.
        code_scale: (d,) c.

    Returns:
        A scalar, the mean over dimensions.
    """
    variance = (1 - sigma.square()).clamp(min=0)
    expected = variance - 2 * code_scale * variance + code_scale.square()
    return (expected / sigma.clamp(min=MIN_SIGMA).square()).mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return Eq. 13 in logits: L_C = softplus(l(x)) + softplus(-l(G)), C -> 1 on generated images.

    Args:
        real, fake: (N,) logits of real and of generated images.

    Returns:
        (N,) in nats; 2 log 2 for a critic that guesses.
    """
    return softplus(real) + softplus(-fake)


def manifold_loss(fake: Tensor) -> Tensor:
    """Return Eq. 15: L_M = logit C(G(z, xi)), minimised by the generator.

    With an optimal critic its mean is KL(p_G || p). Argument and result are logits (N,).
    """
    return fake


def non_saturating_loss(fake: Tensor) -> Tensor:
    """Return softplus(l(G)), the generator's loss of Goodfellow et al. (2014, section 3), in logits.

    Unlike Eq. 15, its gradient vanishes for images that fool the critic. Argument and result are (N,).
    """
    return softplus(fake)


def relativistic_loss(lower: Tensor, higher: Tensor) -> Tensor:
    """Return softplus(l_lower - l_higher), which asks for the first logit to be lower than the second.

    With (real, fake) it is the critic's loss, with (fake, real) the generator's (relativistic pairing GAN,
    Jolicoeur-Martineau, 2018; R3GAN, Huang et al., 2024, Eq. 2).

    Args:
        lower, higher: (N,) logits, in pairs.
    """
    return softplus(lower - higher)


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of generator and critic, which belong together.

    Attributes:
        generator: (real, fake) logits, (N,) each -> L_M (N,).
        critic: (real, fake) logits, (N,) each -> L_C (N,).
    """

    generator: Callable[[Tensor, Tensor], Tensor]
    critic: Callable[[Tensor, Tensor], Tensor]


PAPER_LOSS = AdversarialLoss(lambda real, fake: manifold_loss(fake), critic_loss)
"""Eqs. 15 and 13."""

NON_SATURATING_LOSS = AdversarialLoss(lambda real, fake: non_saturating_loss(fake), critic_loss)
"""The non-saturating loss, and Eq. 13."""

RELATIVISTIC_LOSS = AdversarialLoss(lambda real, fake: relativistic_loss(fake, real), relativistic_loss)
"""Each generated image is compared with a real one, and only their difference counts."""


def energy_score(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the energy score of draws a, b for x: (||a - x|| + ||b - x|| - ||a - b||) / 2.

    It is a strictly proper score (Gneiting, Raftery, 2007): its mean is smallest if the draws have the
    distribution of x. The first two norms ask for likeness, the last one for draws that differ.

    Args:
        x: (N, ...) items.
        first, second: (N, ...) two independent draws for each.

    Returns:
        (N,), in the units of the items.
    """
    likeness = _distance(first, x) + _distance(second, x)
    return (likeness - _distance(first, second)) / 2


def _distance(a: Tensor, b: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm((a - b).flatten(1), dim=1)
    return norms


def feature_loss(features_hat: Tensor, features: Tensor) -> Tensor:
    """Return L_F, the reconstruction loss of VAE/GAN: 1/2 ||f(x_hat) - f(x)||^2 in features f of the critic.

    Args:
        features_hat, features: (N, ...) features of reconstruction and original.

    Returns:
        (N,).
    """
    return gaussian_nll(features_hat, features)


def joint_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the loss of BiGAN's encoder and generator: L_B = softplus(-l(x, E(x))) + softplus(l(G(z), z)).

    It is the critic's loss with real and generated pairs exchanged.

    Args:
        real, fake: (N,) logits of pairs (x, E(x)) and (G(z), z).

    Returns:
        (N,) in nats.
    """
    return critic_loss(fake, real)


def ternary_critic_loss(real: Tensor, rebuilt: Tensor, generated: Tensor) -> Tensor:
    """Return the loss of IAN's critic, the sum of the cross-entropies of its three classes.

    Args:
        real, rebuilt, generated: (N, 3) logits of originals, of reconstructions and of generated images.

    Returns:
        (N,) in nats; 3 log 3 for a critic that guesses.
    """
    by_class = enumerate((real, rebuilt, generated))
    return -torch.stack([logits.log_softmax(1)[:, column] for column, logits in by_class]).sum(0)


def log_odds_of_fake(logits: Tensor) -> Tensor:
    """Return log (1 - P(real)) / P(real) of a ternary critic: the logit of one that only tells real from not.

    Args:
        logits: (N, 3) of the classes real, reconstructed and generated.

    Returns:
        (N,): large means generated or reconstructed. Its softplus is -log P(real).
    """
    return logits[:, 1:].logsumexp(1) - logits[:, 0]
