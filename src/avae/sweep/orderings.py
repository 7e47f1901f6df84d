"""Do our runs put the models in the paper's order?

Published differences of more than two standard errors are asked about, one by one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from avae.recipes.paper import Row
from avae.sweep.summary import Summary, certainly_below

Answer = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Check:
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
    ours: tuple[Summary | None, Summary | None]
    published: tuple[Summary, Summary]


Cells = Mapping[tuple[Row, str], Summary]
"""By (row, metric)."""


def checks(ours: Cells, theirs: Cells, rows: Sequence[Row], metrics: Sequence[str]) -> Iterator[Check]:
    """Yield a check for every pair of rows and metric whose published values certainly differ."""
    for metric in metrics:
        known = [row for row in rows if (row, metric) in theirs]
        for lower, higher in permutations(known, 2):
            published = theirs[lower, metric], theirs[higher, metric]
            if certainly_below(*published):
                here = ours.get((lower, metric)), ours.get((higher, metric))
                yield Check(metric, lower, higher, *answer(*here), here, published)


def answer(lower: Summary | None, higher: Summary | None) -> tuple[Answer, str]:
    """Answer whether `lower` is below `higher`; with one seed of either there is no telling."""
    if lower is None or higher is None:
        return "undecided", "not measured"
    if certainly_below(lower, higher):
        return "yes", ""
    if certainly_below(higher, lower):
        return "no", ""
    if lower.mean == higher.mean:
        return "undecided", "equal"
    leans = "leans to yes" if lower.mean < higher.mean else "leans to no"
    why = "one seed" if min(lower.n, higher.n) < 2 else "within 2 standard errors"
    return "undecided", f"{why}, {leans}"


def count(checks: Sequence[Check]) -> dict[Answer, int]:
    """Count the answers."""
    counted = Counter(check.answer for check in checks)
    return {"yes": counted["yes"], "no": counted["no"], "undecided": counted["undecided"]}
