"""Statistics over seeds, and whether our runs put the models in the published order.

The order is checked for every pair whose published values differ by more than two standard errors.
"""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from avae.recipes.paper import Row

SIGNIFICANT = 2.0
"""Number of standard errors beyond which a difference is significant."""

Answer = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class SeedStatistics:
    """A metric over seeds.

    Attributes:
        mean: mean over seeds.
        std: sample standard deviation (with n - 1); None for a single seed.
        n: number of seeds.
    """

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class OrderingCheck:
    """One question: is `lower` below `higher` in our runs too?

    Attributes:
        metric: name of the metric.
        lower, higher: rows, in the published order.
        answer: yes or no if our difference exceeds two standard errors.
        why: reason for "undecided", and the direction of the difference; otherwise empty.
        ours: our values of (lower, higher), None if missing.
        published: the published values.
    """

    metric: str
    lower: Row
    higher: Row
    answer: Answer
    why: str
    ours: tuple[SeedStatistics | None, SeedStatistics | None]
    published: tuple[SeedStatistics, SeedStatistics]


Cells = Mapping[tuple[Row, str], SeedStatistics]
"""Statistics by (row, metric)."""


def summary(values: Collection[float]) -> SeedStatistics | None:
    """Summarise the values of all seeds; return None if there are none."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return SeedStatistics(statistics.fmean(values), std, len(values))


def standard_error(a: SeedStatistics, b: SeedStatistics) -> float | None:
    """Return the standard error of the difference of two means, sqrt(s_a^2 / n_a + s_b^2 / n_b).

    Return None if one of them is of a single seed, whose spread is unknown.
    """
    if a.std is None or b.std is None:
        return None
    return math.hypot(a.std / math.sqrt(a.n), b.std / math.sqrt(b.n))


def significantly_below(a: SeedStatistics, b: SeedStatistics) -> bool:
    """Return True if the mean of a is below that of b by more than two standard errors."""
    error = standard_error(a, b)
    return error is not None and b.mean - a.mean > SIGNIFICANT * error


def ordering_checks(
    ours: Cells, theirs: Cells, rows: Sequence[Row], metrics: Sequence[str]
) -> Iterator[OrderingCheck]:
    """Yield a check for every pair of rows and metric whose published values differ significantly."""
    for metric in metrics:
        published_rows = [row for row in rows if (row, metric) in theirs]
        for lower, higher in permutations(published_rows, 2):
            published = theirs[lower, metric], theirs[higher, metric]
            if significantly_below(*published):
                here = ours.get((lower, metric)), ours.get((higher, metric))
                yield OrderingCheck(metric, lower, higher, *decide(*here), here, published)


def decide(lower: SeedStatistics | None, higher: SeedStatistics | None) -> tuple[Answer, str]:
    """Answer whether `lower` is below `higher`; undecided if one of them has a single seed."""
    if lower is None or higher is None:
        return "undecided", "not measured"
    if significantly_below(lower, higher):
        return "yes", ""
    if significantly_below(higher, lower):
        return "no", ""
    if lower.mean == higher.mean:
        return "undecided", "equal"
    leans = "leans to yes" if lower.mean < higher.mean else "leans to no"
    why = "one seed" if min(lower.n, higher.n) < 2 else "within 2 standard errors"
    return "undecided", f"{why}, {leans}"


def count(checks: Sequence[OrderingCheck]) -> dict[Answer, int]:
    """Return the number of checks by answer."""
    counted = Counter(check.answer for check in checks)
    return {"yes": counted["yes"], "no": counted["no"], "undecided": counted["undecided"]}
