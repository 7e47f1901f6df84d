"""Whitening of frozen features, and their posterior scale, fitted to data once."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from avae.errors import UserError
from avae.frameworks.representations.frozen import WhitenedEncoder
from avae.losses import MIN_SIGMA
from avae.rng import rng

EXPLAINED = 0.95
"""Share of the variance of features that the code keeps by default."""

MAX_CODE_DIM = 512
"""Maximum number of dimensions of such a code by default."""

EXACT = 4096
"""Maximum number of features whose whole covariance is diagonalised; else only leading directions are."""

HALF_LEVEL = 1 / 255
"""Half a level of 8-bit pixels, on [-1, 1]."""


def fit_whitening(features: Tensor, code_dim: int | None) -> tuple[Tensor, Tensor]:
    """Return the mean (F,) and the directions (d, F) that give features unit variance in d dimensions.

    The directions are the leading principal axes, each divided by its standard deviation.

    Args:
        features: (N, F) features of training items, float32 on the CPU.
        code_dim: d; None for as many as hold 95 % of the variance, at most 512.

    Raises:
        UserError: there are fewer independent directions than `code_dim`.
    """
    from sklearn.decomposition import PCA  # slow to import

    most = min(len(features) - 1, features.shape[1])
    if code_dim is not None and code_dim > most:
        raise UserError(
            f"--code-dim {code_dim}: {len(features):,} pictures with {features.shape[1]:,} features have "
            f"{most} independent directions at most; choose fewer"
        )
    wanted = min(most, code_dim or MAX_CODE_DIM)
    solver = "covariance_eigh" if features.shape[1] <= EXACT else "randomized"
    pca = PCA(wanted, svd_solver=solver, random_state=0).fit(features.numpy())
    share = torch.from_numpy(pca.explained_variance_ratio_).double()
    d = code_dim or min(wanted, int((share.cumsum(0) < EXPLAINED).sum()) + 1)
    deviation = torch.from_numpy(pca.explained_variance_[:d]).double().sqrt()
    kept = int((deviation > torch.finfo(torch.float32).eps * deviation.max()).sum())
    if not kept:
        raise UserError("--representation: its features are the same for all pictures; use another network")
    if kept < d:
        raise UserError(
            f"--code-dim {d}: the features vary in {kept} directions only; choose at most as many"
        )
    directions = torch.from_numpy(pca.components_[:d]).double() / deviation[:, None]
    return torch.from_numpy(pca.mean_).float(), directions.float()


@torch.no_grad()
def tolerance(encoder: WhitenedEncoder, x: Tensor, shift: int, seed: int = 0) -> Tensor:
    """Return the sum over items and four changed copies of each of the squared move of the code, (d,).

    The copies are shifted by `shift` pixels in one of four directions, with repeated borders, and have the
    noise of rounding to 8 bits. Divided by 4 N, it is sigma^2 of a code that tolerates such changes.

    Args:
        encoder: its whitening is fitted; its `log_sigma` is not used.
        x: (N, C, H, W) items in [-1, 1].
        shift: number of pixels.
        seed: seed of the noise.
    """
    before, _ = encoder(x)
    height, width = x.shape[-2:]
    wide = pad(x, (shift,) * 4, mode="replicate")
    total = torch.zeros(before.shape[1], dtype=torch.float64)  # on the CPU: not all devices have float64
    for copy, (down, right) in enumerate(((0, shift), (2 * shift, shift), (shift, 0), (shift, 2 * shift))):
        noise = torch.from_numpy(rng(seed, "tolerance", copy).uniform(-HALF_LEVEL, HALF_LEVEL, x.shape))
        moved = wide[..., down : down + height, right : right + width] + noise.to(x)
        after, _ = encoder(moved)
        total += (after - before).square().sum(0).cpu().double()
    return total


def set_sigma(encoder: WhitenedEncoder, variance: Tensor) -> None:
    """Set the posterior scale of an encoder, given its square (d,)."""
    encoder.log_sigma.copy_(variance.sqrt().clamp(min=MIN_SIGMA).log())
