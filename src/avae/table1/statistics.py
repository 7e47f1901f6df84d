"""Do our runs put the models in the paper's order?

Published differences of more than two standard errors are asked about, one by one.
"""

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from avae.recipes.paper import Row

CERTAIN = 2.0
"""Standard errors beyond which a difference counts."""


@dataclass(frozen=True)
class SeedStatistics:
    """A metric over seeds.

    Attributes:
        mean: of the seeds.
        std: standard deviation of a seed, with n - 1; None of a single seed.
        n: how many seeds.
    """

    mean: float
    std: float | None
    n: int


def summary(values: Collection[float]) -> SeedStatistics | None:
    """Summarise the values of all seeds; None without any."""
    if not values:
        return None
    std = statistics.stdev(values) if len(values) > 1 else None
    return SeedStatistics(statistics.fmean(values), std, len(values))


def standard_error(a: SeedStatistics, b: SeedStatistics) -> float | None:
    """Return the standard error of the difference of two means, sqrt(s_a^2 / n_a + s_b^2 / n_b).

    None where a single seed says nothing of its spread.
    """
    if a.std is None or b.std is None:
        return None
    return math.hypot(a.std / math.sqrt(a.n), b.std / math.sqrt(b.n))


def significantly_below(a: SeedStatistics, b: SeedStatistics) -> bool:
    """Whether a's mean is below b's by more than two standard errors."""
    error = standard_error(a, b)
    return error is not None and b.mean - a.mean > CERTAIN * error


Answer = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class OrderingCheck:
    """One question: is `lower` below `higher` here too?

    Attributes:
        metric: which.
        lower, higher: rows, in the published order.
        answer: yes or no if our difference exceeds two standard errors.
        why: of an undecided answer, and which way it leans; else empty.
        ours: our (lower, higher), None where there is nothing.
        published: theirs.
    """

    metric: str
    lower: Row
    higher: Row
    answer: Answer
    why: str
    ours: tuple[SeedStatistics | None, SeedStatistics | None]
    published: tuple[SeedStatistics, SeedStatistics]


Cells = Mapping[tuple[Row, str], SeedStatistics]
"""By (row, metric)."""


def ordering_checks(
    ours: Cells, theirs: Cells, rows: Sequence[Row], metrics: Sequence[str]
) -> Iterator[OrderingCheck]:
    """Yield a check for every pair of rows and metric whose published values certainly differ."""
    for metric in metrics:
        known = [row for row in rows if (row, metric) in theirs]
        for lower, higher in permutations(known, 2):
            published = theirs[lower, metric], theirs[higher, metric]
            if significantly_below(*published):
                here = ours.get((lower, metric)), ours.get((higher, metric))
                yield OrderingCheck(metric, lower, higher, *decide(*here), here, published)


def decide(lower: SeedStatistics | None, higher: SeedStatistics | None) -> tuple[Answer, str]:
    """Answer whether `lower` is below `higher`; with one seed of either there is no telling."""
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
    """Count the answers."""
    counted = Counter(check.answer for check in checks)
    return {"yes": counted["yes"], "no": counted["no"], "undecided": counted["undecided"]}
