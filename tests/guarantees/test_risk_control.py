"""Bound, smallest scale and number of pictures agree with closed forms; the promise holds on a known law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from avae.errors import UserError
from avae.guarantees.risk_control import (
    fewest_items,
    hoeffding_bentkus,
    require_enough,
    smallest_controlled,
)

shares = st.floats(0.01, 0.99)
counts = st.integers(1, 5000)


def by_hand(mean: float, n: int, a: float) -> float:
    """The p-value, written with logarithms and a sum of binomial terms."""
    r = min(mean, a)
    h = (r * math.log(r / a) if r else 0.0) + (1 - r) * math.log((1 - r) / (1 - a))
    at_most = sum(math.comb(n, k) * a**k * (1 - a) ** (n - k) for k in range(math.ceil(n * mean) + 1))
    return min(math.exp(-n * h), math.e * at_most, 1.0)


@pytest.mark.parametrize(
    ("mean", "n", "a"), [(0.0, 22, 0.1), (0.03, 100, 0.1), (0.25, 60, 0.3), (0.9, 9, 0.5)]
)
def test_the_p_value_is_that_of_its_equation(mean, n, a):
    assert hoeffding_bentkus(mean, n, a) == pytest.approx(by_hand(mean, n, a), rel=1e-12)


@given(st.floats(0, 1), counts, shares)
def test_the_p_value_agrees_with_scipy(mean, n, a):
    below = min(mean, a)
    h = sum(x * math.log(x / y) for x, y in ((below, a), (1 - below, 1 - a)) if x > 0)
    expected = min(math.exp(-n * h), math.e * binom.cdf(math.ceil(n * mean), n, a), 1.0)
    assert hoeffding_bentkus(mean, n, a) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50), counts, shares)
def test_the_p_value_grows_with_the_loss(means, n, a):
    p = hoeffding_bentkus(np.sort(means), n, a)
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p) >= -1e-12).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), counts, shares, shares)
def test_the_smallest_scale_is_safe_with_all_above_it_and_the_next_one_is_not(means, n, a, risk):
    losses = np.sort(means)[::-1]
    found = smallest_controlled(losses, n, a, risk)
    safe = hoeffding_bentkus(losses, n, a) <= risk * (1 + 1e-9)
    first = len(losses) if found is None else found
    assert safe[first:].all()
    assert first == 0 or not safe[first - 1]


def test_the_search_begins_at_large_scales():
    """A small scale that looks safe by itself, below one that is not, is not taken."""
    assert smallest_controlled([0.0, 0.5, 0.0, 0.0], 100, 0.1, 0.1) == 2
    assert smallest_controlled([0.0, 0.0, 0.5], 100, 0.1, 0.1) is None


@given(st.floats(0.005, 0.9), st.floats(0.005, 0.9))
def test_the_fewest_items_are_the_fewest_that_support_it_without_any_loss(miss, risk):
    n = fewest_items(miss, risk)
    assert hoeffding_bentkus(0.0, n, miss) <= risk * (1 + 1e-9)
    assert n == 1 or hoeffding_bentkus(0.0, n - 1, miss) > risk * (1 - 1e-9)


@pytest.mark.parametrize(("miss", "risk", "fewest"), [(0.5, 0.125, 3), (0.3, 0.7, 1), (0.3, 0.49, 2)])
def test_exactly_enough_items_without_any_loss_are_safe(miss, risk, fewest):
    """The p-value is the risk itself, up to rounding."""
    assert fewest_items(miss, risk) == fewest
    assert smallest_controlled([1.0, 0.0], fewest, miss, risk) == 1


def test_what_cannot_be_supported_is_refused_with_the_number_it_takes():
    assert fewest_items(0.1, 0.1) == 22
    require_enough(22, 0.1, 0.1)
    with pytest.raises(
        UserError, match=r"21 held-out pictures .* --miss 0.1 --risk 0.1: it takes 22 or more"
    ):
        require_enough(21, 0.1, 0.1)
    for miss, risk, flag in ((0, 0.1, "--miss 0"), (1, 0.1, "--miss 1"), (0.1, 2, "--risk 2")):
        with pytest.raises(UserError, match=f"{flag}: choose a share"):
            require_enough(1000, miss, risk)


def test_the_promise_holds_on_a_known_law():
    """Losses are uniform on [0, 2 r], r = 1 / (1 + s) at scale s, so the risk of a choice is known."""
    scales = np.linspace(0, 40, 401)
    risks, n, repetitions = 1 / (1 + scales), 100, 400
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(repetitions):
        means = risks * (2 * random.random(n)).mean()
        missed += risks[smallest_controlled(means, n, 0.1, 0.1)] > 0.1
    assert missed / repetitions <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / repetitions)
    # It can fail: the scale whose mean loss is just below 0.1 misses half of the time.
    naive = [risks[np.argmax(risks * (2 * random.random(n)).mean() <= 0.1)] > 0.1 for _ in range(400)]
    assert np.mean(naive) > 0.3
