"""p-values are counts, and false alarms are as rare as promised."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avae.errors import UserError
from avae.guarantees.conformal import conformal_p_values, fewest_held_out, require_enough_held_out

numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=40)  # with ties


@given(numbers, numbers)
def test_p_values_count_what_is_at_least_as_strange(scores, held_out):
    expected = [(1 + sum(each >= score for each in held_out)) / (len(held_out) + 1) for score in scores]
    assert conformal_p_values(scores, held_out).tolist() == pytest.approx(expected)


@given(numbers)
def test_over_all_orders_of_n_plus_1_items_p_is_no_smaller_than_uniform(items):
    """Each item in turn is the new one: with equal probabilities, P(p <= a) <= a for every a."""
    rows = range(len(items))
    p = np.array([conformal_p_values([items[k]], [items[i] for i in rows if i != k])[0] for k in rows])
    for a in p:
        assert (p <= a).mean() <= a + 1e-12


def test_false_alarms_are_as_rare_as_promised():
    random = np.random.default_rng(0)
    rates = [
        (conformal_p_values(random.standard_normal(200), random.standard_normal(99)) <= 0.05).mean()
        for _ in range(300)
    ]
    assert np.mean(rates) <= 0.05 + 3 * np.std(rates) / math.sqrt(len(rates))
    assert np.mean(rates) > 0.04  # 5 of 100 ranks: the bound is met, not only kept


def test_too_few_held_out_items_are_refused_with_the_number_it_takes():
    assert [fewest_held_out(rate) for rate in (0.5, 0.1, 0.05, 0.01, 0.3)] == [1, 9, 19, 99, 3]
    require_enough_held_out(99, 0.01)
    with pytest.raises(UserError, match=r"98 held-out items .* --false-alarms 0.01: .* it takes 99 or more"):
        require_enough_held_out(98, 0.01)
    with pytest.raises(UserError, match="--false-alarms 1: choose a share"):
        require_enough_held_out(98, 1)
