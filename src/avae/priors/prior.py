"""Priors of codes, and the interface of the densities that they are made of."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self, TypedDict

import torch
from torch import Tensor, nn

from avae.frameworks.base import Noise, NoiseShapes
from avae.priors.registry import STANDARD, PriorKind, load_density
from avae.safetensors_io import first_difference

MAX_SIZE = 2**16
"""Largest size, besides that of a code, that a model file may ask for."""


class Density(nn.Module, ABC):
    """A distribution of vectors u (N, k) with mean about 0 and covariance about I.

    Args:
        dim: number of dimensions k.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    @classmethod
    @abstractmethod
    def fit(cls, train: Tensor, held_out: Tensor, seed: int) -> Self:
        """Fit to vectors (N, k); `held_out` (M, k) decide how closely. All are float64 on the CPU.

        Raises:
            UserError: the fit failed.
        """

    @property
    def sizes(self) -> dict[str, int]:
        """The arguments of the constructor."""
        return {"dim": self.dim}

    @classmethod
    def least_values(cls, **sizes: int) -> int:
        """Return a number of values that the tensors of a density of these sizes exceed."""
        return sizes["dim"]

    def check(self) -> None:
        """Raise ValueError for tensors, read from a file, that draws cannot be made from."""

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every further standard normal tensor for n vectors, by name."""
        return {}

    @abstractmethod
    def sample(self, normal: Tensor, noise: Noise) -> Tensor:
        """Return vectors (N, k) as a function of standard normal numbers (N, k) and of further noise."""

    @abstractmethod
    def log_density(self, u: Tensor) -> Tensor | None:
        """Return log p(u) in nats (N,) of vectors (N, k); None if it has no closed form."""


class Prior(nn.Module):
    """A distribution of codes z (N, d), sampled as a function of standard normal noise.

    The informative dimensions are mean + factor u, where u has a density. The others are N(0, 1).

    Args:
        kind: name in the registry.
        density: density of u, in k dimensions.
        code_dim: number of dimensions d of a code.
    """

    informative: Tensor
    mean: Tensor
    factor: Tensor

    def __init__(self, kind: str, density: Density, code_dim: int) -> None:
        super().__init__()
        self.kind, self.density = kind, density
        k = density.dim
        self.register_buffer("informative", torch.arange(code_dim) < k)
        self.register_buffer("mean", torch.zeros(k))
        self.register_buffer("factor", torch.eye(k))

    @property
    def is_learned(self) -> bool:
        """False for N(0, I)."""
        return self.kind != STANDARD

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for n codes, by name, besides "z" (n, d)."""
        return self.density.noise_shapes(n)

    def codes(self, noise: Noise) -> Tensor:
        """Return codes (N, d), given standard normal tensors "z" (N, d) and those of `noise_shapes`."""
        z = noise["z"]
        if not self.is_learned:
            return z
        u = self.density.sample(z[:, self.informative], noise)
        codes = z.clone()
        codes[:, self.informative] = self.mean + u @ self.factor.T
        return codes

    def log_likelihood(self, codes: Tensor) -> Tensor | None:
        """Return log p(z) in nats (N,) of codes (N, d); None if the density has no closed form."""
        informative, others = codes[:, self.informative], codes[:, ~self.informative]
        log_p = self.density.log_density(self.whiten(informative))
        if log_p is None:
            return None
        return log_p - self.factor.diagonal().log().sum() + standard_normal_log_density(others)

    def whiten(self, informative: Tensor) -> Tensor:
        """Return u (N, k), given the informative dimensions of codes (N, k)."""
        u: Tensor = torch.linalg.solve_triangular(self.factor, (informative - self.mean).T, upper=False).T
        return u

    @property
    def description(self) -> "PriorDescription":
        """Plain data from which `restore_prior` makes this prior, with its tensors."""
        return {"kind": self.kind, "sizes": self.density.sizes}


def standard_prior(code_dim: int) -> Prior:
    """Return the prior N(0, I) of codes of `code_dim` dimensions."""
    return Prior(STANDARD, load_density(STANDARD)(0), code_dim)


class PriorDescription(TypedDict):
    """A prior, without its tensors, in a model file."""

    kind: PriorKind
    sizes: dict[str, int]


def restore_prior(description: PriorDescription, code_dim: int, state: Mapping[str, Tensor]) -> Prior:
    """Build a prior from its description and its tensors.

    Raises:
        KeyError, TypeError, ValueError: it is not the description of a prior.
    """
    kind, sizes = description["kind"], description["sizes"]
    limits = {"dim": code_dim}
    if not all(0 < n <= limits.get(name, MAX_SIZE) for name, n in sizes.items()):
        raise ValueError(f"a prior of sizes {sizes}")
    density = load_density(kind)
    # Compared before the prior is built: the description may ask for any memory.
    if density.least_values(**sizes) > sum(tensor.numel() for tensor in state.values()):
        raise ValueError("its tensors are too small for its sizes")
    prior = Prior(kind, density(**sizes), code_dim)
    if difference := first_difference(prior.state_dict(), state):
        raise ValueError(difference)
    if int(state["informative"].sum()) != sizes["dim"]:
        raise ValueError("its dimensions are not those of its sizes")
    prior.load_state_dict(dict(state))
    prior.density.check()
    return prior


def choose(weights: Tensor, normal: Tensor) -> Tensor:
    """Return the number of an option (N,) int64, given standard normal numbers (N,).

    Args:
        weights: (K,) the probabilities of the options.
    """
    uniform = (1 + torch.erf(normal / math.sqrt(2))) / 2
    return torch.searchsorted(weights.cumsum(0)[:-1], uniform.contiguous())


def standard_normal_log_density(u: Tensor) -> Tensor:
    """Return log N(u; 0, I) in nats (N,) of vectors (N, k)."""
    return -0.5 * (u.square() + math.log(2 * math.pi)).sum(1)
