"""Does what is drawn carry the code it was asked for, and does it use xi?"""

from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.data.dataset import as_tensor
from avae.evaluation.subject import Figure, Subject
from avae.losses import latent_loss, posterior_level
from avae.noise import row_ranges


def code_metrics(subject: Subject, items: NDArray[Any], count: int) -> Iterator[Figure]:
    """Yield the figures of codes: of `items` not seen in training, and of `count` prior draws."""
    sigma = subject.sigma
    if isinstance(sigma, str):
        yield "latent_consistency", sigma
        yield "latent_consistency_reconstructed", sigma
        yield "latent_consistency_posterior", sigma
    else:
        yield "latent_consistency", latent_consistency(subject, sigma, count)
        yield "latent_consistency_reconstructed", reconstructed_consistency(subject, sigma, items)
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


def reconstructed_consistency(subject: Subject, sigma: Tensor, items: NDArray[Any]) -> float:
    """Mean over items and dimensions of ((mu(x_hat) - mu(x)) / sigma)^2 of the default reconstructions x_hat.

    Args:
        sigma: (d,) the subject's posterior scale.
        items: as `as_tensor` takes them.
    """
    reconstruct = subject.reconstruct[subject.default]
    assert not isinstance(reconstruct, str)
    total = 0.0
    for rows in row_ranges(len(items)):
        x = as_tensor(items[rows.start : rows.stop])
        again = subject.encode(reconstruct(x, rows))
        total += float(latent_loss(again, subject.encode(x), sigma, torch.ones_like(sigma)).sum())
    return 2 * total / (len(items) * len(sigma))


def xi_use(subject: Subject, count: int, draws: int = 8) -> float:
    """Variance of a pixel over xi at a fixed code, mean over pixels and `count` codes; [-1, 1] squared."""
    total = 0.0
    for rows in row_ranges(count):
        z = subject.prior(rows)
        items = torch.stack([subject.draw(z, rows, seed) for seed in range(1, draws + 1)])
        total += float(items.var(0).flatten(1).mean(1).sum())
    return total / count
