"""Fit a prior to codes, or one to the codes of each class."""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avae.errors import UserError
from avae.priors.by_class import ClassPrior
from avae.priors.posteriors import Posteriors
from avae.priors.prior import Density, Prior
from avae.priors.registry import load_density
from avae.priors.vamp import Vamp
from avae.rng import rng
from avae.shown_text import printable

logger = logging.getLogger(__name__)

MIN_CODES = 20
"""Least number of codes that a prior is fitted to."""

MAX_HELD_OUT = 5000
"""Maximum number of codes held out."""

LEAST_VARIANCE = 1e-6
"""Variance added to all directions, so that a constant dimension has an inverse; codes are of scale 1."""


@dataclass(frozen=True)
class FittedPrior:
    """A prior, and the codes (M, d) that were held out from its fit.

    Attributes:
        log_likelihood: log p(z) in nats (M,) of these codes, given their class if there are classes; None if
            it has no closed form.
    """

    prior: Prior | ClassPrior
    held_out: Tensor
    log_likelihood: Tensor | None


def fit_to_codes(
    kind: str, codes: Tensor, informative: Tensor, seed: int = 0, posteriors: Posteriors | None = None
) -> FittedPrior:
    """Fit a prior to codes; a tenth is held out, to choose by and to judge by.

    The same codes and seed give the same prior, to the bit on one machine with the same number of threads.

    Args:
        kind: a learned kind of the registry.
        codes: (N, d) codes.
        informative: (d,) bool, the dimensions to fit; codes are N(0, 1) in the others.
        seed: seed of the split and of the fit.
        posteriors: posteriors of the items that have these codes, for the kind "vamp".

    Raises:
        UserError: the codes are too few, not finite or without information, or the fit failed.
    """
    prior, held_out = _fit(kind, codes, informative, seed, posteriors)
    return FittedPrior(prior, held_out, prior.log_likelihood(held_out))


def fit_to_classes(
    kind: str, codes: Tensor, labels: Tensor, classes: Sequence[str], informative: Tensor, seed: int = 0
) -> FittedPrior:
    """Fit a prior to the codes of each class. A class of too few codes gets the prior of all.

    Args:
        labels: (N,) the number of the class of each code.
        classes: names of the classes, by number.
        kind, codes, informative, seed: as for `fit_to_codes`.

    Raises:
        UserError: as `fit_to_codes`.
    """
    by_class = [codes[labels == label] for label in range(len(classes))]
    few = [label for label, own in enumerate(by_class) if len(own) < MIN_CODES]
    fitted = {
        label: _fit(kind, own, informative, seed) for label, own in enumerate(by_class) if label not in few
    }
    priors = [prior for prior, _ in fitted.values()]
    judged = list(fitted.values())
    if few:
        names = ", ".join(printable(classes[label]) for label in few)
        logger.info(f"note: {names}: fewer than {MIN_CODES} codes, so their prior is that of all classes")
        of_all = _fit(kind, codes, informative, seed)
        judged = judged or [of_all]
        for label in few:
            priors.insert(label, copy.deepcopy(of_all[0]))
    likelihoods = [prior.log_likelihood(held_out) for prior, held_out in judged]
    known = [log_p for log_p in likelihoods if log_p is not None]
    held_out = torch.cat([held_out for _, held_out in judged])
    return FittedPrior(ClassPrior(priors), held_out, torch.cat(known) if known else None)


def _fit(
    kind: str, codes: Tensor, informative: Tensor, seed: int, posteriors: Posteriors | None = None
) -> tuple[Prior, Tensor]:
    """Return the prior of `fit_to_codes` and the codes that were held out."""
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
    vectors = u.contiguous(), held_out_u.contiguous()
    density_type = load_density(kind)
    if issubclass(density_type, Vamp):
        assert posteriors is not None
        of_u = posteriors.of_rows(order[count:]).whitened(informative, mean, factor)
        density: Density = density_type.fit(*vectors, seed, of_u)
    else:
        density = density_type.fit(*vectors, seed)
    prior = Prior(kind, density, codes.shape[1])
    prior.informative, prior.mean, prior.factor = informative.clone(), mean, factor.contiguous()
    return prior.float().eval().requires_grad_(False), held_out
