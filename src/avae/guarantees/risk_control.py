"""Risk control: the smallest scale of intervals whose expected loss is bounded with high probability.

Risk-controlling prediction sets (Bates, Angelopoulos, Lei, Malik, Jordan, 2021, arXiv 2101.02703), as
im2im-uq uses them for pictures (Angelopoulos et al., 2022, arXiv 2202.05265). The losses of n independent
items of one distribution are in [0, 1] and do not grow with the scale. If the scale is chosen by
`smallest_controlled`, then with probability 1 - risk over these n items the expected loss of a new one is at
most `miss`.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, rel_entr

from avae.errors import UserError, counted

_ROUNDING = 1e-9
"""Relative rounding error of a p-value, at most."""


def hoeffding_bentkus(mean_loss: ArrayLike, count: int, miss: float) -> NDArray[np.float64]:
    """Return the p-value of "the expected loss exceeds `miss`", given the mean loss of `count` items.

    p = min(exp(-n h(min(R, a), a)), e P(Bin(n, a) <= ceil(n R))), h(x, a) = x log(x / a) + (1 - x)
    log((1 - x) / (1 - a)), with R the mean loss and a = miss: the tighter of both bounds.
    """
    mean = np.asarray(mean_loss, dtype=np.float64)
    below = np.minimum(mean, miss)
    hoeffding = np.exp(-count * (rel_entr(below, miss) + rel_entr(1 - below, 1 - miss)))
    bentkus = math.e * bdtr(np.minimum(np.ceil(count * mean), count), count, miss)
    p: NDArray[np.float64] = np.minimum(np.minimum(hoeffding, bentkus), 1.0)
    return p


def smallest_controlled(mean_losses: ArrayLike, count: int, miss: float, risk: float) -> int | None:
    """Return the index of the smallest scale that is safe, as are all larger ones; None if it is none.

    Args:
        mean_losses: (S,) mean losses of the items at growing scales, chosen before the items were seen.
        count: number of items.
        miss: bound of the expected loss.
        risk: probability with which the bound may fail.
    """
    unsafe = np.flatnonzero(hoeffding_bentkus(mean_losses, count, miss) > risk * (1 + _ROUNDING))
    first = int(unsafe[-1]) + 1 if len(unsafe) else 0
    return first if first < len(np.asarray(mean_losses)) else None


def fewest_items(miss: float, risk: float) -> int:
    """Return the number of items from which a bound can hold: without any loss, p is (1 - miss)^n."""
    return math.ceil(round(math.log(risk) / math.log1p(-miss), 12))  # 3 may be computed as 3 + 4e-16


def require_enough(count: int, miss: float, risk: float) -> None:
    """Raise UserError if `count` items cannot support what is asked, or no number of items can."""
    for name, value in (("miss", miss), ("risk", risk)):
        if not 0 < value < 1:
            raise UserError(f"--{name} {value:g}: choose a share between 0 and 1, such as 0.1")
    needed = fewest_items(miss, risk)
    if count < needed:
        raise UserError(
            f"{counted(count, 'held-out picture')} cannot support --miss {miss:g} --risk {risk:g}: it takes "
            f"{needed:,} or more, and several hundred for narrow intervals; add some, or raise one of both"
        )
