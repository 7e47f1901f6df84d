"""Metrics of latent codes: consistency, use of xi, information content."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor
from avae.evaluation.evaluated_model import NO_XI, EvaluatedModel, Metric
from avae.evaluation.unavailable import Unavailable
from avae.losses import ACTIVE, kl_to_prior, latent_loss, posterior_level
from avae.rng import row_chunks

XI_CODES = 1024
"""Maximum number of codes at which the use of xi is measured."""


def code_metrics(
    model: EvaluatedModel, items: NDArray[Any], count: int, progress: Progress = SILENT
) -> Iterator[Metric]:
    """Yield the metrics of the codes of `items`, which were not trained on, and of `count` prior draws."""
    sigma = model.sigma
    if isinstance(sigma, Unavailable):
        yield "latent_consistency", sigma
        yield "latent_consistency_reconstructed", sigma
        yield "latent_consistency_posterior", sigma
    else:
        yield "latent_consistency", latent_consistency(model, sigma, count, progress)
        yield "latent_consistency_reconstructed", reconstructed_consistency(model, sigma, items)
        yield "latent_consistency_posterior", float(posterior_level(sigma, model.code_scale))
    yield "xi_use", xi_use(model, min(count, XI_CODES)) if model.has_xi else NO_XI
    yield from _encoder_metrics(model, items)


def _encoder_metrics(model: EvaluatedModel, items: NDArray[Any]) -> Iterator[Metric]:
    """Yield the information content of codes, and the distance of their distribution from the prior."""
    names = ("active_units", "bits_per_dimension", "aggregate_posterior_gap")
    if isinstance(model.encode, Unavailable):
        yield from ((name, model.encode) for name in names)
        return
    parts = []
    for rows in row_chunks(len(items), merge_rest=True):
        x = as_tensor(items[rows.start : rows.stop], model.device)
        parts.append(model.encode(x).cpu().double())
    mu = torch.cat(parts)
    sigma = model.sigma if isinstance(model.sigma, Unavailable) else model.sigma.cpu().double()
    yield names[0], float((mu.var(0, correction=0) > ACTIVE).sum())
    yield names[1], sigma if isinstance(sigma, Unavailable) else bits_per_dimension(mu, sigma)
    # A code without a posterior scale is a point.
    spread = torch.zeros_like(mu[0]) if isinstance(sigma, Unavailable) else sigma
    yield names[2], aggregate_posterior_gap(mu, spread)


def latent_consistency(
    model: EvaluatedModel, sigma: Tensor, count: int, progress: Progress = SILENT
) -> float:
    """Return the mean over samples and dimensions of ((mu(G(z, xi)) - s z) / sigma)^2.

    This is 2 L_Z / d (Eqs. 12, 16).

    Args:
        sigma: (d,) posterior scale of the model.
        count: number of samples.
        progress: counts the samples.
    """
    assert not isinstance(model.encode, Unavailable)
    total = 0.0
    for rows in row_chunks(count, merge_rest=True):
        z = model.prior(rows)
        mu = model.encode(model.draw(z, rows, 0))
        total += float(latent_loss(mu, z, sigma, model.code_scale).sum())
        progress.advance(len(rows))
    return 2 * total / (count * len(sigma))


def reconstructed_consistency(model: EvaluatedModel, sigma: Tensor, items: NDArray[Any]) -> float:
    """Return the mean over items and dimensions of ((mu(x_hat) - mu(x)) / sigma)^2.

    x_hat is the default reconstruction of x.

    Args:
        sigma: (d,) posterior scale of the model.
        items: as `as_tensor` takes them.
    """
    reconstruct = model.reconstruct[model.default]
    assert not isinstance(reconstruct, Unavailable)
    assert not isinstance(model.encode, Unavailable)
    total = 0.0
    for rows in row_chunks(len(items), merge_rest=True):
        x = as_tensor(items[rows.start : rows.stop], model.device)
        mu_reconstructed = model.encode(reconstruct(x, rows))
        total += float(latent_loss(mu_reconstructed, model.encode(x), sigma, torch.ones_like(sigma)).sum())
    return 2 * total / (len(items) * len(sigma))


def xi_use(model: EvaluatedModel, count: int, draws: int = 8) -> float:
    """Return the variance of a value over xi at a fixed code, averaged over values and `count` codes.

    The variance is that of `draws` samples per code, with n - 1 in the denominator. Pixels are in [-1, 1].
    """
    total = 0.0
    for rows in row_chunks(count, merge_rest=True):
        z = model.prior(rows)
        items = torch.stack([model.draw(z, rows, seed) for seed in range(1, draws + 1)])
        total += float(items.var(0).flatten(1).mean(1).sum())
    return total / count


def bits_per_dimension(mu: Tensor, sigma: Tensor) -> float:
    """Return the mean KL of posterior to prior (Eq. 7) over d log 2: the information of a code dimension.

    These are bits per dimension of the code, not those of a likelihood, which are per pixel.

    Args:
        mu: (N, d) posterior means.
        sigma: (d,) posterior scale.
    """
    return float(kl_to_prior(mu, sigma).mean()) / (len(sigma) * math.log(2))


def aggregate_posterior_gap(mu: Tensor, sigma: Tensor) -> float:
    """Return KL(N(m, C) || N(0, I)) in nats, with mean m and covariance C of the aggregate posterior q(z).

    q(z) is the mean of q(z|x) over the N items and should equal the prior (Makhzani et al., 2016; Hoffman and
    Johnson, 2016). Only its first two moments are compared. They are exact for these items, with
    C = cov(mu) + diag(sigma^2). For N items of a standard normal the result is about d^2 / 4N, not 0.

    Args:
        mu: (N, d) posterior means.
        sigma: (d,) posterior scale; 0 for codes without one.

    Returns:
        The gap in nats; infinity if a direction has no variance.
    """
    mean = mu.mean(0)
    centred = mu - mean
    covariance = centred.T @ centred / len(mu) + torch.diag(sigma.square())
    sign, logdet = torch.linalg.slogdet(covariance)
    if sign <= 0:
        return math.inf
    return float(covariance.trace() + mean.square().sum() - len(mean) - logdet) / 2
