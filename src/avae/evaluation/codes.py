"""Does what is drawn carry the code it was asked for, and does it use xi?"""

from collections.abc import Iterator

import torch
from torch import Tensor

from avae.evaluation.subject import Subject
from avae.losses import MIN_SIGMA, latent_loss
from avae.noise import row_ranges


def code_metrics(subject: Subject, count: int) -> Iterator[tuple[str, float | None]]:
    """Yield the figures that need no data, from `count` prior draws."""
    yield "latent_consistency", latent_consistency(subject, count)
    yield "latent_consistency_posterior", posterior_level(subject.sigma, subject.code_scale)
    yield "xi_use", xi_use(subject, min(count, 1024)) if subject.has_xi else None


def latent_consistency(subject: Subject, count: int) -> float:
    """Mean over draws and dimensions of ((mu(G(z, xi)) - s z) / sigma)^2, that is 2 L_Z / d (Eqs. 12, 16)."""
    total = 0.0
    for rows in row_ranges(count):
        z = subject.prior(rows)
        mu = subject.encode(subject.draw(z, rows, 0))
        total += float(latent_loss(mu, z, subject.sigma, subject.code_scale).sum())
    return 2 * total / (count * len(subject.sigma))


def posterior_level(sigma: Tensor, code_scale: Tensor) -> float:
    """Return the latent consistency of a generator that samples the true posterior p(x|z).

    There mu = s z + noise with s^2 = 1 - sigma^2, so E(mu - c z)^2 = s^2 - 2 c s^2 + c^2 for a target c z;
    over sigma^2 that is 2 s^2 / (1 + s) under Eq. 16 (c = s), and 1 under Eq. 12 (c = 1).
    """
    variance = (1 - sigma.square()).clamp(min=0)
    expected = variance - 2 * code_scale * variance + code_scale.square()
    return float((expected / sigma.clamp(min=MIN_SIGMA).square()).mean())


def xi_use(subject: Subject, count: int, draws: int = 8) -> float:
    """Variance of a pixel over xi at a fixed code, mean over pixels and `count` codes; [-1, 1] squared."""
    total = 0.0
    for rows in row_ranges(count):
        z = subject.prior(rows)
        items = torch.stack([subject.draw(z, rows, seed) for seed in range(1, draws + 1)])
        total += float(items.var(0).flatten(1).mean(1).sum())
    return total / count
