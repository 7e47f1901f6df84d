"""Mean and standard deviation over seeds, and what they say of a difference."""

import math
import statistics
from collections.abc import Collection
from dataclasses import dataclass

CERTAIN = 2.0
"""Standard errors beyond which a difference counts."""


@dataclass(frozen=True)
class Summary:
    """A metric over seeds.

    Attributes:
        mean: of the seeds.
        std: standard deviation of a seed, with n - 1; None of a single seed.
        n: how many seeds.
    """

    mean: float
    std: float | None
    n: int


def summary(values: Collection[float]) -> Summary | None:
    """Summarise the values of all seeds; None without any."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return Summary(statistics.fmean(values), std, len(values))


def standard_error(a: Summary, b: Summary) -> float | None:
    """Return the standard error of the difference of two means, sqrt(s_a^2 / n_a + s_b^2 / n_b).

    None where a single seed says nothing of its spread.
    """
    if a.std is None or b.std is None:
        return None
    return math.hypot(a.std / math.sqrt(a.n), b.std / math.sqrt(b.n))


def certainly_below(a: Summary, b: Summary) -> bool:
    """Whether a's mean is below b's by more than two standard errors."""
    error = standard_error(a, b)
    return error is not None and b.mean - a.mean > CERTAIN * error
