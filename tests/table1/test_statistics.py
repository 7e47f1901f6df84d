"""Means over seeds, and whether they stand in the published order."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from avae.recipes.paper import DEFAULT_ROWS, PAPER_DATASETS
from avae.table1.published import published
from avae.table1.statistics import (
    SeedStatistics,
    count,
    decide,
    ordering_checks,
    significantly_below,
    standard_error,
    summary,
)

numbers = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))
seeds = st.lists(numbers, min_size=2, max_size=6)


def test_a_summary_by_hand():
    """1, 2 and 6: mean 3, squared deviations 4 + 1 + 9 over n - 1."""
    assert summary([1.0, 2.0, 6.0]) == SeedStatistics(3.0, math.sqrt(7), 3)
    assert summary([4.0]) == SeedStatistics(4.0, None, 1)
    assert summary([]) is None


@given(seeds)
def test_a_summary_is_numpys(values):
    found = summary(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_the_standard_error_by_hand():
    """Of means of five with 3 and of five with 4: sqrt(9/5 + 16/5) = sqrt 5."""
    assert standard_error(SeedStatistics(0, 3, 5), SeedStatistics(9, 4, 5)) == pytest.approx(math.sqrt(5))
    assert standard_error(SeedStatistics(0, None, 1), SeedStatistics(9, 4, 5)) is None


@pytest.mark.parametrize(
    ("lower", "higher", "expected"),
    [
        # The standard error is sqrt 5 = 2.236, twice that 4.472.
        (SeedStatistics(10, 3, 5), SeedStatistics(14.5, 4, 5), ("yes", "")),
        (
            SeedStatistics(10, 3, 5),
            SeedStatistics(14.4, 4, 5),
            ("undecided", "within 2 standard errors, leans to yes"),
        ),
        (
            SeedStatistics(14.4, 3, 5),
            SeedStatistics(10, 4, 5),
            ("undecided", "within 2 standard errors, leans to no"),
        ),
        (SeedStatistics(14.5, 3, 5), SeedStatistics(10, 4, 5), ("no", "")),
        (SeedStatistics(1, None, 1), SeedStatistics(99, 0, 5), ("undecided", "one seed, leans to yes")),
        (SeedStatistics(99, 0, 5), SeedStatistics(1, None, 1), ("undecided", "one seed, leans to no")),
        (SeedStatistics(1, 0, 5), SeedStatistics(1, 0, 5), ("undecided", "equal")),
        (SeedStatistics(1, 0, 5), SeedStatistics(1.01, 0, 5), ("yes", "")),
        (None, SeedStatistics(1, 0, 5), ("undecided", "not measured")),
        (SeedStatistics(1, 0, 5), None, ("undecided", "not measured")),
    ],
)
def test_answers_by_hand(lower, higher, expected):
    assert decide(lower, higher) == expected


@given(seeds, seeds)
def test_turned_around_a_yes_is_a_no(one, other):
    turned = {"yes": "no", "no": "yes", "undecided": "undecided"}
    assert decide(summary(other), summary(one))[0] == turned[decide(summary(one), summary(other))[0]]


@given(seeds, seeds, numbers, st.floats(0.1, 100))
def test_an_answer_does_not_depend_on_zero_or_unit(one, other, shift, scale):
    a, b = summary(one), summary(other)
    error = standard_error(a, b)
    assume(abs(abs(a.mean - b.mean) - 2 * error) > 1e-6)  # else rounding decides
    changed = [summary([scale * value + shift for value in values]) for values in (one, other)]
    assert decide(*changed)[0] == decide(a, b)[0]


@given(seeds, seeds, st.floats(0, 1e3))
def test_a_yes_stays_a_yes_further_apart(one, other, further):
    a, b = summary(one), summary(other)
    if decide(a, b)[0] == "yes":
        assert decide(a, SeedStatistics(b.mean + further, b.std, b.n))[0] == "yes"


@given(st.integers(0, 2**32 - 1))
def test_equal_models_are_seldom_told_apart(seed):
    """Of 200 pairs of means of 20 draws from one distribution some 5 % differ by 2 standard errors."""
    draws = np.random.default_rng(seed).normal(size=(400, 20))
    figures = [summary(list(values)) for values in draws]
    decided = [decide(a, b)[0] for a, b in zip(figures[::2], figures[1::2], strict=True)]
    assert 200 - decided.count("undecided") < 200 * 0.05 + 5 * math.sqrt(200 * 0.05 * 0.95)


@pytest.mark.parametrize("column", PAPER_DATASETS)
def test_the_published_table_agrees_with_itself(column):
    cells = {
        (row, metric): figure for (name, row, metric), figure in published().cells.items() if name == column
    }
    made = list(ordering_checks(cells, cells, DEFAULT_ROWS, ("mse", "lpips", "fid")))
    assert count(made) == {"yes": len(made), "no": 0, "undecided": 0}
    asked = {(check.metric, frozenset((check.lower, check.higher))) for check in made}
    assert len(asked) == len(made), "every pair once"
    for (row, metric), figure in cells.items():
        for (other, kind), another in cells.items():
            if kind == metric and row != other:
                errors = math.sqrt(figure.std**2 / 5 + another.std**2 / 5)
                differs = abs(figure.mean - another.mean) > 2 * errors
                assert ((metric, frozenset((row, other))) in asked) == differs


def test_questions_on_cifar10_by_hand():
    """FID of GAN (32.01 +- .41) against AVAE xi/a (33.65 +- .28), a, b and BiGAN (34.61 +- 1.29): all differ.

    BiGAN against AVAE a (33.49 +- .50): 1.12 apart, standard error .619: too near, as are a and b.
    """
    cells = {
        (row, metric): figure
        for (name, row, metric), figure in published().cells.items()
        if name == "cifar10"
    }
    made = [(check.lower, check.higher) for check in ordering_checks({}, cells, DEFAULT_ROWS, ("fid",))]
    assert {higher for lower, higher in made if lower == "gan"} == set(DEFAULT_ROWS) - {"gan", "avae-xi-b"}
    assert ("avae-a", "bigan") not in made
    assert ("avae-a", "avae-b") not in made
    assert ("avae-b", "avae-a") not in made
    assert all(check.answer == "undecided" for check in ordering_checks({}, cells, DEFAULT_ROWS, ("fid",)))


def test_only_rows_of_the_table_are_asked_about():
    cells = {
        (row, metric): figure for (name, row, metric), figure in published().cells.items() if name == "svhn"
    }
    made = list(ordering_checks({}, cells, ("vae", "avae-xi-b", "gan"), ("mse", "fid")))
    assert [(check.metric, check.lower, check.higher) for check in made] == [("fid", "gan", "vae")]


def test_below_is_never_mutual():
    assert not significantly_below(SeedStatistics(1, 0, 5), SeedStatistics(1, 0, 5))
