"""A mixture of Gaussians, fitted by scikit-learn."""

import logging
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from avae.errors import UserError
from avae.frameworks.base import Noise, NoiseShapes
from avae.priors.prior import Density, choose, standard_normal_log_density

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

logger = logging.getLogger(__name__)

COMPONENTS = (1, 2, 4, 8, 16, 32)
"""Numbers of components tried, in ascending order, until two in a row do not raise the held-out likelihood.

One is not enough: EM may find no more in two components than in one."""

MAX_VECTORS = 20_000
"""Maximum number of vectors that a mixture is fitted to: the time grows with them."""

ITERATIONS, ROUNDS = 100, 10
"""Iterations of EM before its convergence is checked, and the number of times it may continue."""

REGULARIZATION = 1e-3
"""Variance added to every component, where the whole has variance 1."""

TOLERANCE = 1e-4
"""Change of the mean log-likelihood, in nats per dimension, at which EM has converged."""

PER_DIMENSION = 8
"""Least number of vectors per component, for each dimension that its covariance correlates."""


class Mixture(Density):
    """A mixture of Gaussians.

    Args:
        dim: number of dimensions k.
        components: number of components.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__(dim)
        self.components = components
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("factors", torch.eye(dim).repeat(components, 1, 1))

    @classmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int) -> Self:
        from threadpoolctl import threadpool_limits  # slow to import, as scikit-learn is

        train = train[:MAX_VECTORS]
        best: tuple[float, GaussianMixture] | None = None
        with threadpool_limits(1):  # with several threads, k-means rounds differently each time
            for covariance in ("full", "diag"):
                highest, falls = -math.inf, 0
                for mixture in _converged_mixtures(covariance, train, seed):
                    score = float(mixture.score(held_out.numpy()))
                    if best is None or score > best[0]:
                        best = score, mixture
                    highest, falls = max(score, highest), 0 if score > highest else falls + 1
                    if falls == 2:
                        break
        if best is None:
            raise UserError("no mixture of Gaussians converged on these codes: choose another --kind")
        return cls._from_sklearn(best[1])

    @classmethod
    def _from_sklearn(cls, mixture: "GaussianMixture") -> Self:
        covariances = torch.from_numpy(mixture.covariances_)
        full = mixture.covariance_type == "full"
        density = cls(mixture.means_.shape[1], mixture.n_components)
        density.weights = torch.from_numpy(mixture.weights_)
        density.means = torch.from_numpy(mixture.means_)
        factors = torch.linalg.cholesky(covariances) if full else torch.diag_embed(covariances.sqrt())
        density.factors = factors.contiguous()  # as when it is loaded, or rounding would differ
        return density

    @classmethod
    def least_values(cls, **sizes: int) -> int:
        return sizes["components"] * sizes["dim"] ** 2

    @property
    def sizes(self) -> dict[str, int]:
        return super().sizes | {"components": self.components}

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"component": (n, 1)}

    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        chosen = choose(self.weights, noise["component"][:, 0])
        return self.means[chosen] + (self.factors[chosen] @ normal[..., None])[..., 0]

    def log_density(self, u: Tensor) -> Tensor:
        by_component = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            whitened = torch.linalg.solve_triangular(factor, (u - mean).T, upper=False).T
            scale = factor.diagonal().log().sum()
            by_component.append(weight.log() - scale + standard_normal_log_density(whitened))
        return torch.stack(by_component).logsumexp(0)


def _converged_mixtures(covariance: str, train: Tensor, seed: int) -> Iterator["GaussianMixture"]:
    """Yield mixtures with covariances of a type ("full" or "diag"), in ascending order of components."""
    from sklearn.mixture import GaussianMixture

    n, dim = train.shape
    least = PER_DIMENSION * (dim if covariance == "full" else 1)
    for components in COMPONENTS:
        if components > 1 and n < least * components:
            return
        mixture = GaussianMixture(
            components,
            covariance_type=covariance,
            reg_covar=REGULARIZATION,
            tol=TOLERANCE * dim,
            max_iter=ITERATIONS,
            random_state=seed % 2**32,
            warm_start=True,  # a further round continues
        )
        if _fit_until_converged(mixture, train):
            yield mixture
        else:
            logger.info(
                f"note: a mixture of {components} Gaussians had not converged after "
                f"{ITERATIONS * ROUNDS} iterations, so it is left out"
            )


def _fit_until_converged(mixture: "GaussianMixture", train: Tensor) -> bool:
    """Run EM until it has converged; return False if it does not. This heeds each ConvergenceWarning."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged_` says the same
        for _ in range(ROUNDS):
            mixture.fit(train.numpy())
            if mixture.converged_:
                return True
    return False
