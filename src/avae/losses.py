"""The paper's equations, one function each: pure, one number per sample unless said otherwise.

Symbols follow the paper: x an image, z a code, mu and sigma the posterior's mean and scale. Critics
return logits l, with C = sigmoid(l) -> 1 on generated images. All functions work in the dtype they are given.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

MIN_SIGMA = 1e-3
"""Floor of the divisor in Eqs. 12 and 16: our departure, so that a vanishing sigma cannot overflow them."""

MIN_NATS = 0.005
"""-log sigma of a dimension below which its mean code says nothing."""

MIN_CODE_SCALE = math.sqrt(1 - math.exp(-2 * MIN_NATS))
"""sqrt(1 - sigma^2) of such a dimension."""

ACTIVE = 0.01
"""Variance of a mean code above which its unit counts as active (Burda et al., 2016)."""


def gaussian_nll(x_hat: Tensor, x: Tensor) -> Tensor:
    """Eq. 8 without its constant: L_R = 1/2 ||x_hat - x||^2, summed over pixels.

    Args:
        x_hat, x: (N, ...) reconstruction and original; images in [-1, 1].

    Returns:
        (N,) in nats.
    """
    return (x_hat - x).square().flatten(1).sum(1) / 2


def kl_to_prior(mu: Tensor, sigma: Tensor) -> Tensor:
    """Eq. 7: L_P = KL(N(mu, diag(sigma^2)) || N(0, I)), summed over dimensions.

    Args:
        mu: (N, d) posterior means.
        sigma: (d,) posterior scale, positive.

    Returns:
        (N,) in nats.
    """
    return (sigma.square() + mu.square() - 1 - 2 * sigma.log()).sum(1) / 2


def vae_loss(reconstruction: Tensor, kl: Tensor, beta: float | Tensor = 1.0) -> Tensor:
    """Eq. 9, with the constants of Eq. 7: L_VAE = L_R + beta L_P, in nats.

    Args:
        reconstruction, kl: L_R and L_P, per sample or averaged alike.
    """
    return reconstruction + beta * kl


def code_scale_a(sigma: Tensor) -> Tensor:
    """Factor of z in the target of Eq. 12: one for every dimension, (d,)."""
    return torch.ones_like(sigma)


def code_scale_b(sigma: Tensor) -> Tensor:
    """Factor of z in the target of Eq. 16: sqrt(max(1 - sigma^2, 0)), (d,).

    It is also the standard deviation of the mean code at a VAE's optimum, so calibration divides by it.
    """
    return (1 - sigma.square()).clamp(min=0).sqrt()


def latent_loss_a(mu: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
    """Eq. 12: L_Z^a = 1/2 ||(mu(x) - z) / sigma||^2.

    Args:
        mu: (N, d) posterior means of the generated images x = G(z, xi).
        z: (N, d) codes the generator was asked for.
        sigma: (d,) posterior scale, a constant here: no gradient reaches it.

    Returns:
        (N,).
    """
    return latent_loss(mu, z, sigma.detach(), code_scale_a(sigma.detach()))


def latent_loss_b(mu: Tensor, z: Tensor, sigma: Tensor) -> Tensor:
    """Eq. 16: L_Z^b = 1/2 ||(mu(x) - sqrt(1 - sigma^2) z) / sigma||^2; arguments as `latent_loss_a`."""
    return latent_loss(mu, z, sigma.detach(), code_scale_b(sigma.detach()))


def latent_loss(mu: Tensor, z: Tensor, sigma: Tensor, code_scale: Tensor) -> Tensor:
    """What Eqs. 12 and 16 share: 1/2 ||(mu - code_scale z) / sigma||^2, (N,)."""
    return ((mu - code_scale * z) / sigma.clamp(min=MIN_SIGMA)).square().sum(1) / 2


def posterior_level(sigma: Tensor, code_scale: Tensor) -> Tensor:
    """Return the latent consistency, 2 L_Z / d, of a generator that samples the true posterior p(x|z).

    There mu = s z + noise with s^2 = 1 - sigma^2, so E(mu - c z)^2 = s^2 - 2 c s^2 + c^2 for a target c z;
    over sigma^2 that is 2 s^2 / (1 + s) under Eq. 16 (c = s), and 1 under Eq. 12 (c = 1).

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
    """Eq. 13 in logits: L_C = softplus(l(x)) + softplus(-l(G)), C -> 1 on generated images.

    Args:
        real, fake: (N,) logits of real and of generated images.

    Returns:
        (N,) in nats; 2 log 2 for a critic that knows nothing.
    """
    return softplus(real) + softplus(-fake)


def manifold_loss(fake: Tensor) -> Tensor:
    """Eq. 15: L_M = logit C(G(z, xi)), minimised by the generator.

    At the critic's optimum its mean is KL(p_G || p). Args and result: (N,) logits.
    """
    return fake


def feature_loss(features_hat: Tensor, features: Tensor) -> Tensor:
    """L_F, VAE/GAN's reconstruction loss: 1/2 ||f(x_hat) - f(x)||^2 in features f of the critic.

    Args:
        features_hat, features: (N, ...) of reconstruction and original.

    Returns:
        (N,).
    """
    return gaussian_nll(features_hat, features)


def joint_loss(real: Tensor, fake: Tensor) -> Tensor:
    """BiGAN's loss of encoder and generator: L_B = softplus(-l(x, E(x))) + softplus(l(G(z), z)).

    The critic's own loss with the parts exchanged: each pair is to be taken for the other kind.

    Args:
        real, fake: (N,) logits of pairs (x, E(x)) and (G(z), z).

    Returns:
        (N,) in nats.
    """
    return critic_loss(fake, real)
