"""Does what is drawn carry the code it was asked for, and does it use xi?"""

from collections.abc import Iterator

import torch
from torch import Tensor

from avae.evaluation.subject import Figure, Subject
from avae.losses import latent_loss, posterior_level
from avae.noise import row_ranges


def code_metrics(subject: Subject, count: int) -> Iterator[Figure]:
    """Yield the figures that need no data, from `count` prior draws."""
    sigma = subject.sigma
    if isinstance(sigma, str):
        yield "latent_consistency", sigma
        yield "latent_consistency_posterior", sigma
    else:
        yield "latent_consistency", latent_consistency(subject, sigma, count)
        yield "latent_consistency_posterior", float(posterior_level(sigma, subject.code_scale))
    yield "xi_use", xi_use(subject, min(count, 1024)) if subject.has_xi else "the model has no xi"


def latent_consistency(subject: Subject, sigma: Tensor, count: int) -> float:
    """Mean over draws and dimensions of ((mu(G(z, xi)) - s z) / sigma)^2, that is 2 L_Z / d (Eqs. 12, 16).

    Args:
        sigma: (d,) the subject's posterior scale.
        count: draws.
    """
    total = 0.0
    for rows in row_ranges(count):
        z = subject.prior(rows)
        mu = subject.encode(subject.draw(z, rows, 0))
        total += float(latent_loss(mu, z, sigma, subject.code_scale).sum())
    return 2 * total / (count * len(sigma))


def xi_use(subject: Subject, count: int, draws: int = 8) -> float:
    """Variance of a pixel over xi at a fixed code, mean over pixels and `count` codes; [-1, 1] squared."""
    total = 0.0
    for rows in row_ranges(count):
        z = subject.prior(rows)
        items = torch.stack([subject.draw(z, rows, seed) for seed in range(1, draws + 1)])
        total += float(items.var(0).flatten(1).mean(1).sum())
    return total / count
