"""Distances between two sets of images, computed from their features."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Features = NDArray[np.float64]

KID_SUBSETS, KID_SUBSET_SIZE, KID_SEED = 100, 1000, 2020


@dataclass(frozen=True)
class FeatureMoments:
    """Mean (F,) and covariance (F, F) of the features of a set of images: all a Fréchet distance needs."""

    mean: Features
    covariance: Features
    count: int


class RunningMoments:
    """Mean and covariance of features added in blocks, in float64 (Chan, Golub, LeVeque, 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Features = np.zeros(0)
        self.scatter: Features = np.zeros((0, 0))

    def add(self, features: Features) -> None:
        """Add rows of features, (n, F)."""
        features = np.asarray(features, np.float64)
        mean = features.mean(0)
        centred = features - mean
        if self.count == 0:
            self.count, self.mean, self.scatter = len(features), mean, centred.T @ centred
            return
        total = self.count + len(features)
        step = mean - self.mean
        self.scatter += centred.T @ centred + np.outer(step, step) * (self.count * len(features) / total)
        self.mean = self.mean + step * (len(features) / total)
        self.count = total

    def result(self) -> FeatureMoments:
        """Return the moments of all rows so far. The covariance is unbiased; for a single row it is NaN."""
        with np.errstate(invalid="ignore"):
            return FeatureMoments(self.mean, np.divide(self.scatter, self.count - 1), self.count)


def feature_moments(features: Features) -> FeatureMoments:
    """Return mean and unbiased covariance of features (N, F)."""
    moments = RunningMoments()
    moments.add(features)
    return moments.result()


def frechet_distance(a: FeatureMoments, b: FeatureMoments) -> float:
    """Return the Fréchet distance of two Gaussians, |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^1/2).

    With Inception features this is FID (Heusel et al., 2017).

    Returns:
        0 for equal moments; NaN if a value is not finite, as for a single image. With few images the
        distance is biased upwards.
    """
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric  # slow to import

    moments = [{"mu": s.mean, "sigma": s.covariance} for s in (a, b)]
    if not all(np.isfinite(array).all() for s in moments for array in s.values()):
        return float("nan")
    return float(fid_statistics_to_metric(*moments, verbose=False)[KEY_METRIC_FID])


def conditional_frechet_distance(a: FeatureMoments, b: FeatureMoments, code_dim: int) -> float:
    """Return the conditional Fréchet distance of two sets of images of the same codes (CFID).

    It is the mean, over codes z, of the Fréchet distance of p(features | z) of one set to that of the other,
    in closed form if features and codes are jointly Gaussian (Soloveitchik et al., 2021, arXiv 2103.11521):
    the features then have the mean m + B (z - m_z), with the slope B = C_yz C_zz^-1, and the covariance
    C_yy - B C_zy whatever the code. So it is the Fréchet distance of these, plus tr(dB C_zz dB^T) with the
    difference dB of the slopes.

    Args:
        a, b: moments of rows (features, code), (F + d), of the same codes in the same number.
        code_dim: number d of dimensions of a code. With 0 it is the Fréchet distance itself.

    Returns:
        0 for equal moments; NaN if a value is not finite. With few images it is biased upwards.
    """
    if not all(np.isfinite(s.covariance).all() for s in (a, b)):
        return float("nan")
    split = len(a.mean) - code_dim
    code_covariance = a.covariance[split:, split:]
    # Dimensions that differ by less than the rounding of float32 codes count as one.
    inverse = np.linalg.pinv(code_covariance, rcond=1e-12, hermitian=True)
    slopes = [s.covariance[:split, split:] @ inverse for s in (a, b)]
    given_code = [
        FeatureMoments(
            s.mean[:split], s.covariance[:split, :split] - slope @ s.covariance[split:, :split], s.count
        )
        for s, slope in zip((a, b), slopes, strict=True)
    ]
    difference = slopes[0] - slopes[1]
    of_means = float(((difference @ code_covariance) * difference).sum())
    return frechet_distance(*given_code) + of_means


def kernel_distance(generated: Features, real: Features) -> tuple[float, float]:
    """Return KID (Binkowski et al., 2018), the unbiased squared MMD for the kernel (x y / F + 1)^3.

    Args:
        generated, real: (N, F), (M, F); 4 rows or more.

    Returns:
        Mean and standard deviation over 100 pairs of subsets, drawn with a fixed seed. A subset has 1,000
        rows, or half of the rows if there are fewer than 2,000. The mean is an unbiased estimate, so it may
        be below 0.
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

    result = kid_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(real),
        kid_subsets=KID_SUBSETS,
        kid_subset_size=kid_subset_size(generated, real),
        rng_seed=KID_SEED,
        verbose=False,
    )
    return float(result[KEY_METRIC_KID_MEAN]), float(result[KEY_METRIC_KID_STD])


def kid_subset_size(generated: Features, real: Features) -> int:
    """Return the number of rows in each subset."""
    return min(KID_SUBSET_SIZE, len(generated) // 2, len(real) // 2)
