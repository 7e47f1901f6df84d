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
        drawn = latent_consistency(model, sigma, count, progress)
        reconstructed = reconstructed_consistency(model, sigma, items)
        for part, dims in _parts(model).items():
            of = f"_{part}" if part else ""
            yield f"latent_consistency{of}", drawn[part]
            yield f"latent_consistency_reconstructed{of}", reconstructed[part]
            level = posterior_level(sigma[dims], model.code_scale[dims])
            yield f"latent_consistency_posterior{of}", float(level)
    yield "xi_use", xi_use(model, min(count, XI_CODES)) if model.has_xi else NO_XI
    yield from _encoder_metrics(model, items)


def _parts(model: EvaluatedModel) -> dict[str, slice]:
    """Return the dimensions of the whole code, named "", and of each of its parts."""
    return {"": slice(None), **model.code_parts}


def _encoder_metrics(model: EvaluatedModel, items: NDArray[Any]) -> Iterator[Metric]:
    """Yield the information content of codes, and the distance of their distribution from the prior."""
    names = ("active_units", "bits_per_dimension", "aggregate_posterior_gap")
    if isinstance(model.encode, Unavailable):
        yield from ((name, model.encode) for name in names)
        return
    parts = []
    for rows in row_chunks(len(items), model.batch, merge_rest=True):
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
) -> dict[str, float]:
    """Return the mean over samples and dimensions of ((mu(G(z, xi)) - s z) / sigma)^2.

    This is 2 L_Z / d (Eqs. 12, 16), for the whole code, named "", and for each of its parts.

    Args:
        sigma: (d,) posterior scale of the model.
        count: number of samples.
        progress: counts the samples.
    """
    assert not isinstance(model.encode, Unavailable)
    total = _ConsistencySums(model, sigma, model.code_scale)
    for rows in row_chunks(count, model.batch, merge_rest=True):
        z = model.prior(rows)
        total.add(model.encode(model.draw(z, rows, 0)), z)
        progress.advance(len(rows))
    return total.means()


def reconstructed_consistency(model: EvaluatedModel, sigma: Tensor, items: NDArray[Any]) -> dict[str, float]:
    """Return the mean over items and dimensions of ((mu(x_hat) - mu(x)) / sigma)^2.

    x_hat is the default reconstruction of x. The keys are those of `latent_consistency`.

    Args:
        sigma: (d,) posterior scale of the model.
        items: as `as_tensor` takes them.
    """
    reconstruct = model.reconstruct[model.default]
    assert not isinstance(reconstruct, Unavailable)
    assert not isinstance(model.encode, Unavailable)
    total = _ConsistencySums(model, sigma, torch.ones_like(sigma))
    for rows in row_chunks(len(items), model.batch, merge_rest=True):
        x = as_tensor(items[rows.start : rows.stop], model.device)
        total.add(model.encode(reconstruct(x, rows)), model.encode(x))
    return total.means()


class _ConsistencySums:
    """Sums of L_Z over items, for the whole code and for each of its parts."""

    def __init__(self, model: EvaluatedModel, sigma: Tensor, code_scale: Tensor) -> None:
        self.parts, self.sigma, self.code_scale = _parts(model), sigma, code_scale
        self.sums = dict.fromkeys(self.parts, 0.0)
        self.count = 0

    def add(self, mu: Tensor, z: Tensor) -> None:
        """Add mean codes (N, d), and the codes (N, d) that they should have."""
        self.count += len(mu)
        for part, dims in self.parts.items():
            loss = latent_loss(mu[:, dims], z[:, dims], self.sigma[dims], self.code_scale[dims])
            self.sums[part] += float(loss.sum())

    def means(self) -> dict[str, float]:
        return {
            part: 2 * total / (self.count * len(self.sigma[self.parts[part]]))
            for part, total in self.sums.items()
        }


def xi_use(model: EvaluatedModel, count: int, draws: int = 8) -> float:
    """Return the variance of a value over xi at a fixed code, averaged over values and `count` codes.

    The variance is that of `draws` samples per code, with n - 1 in the denominator. Pixels are in [-1, 1].
    """
    total = 0.0
    for rows in row_chunks(count, model.batch, merge_rest=True):
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
