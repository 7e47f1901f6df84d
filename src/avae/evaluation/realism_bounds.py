"""Bounds of the error of realistic reconstructions, from the decoder's error and the moments of pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from avae.evaluation.distances import FeatureMoments, frechet_distance

Array = NDArray[np.float64]

GROUPS = 10
"""Groups of pictures of the jackknife."""

COARSE = 16
"""Largest side, in pixels, of the shrunk pictures whose whole covariance is compared."""


@dataclass(frozen=True)
class RealismBounds:
    """Bounds of the MSE of realistic reconstructions from one code.

    If the decoder is the best in MSE for that code, then in the population no reconstruction that has the
    distribution of the pictures has an error below `floor`, and one drawn from p(x | code) has `ceiling`
    (Blau and Michaeli, 2018; Freirich, Michaeli and Meir, 2021).

    Attributes:
        mse: D, the MSE of the decoder.
        ceiling: 2 D.
        floor: D + W2^2, in the units of an MSE, with the distance of `gelbrich_distance`; corrected for bias.
        floor_error: standard error of the floor.
        floor_uncorrected: the floor before the correction.
    """

    mse: float
    ceiling: float
    floor: float
    floor_error: float
    floor_uncorrected: float


@dataclass(frozen=True)
class MomentSums:
    """Sums over images, from which their moments follow.

    Attributes:
        count: number of images.
        total: (C, H, W) sum of the images.
        energy: sum of their squared norms.
        coarse: (K, K) sum of outer products of the images in `shrink`.
    """

    count: int
    total: Array
    energy: float
    coarse: Array

    @classmethod
    def of(cls, images: Tensor) -> "MomentSums":
        """Sum over images (N, C, H, W)."""
        x = images.double().cpu()
        small = shrink(x).numpy()
        return cls(len(x), x.sum(0).numpy(), float(x.square().sum()), small.T @ small)

    def __add__(self, other: "MomentSums") -> "MomentSums":
        return MomentSums(*map(add, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class PairSums:
    """Sums over images and their reconstructions; `error` is that of the squared norms of differences."""

    error: float
    images: MomentSums
    reconstructions: MomentSums

    @classmethod
    def of(cls, images: Tensor, reconstructions: Tensor) -> "PairSums":
        """Sum over images and reconstructions, both (N, C, H, W) on one device."""
        error = float((images - reconstructions).double().square().sum())
        return cls(error, MomentSums.of(images), MomentSums.of(reconstructions))

    def __add__(self, other: "PairSums") -> "PairSums":
        return PairSums(*map(add, vars(self).values(), vars(other).values()))


def shrink(x: Tensor) -> Tensor:
    """Return images (N, C, H, W) in the coordinates of shrunk ones, (N, K): means of squares of pixels.

    The squares are the smallest with which no more than `COARSE` fit into a side. The coordinates are
    orthonormal: those of a shrunk image that is enlarged again have its norm.
    """
    side = x.shape[-1]
    square = next(s for s in range(1, side + 1) if side % s == 0 and side // s <= COARSE)
    return avg_pool2d(x, square).flatten(1) * square


def gelbrich_distance(a: MomentSums, b: MomentSums) -> float:
    """Return a lower bound of the squared Wasserstein-2 distance of two distributions of images.

    By Gelbrich (1990) it is at least that of Gaussians with the same moments. The distance of the whole is at
    least the sum of those within orthogonal subspaces: here of the means, of the deviations in `shrink`,
    and of the remaining detail, of which traces alone are compared, (sqrt(tr A) - sqrt(tr B))^2. For images
    of up to 16 px there is no remaining detail, and this is Gelbrich's bound itself.
    """
    (mean_a, coarse_a, detail_a), (mean_b, coarse_b, detail_b) = _moments(a), _moments(b)
    of_means = float(np.square(mean_a - mean_b).sum())
    of_detail = (math.sqrt(detail_a) - math.sqrt(detail_b)) ** 2
    return of_means + frechet_distance(coarse_a, coarse_b) + of_detail


def _moments(sums: MomentSums) -> tuple[Array, FeatureMoments, float]:
    """Return the mean (C, H, W), the covariance of shrunk images, the variance of the remaining detail."""
    n, mean = sums.count, sums.total / sums.count
    small = shrink(torch.from_numpy(mean)[None])[0].numpy()
    covariance = (sums.coarse - n * np.outer(small, small)) / (n - 1)
    variance = (sums.energy - n * float(np.square(mean).sum())) / (n - 1)
    detail = max(variance - float(np.trace(covariance)), 0.0)
    return mean, FeatureMoments(np.zeros(len(small)), covariance, n), detail


def realism_bounds(groups: Sequence[PairSums]) -> RealismBounds:
    """Return the bounds for images and reconstructions in groups of about equal size, two or more in each.

    The distance of estimated moments is biased upwards, as it is convex in them: with few images, more so.
    The jackknife over groups removes the part of the bias that falls like 1 / N, and measures the error.
    """
    whole = reduce(add, groups)
    values = whole.images.total.size

    def floor(sums: PairSums) -> float:
        distance = gelbrich_distance(sums.images, sums.reconstructions)
        return (sums.error / sums.images.count + distance) / values

    found = floor(whole)
    corrected, error = jackknife(found, [floor(reduce(add, _without(groups, i))) for i in range(len(groups))])
    mse = whole.error / whole.images.count / values
    return RealismBounds(mse, 2 * mse, max(corrected, mse), error, found)


def _without(groups: Sequence[PairSums], left_out: int) -> list[PairSums]:
    return [group for i, group in enumerate(groups) if i != left_out]


def jackknife(whole: float, without: Sequence[float]) -> tuple[float, float]:
    """Return an estimate without its bias of order 1 / N, and its standard error (Efron, 1982).

    Args:
        whole: the estimate from all items.
        without: the estimates from all items but one of equal groups.
    """
    count, mean = len(without), float(np.mean(without))
    error = math.sqrt((count - 1) * float(np.mean(np.square(np.asarray(without) - mean))))
    return count * whole - (count - 1) * mean, error
