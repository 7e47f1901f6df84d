"""Does what is drawn carry the code it was asked for, does it use xi, and how much is in a code?"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor
from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.unavailable import Unavailable
from avae.losses import ACTIVE, kl_to_prior, latent_loss, posterior_level
from avae.rng import row_chunks

XI_CODES = 1024
"""Codes at which the use of xi is measured, at most."""


def code_metrics(
    subject: EvaluatedModel, items: NDArray[Any], count: int, progress: Progress = SILENT
) -> Iterator[Metric]:
    """Yield the figures of codes: of `items` not seen in training, and of `count` prior draws."""
    sigma = subject.sigma
    if isinstance(sigma, Unavailable):
        yield "latent_consistency", sigma
        yield "latent_consistency_reconstructed", sigma
        yield "latent_consistency_posterior", sigma
    else:
        yield "latent_consistency", latent_consistency(subject, sigma, count, progress)
        yield "latent_consistency_reconstructed", reconstructed_consistency(subject, sigma, items)
        yield "latent_consistency_posterior", float(posterior_level(sigma, subject.code_scale))
    no_xi = Unavailable("the model has no xi")
    yield "xi_use", xi_use(subject, min(count, XI_CODES)) if subject.has_xi else no_xi
    yield from _of_encoder(subject, items)


def _of_encoder(subject: EvaluatedModel, items: NDArray[Any]) -> Iterator[Metric]:
    """Yield how much codes say, and how far they are from the prior as a whole."""
    names = ("active_units", "bits_per_dimension", "aggregate_posterior_gap")
    if isinstance(subject.encode, Unavailable):
        yield from ((name, subject.encode) for name in names)
        return
    mu = _mean_codes(subject, items)
    sigma = subject.sigma if isinstance(subject.sigma, Unavailable) else subject.sigma.cpu().double()
    yield names[0], float((mu.var(0, correction=0) > ACTIVE).sum())
    yield names[1], sigma if isinstance(sigma, Unavailable) else bits_per_dimension(mu, sigma)
    # A code without a posterior scale is a point.
    spread = torch.zeros_like(mu[0]) if isinstance(sigma, Unavailable) else sigma
    yield names[2], aggregate_posterior_gap(mu, spread)


def _mean_codes(subject: EvaluatedModel, items: NDArray[Any]) -> Tensor:
    assert not isinstance(subject.encode, Unavailable)
    parts = []
    for rows in row_chunks(len(items), merge_rest=True):
        x = as_tensor(items[rows.start : rows.stop], subject.device)
        parts.append(subject.encode(x).cpu().double())
    return torch.cat(parts)


def latent_consistency(
    subject: EvaluatedModel, sigma: Tensor, count: int, progress: Progress = SILENT
) -> float:
    """Mean over draws and dimensions of ((mu(G(z, xi)) - s z) / sigma)^2, that is 2 L_Z / d (Eqs. 12, 16).

    Args:
        sigma: (d,) the subject's posterior scale.
        count: draws.
    """
    assert not isinstance(subject.encode, Unavailable)
    total = 0.0
    for rows in row_chunks(count, merge_rest=True):
        z = subject.prior(rows)
        mu = subject.encode(subject.draw(z, rows, 0))
        total += float(latent_loss(mu, z, sigma, subject.code_scale).sum())
        progress.advance(len(rows))
    return 2 * total / (count * len(sigma))


def reconstructed_consistency(subject: EvaluatedModel, sigma: Tensor, items: NDArray[Any]) -> float:
    """Mean over items and dimensions of ((mu(x_hat) - mu(x)) / sigma)^2 of the default reconstructions x_hat.

    Args:
        sigma: (d,) the subject's posterior scale.
        items: as `as_tensor` takes them.
    """
    reconstruct = subject.reconstruct[subject.default]
    assert not isinstance(reconstruct, Unavailable)
    assert not isinstance(subject.encode, Unavailable)
    total = 0.0
    for rows in row_chunks(len(items), merge_rest=True):
        x = as_tensor(items[rows.start : rows.stop], subject.device)
        again = subject.encode(reconstruct(x, rows))
        total += float(latent_loss(again, subject.encode(x), sigma, torch.ones_like(sigma)).sum())
    return 2 * total / (len(items) * len(sigma))


def xi_use(subject: EvaluatedModel, count: int, draws: int = 8) -> float:
    """Variance of a pixel over xi at a fixed code, mean over pixels and `count` codes; [-1, 1] squared."""
    total = 0.0
    for rows in row_chunks(count, merge_rest=True):
        z = subject.prior(rows)
        items = torch.stack([subject.draw(z, rows, seed) for seed in range(1, draws + 1)])
        total += float(items.var(0).flatten(1).mean(1).sum())
    return total / count


def bits_per_dimension(mu: Tensor, sigma: Tensor) -> float:
    """Mean KL of the posterior to the prior (Eq. 7) over d log 2: what a code says, in bits a dimension.

    Not the bits per dimension of a likelihood, which are of a pixel.

    Args:
        mu: (N, d) posterior means.
        sigma: (d,) posterior scale.
    """
    return float(kl_to_prior(mu, sigma).mean()) / (len(sigma) * math.log(2))


def aggregate_posterior_gap(mu: Tensor, sigma: Tensor) -> float:
    """KL(N(m, C) || N(0, I)) in nats, m and C being mean and covariance of the aggregate posterior.

    That is q(z), the mean of q(z|x) over the N items, which should be the prior's (Makhzani et al., 2016;
    Hoffman and Johnson, 2016); of it this sees the first two moments. They are exact for these items, with
    C = cov(mu) + diag(sigma^2). Of N items of a standard normal it is about d^2 / 4N, not 0.

    Args:
        mu: (N, d) posterior means.
        sigma: (d,) posterior scale; 0 for codes without one.

    Returns:
        Infinity, if some direction has no variance.
    """
    mean = mu.mean(0)
    centred = mu - mean
    covariance = centred.T @ centred / len(mu) + torch.diag(sigma.square())
    sign, logdet = torch.linalg.slogdet(covariance)
    if sign <= 0:
        return math.inf
    return float(covariance.trace() + mean.square().sum() - len(mean) - logdet) / 2
