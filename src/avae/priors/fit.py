"""Fit a prior to codes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from avae.errors import UserError
from avae.priors.prior import Prior
from avae.priors.registry import load_density
from avae.rng import rng

MIN_CODES = 20
"""Least number of codes that a prior is fitted to."""

MAX_HELD_OUT = 5000
"""Maximum number of codes held out."""

LEAST_VARIANCE = 1e-6
"""Variance added to all directions, so that a constant dimension has an inverse; codes are of scale 1."""


@dataclass(frozen=True)
class FittedPrior:
    """A prior, and the codes (M, d) that were held out from its fit."""

    prior: Prior
    held_out: Tensor


def fit_to_codes(kind: str, codes: Tensor, informative: Tensor, seed: int = 0) -> FittedPrior:
    """Fit a prior to codes; a tenth is held out, to choose by and to judge by.

    The same codes and seed give the same prior, to the bit on one machine with the same number of threads.

    Args:
        kind: a learned kind of the registry.
        codes: (N, d) codes.
        informative: (d,) bool, the dimensions to fit; codes are N(0, 1) in the others.
        seed: seed of the split and of the fit.

    Raises:
        UserError: the codes are too few, not finite or without information, or the fit failed.
    """
    if len(codes) < MIN_CODES:
        raise UserError(f"{len(codes)} codes are too few to fit a prior: {MIN_CODES} or more are needed")
    if not torch.isfinite(codes).all():
        raise UserError("some codes of training items are NaN or infinite, so no prior fits them")
    if not informative.any():
        raise UserError("no dimension of the codes carries information, so N(0, I) is their prior")
    from sklearn.covariance import LedoitWolf  # slow to import

    codes, informative = codes.detach().cpu(), informative.cpu()
    order = torch.from_numpy(rng(seed, "prior split").permutation(len(codes)))
    count = min(len(codes) // 10, MAX_HELD_OUT)
    held_out, train = codes[order[:count]], codes[order[count:]]
    parts = train[:, informative].double(), held_out[:, informative].double()
    gaussian = LedoitWolf().fit(parts[0].numpy())
    mean = torch.from_numpy(gaussian.location_)
    covariance = torch.from_numpy(gaussian.covariance_)
    factor = torch.linalg.cholesky(covariance + LEAST_VARIANCE * torch.eye(len(covariance)))
    u, held_out_u = (torch.linalg.solve_triangular(factor, (p - mean).T, upper=False).T for p in parts)
    density = load_density(kind).fit(u.contiguous(), held_out_u.contiguous(), seed)
    prior = Prior(kind, density, codes.shape[1])
    prior.informative, prior.mean, prior.factor = informative, mean, factor.contiguous()
    return FittedPrior(prior.float().eval().requires_grad_(False), held_out)
