"""Directions of codes: along which codes of pictures vary, pictures change, or two sets differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COUNT = 8
"""Maximum number of leading directions."""


@dataclass(frozen=True)
class Direction:
    """A change of mean codes.

    Attributes:
        step: (d,), the change of a code by an amount of 1.
        share: its share in all variance, in [0, 1].
    """

    step: Tensor
    share: float


def principal_directions(codes: Tensor, informative: Tensor) -> list[Direction]:
    """Return the principal directions of codes, the largest first; a step is one standard deviation.

    Args:
        codes: (N, d) mean codes.
        informative: (d,) bool; directions leave the other dimensions as they are.
    """
    count = int(informative.sum())
    freedom = min(1, len(codes) - 1)  # a single code does not vary
    covariance = codes[:, informative].double().T.cov(correction=freedom).reshape(count, count)
    variances, vectors = torch.linalg.eigh(covariance)
    steps = codes.new_zeros(len(variances), codes.shape[1])
    steps[:, informative] = (vectors * variances.clamp(min=0).sqrt()).T.to(codes.dtype)
    return _leading(steps.flip(0), variances.flip(0))


def directions_of_change(codes: Tensor, items: Tensor) -> list[Direction]:
    """Return the directions of codes along which items change most; a step is one standard deviation.

    Items are fitted as a linear function of codes, whose dimensions are taken for independent. The share is
    that in the variance of the fitted items.

    Args:
        codes: (N, d) mean codes.
        items: (N, ...) items that were drawn from them.
    """
    scale = codes.std(0)
    z = ((codes - codes.mean(0)) / scale.clamp(min=1e-6)).double()
    x = items.flatten(1).double()
    slopes = z.T @ (x - x.mean(0)) / len(z)
    vectors, sizes, _ = torch.linalg.svd(slopes, full_matrices=False)
    return _leading(vectors.T.to(codes.dtype) * scale, sizes.square())


def difference(of: Tensor, to: Tensor) -> Tensor:
    """Return the step (d,) from the mean of one set of codes (N, d) to that of another (M, d)."""
    return to.mean(0) - of.mean(0)


def moved(code: Tensor, steps: Sequence[Tensor], amounts: Sequence[float]) -> Tensor:
    """Return a code (d,) after amounts of some steps (d,)."""
    for step, amount in zip(steps, amounts, strict=True):
        code = code + amount * step
    return code


def _leading(steps: Tensor, variances: Tensor) -> list[Direction]:
    """Return the first directions that vary at all, each with its largest entry positive."""
    total = float(variances.clamp(min=0).sum())
    leading = []
    for step, variance in zip(steps[:COUNT], variances[:COUNT].tolist(), strict=True):
        if total > 0 and variance > 1e-9 * total:
            sign = step[step.abs().argmax()].sign()
            leading.append(Direction(step * sign, variance / total))
    return leading
