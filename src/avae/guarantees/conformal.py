"""Conformal p-values: how strange an item is among n items that are not.

If an item and the n are exchangeable, P(p <= a) <= a for every a, over the item and the n together (Vovk,
Gammerman, Shafer, 2005; Bates, Candès, Lei, Romano, Sesia, 2023, arXiv 2104.08279).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avae.errors import UserError, counted


def conformal_p_values(scores: ArrayLike, held_out: ArrayLike) -> NDArray[np.float64]:
    """Return p = (1 + #{held-out scores >= score}) / (n + 1) for each score; large scores are strange.

    Args:
        scores: (M,) scores of items.
        held_out: (n,) scores of held-out items.
    """
    ordered = np.sort(np.asarray(held_out, dtype=np.float64))
    at_least = len(ordered) - np.searchsorted(ordered, np.asarray(scores, dtype=np.float64), side="left")
    p: NDArray[np.float64] = (1 + at_least) / (len(ordered) + 1)
    return p


def fewest_held_out(rate: float) -> int:
    """Return the number n of held-out items from which the smallest p-value, 1 / (n + 1), is <= `rate`."""
    return math.ceil(round(1 / rate - 1, 9))


def require_enough_held_out(count: int, rate: float) -> None:
    """Raise UserError if `count` held-out items cannot raise an alarm at this rate of false alarms."""
    if not 0 < rate < 1:
        raise UserError(f"--false-alarms {rate:g}: choose a share between 0 and 1, such as 0.01")
    needed = fewest_held_out(rate)
    if count < needed:
        raise UserError(
            f"{counted(count, 'held-out item')} cannot support --false-alarms {rate:g}: no p-value would be "
            f"that small; it takes {needed:,} or more: add some, or raise the rate"
        )
