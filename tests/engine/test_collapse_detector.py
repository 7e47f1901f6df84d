"""Collapse detection, on synthetic log lines."""

import pytest

from avae.engine.collapse import (
    EXPLODED,
    EXPLOSION_PATIENCE,
    MIN_HISTORY,
    RUNAWAY_PATIENCE,
    SLOW_PATIENCE,
    CollapseDetector,
)

HEALTHY = {"critic": 0.9, "real": -1.0, "fake": 1.0, "diversity": 0.8, "gradient_norm": 20.0}


def lines(count, start=0, every=50, **terms):
    """Return lines for the steps start + every, start + 2 every, ..., healthy except for `terms`."""
    return [{"step": start + every * n} | HEALTHY | terms for n in range(1, count + 1)]


def test_a_healthy_run_shows_nothing():
    detector = CollapseDetector(lines(200))
    assert (detector.violations, detector.collapse) == ([], None)
    assert (str(detector), detector.log_fields()) == ("", {})


@pytest.mark.parametrize(
    ("term", "value", "patience"),
    [
        ("critic", 0.003, SLOW_PATIENCE),
        ("diversity", 0.0, SLOW_PATIENCE),
        ("real", -130.0, RUNAWAY_PATIENCE),
        ("fake", 130.0, RUNAWAY_PATIENCE),
        ("gradient_norm", 20.0 * EXPLODED * 1.1, EXPLOSION_PATIENCE),
    ],
)
def test_each_sign_warns_at_once_and_kills_after_its_patience(term, value, patience):
    detector = CollapseDetector(lines(20))
    for line in lines(patience // 50, start=1000, **{term: value}):
        assert detector.collapse is None
        detector.update(line)
        assert [violation.rule.term for violation in detector.violations] == [term]
        assert detector.log_fields()["symptoms"] == {term: line["step"] - 1000}
    assert detector.collapse.since == 1000
    assert detector.collapse.lasted == patience
    assert detector.log_fields()["collapsed"]


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ("critic", 0.02),
        ("diversity", 0.02),
        ("real", -90.0),
        ("fake", 90.0),
        ("gradient_norm", 20.0 * EXPLODED * 0.9),
        ("critic", None),
        ("fake", float("nan")),
    ],
)
def test_what_stays_within_the_range_is_no_sign(term, value):
    assert CollapseDetector(lines(20) + lines(100, start=1000, **{term: value})).violations == []


def test_one_better_line_starts_the_count_anew():
    """Runs at rho 1 do this: the critic wins for the first 1,200 steps, and training recovers."""
    won = lines(39, critic=0.001)
    assert str(CollapseDetector(won)) == "warning: critic loss 0.001 for 1950 steps"
    again = [*won, *lines(1, start=1950), *lines(39, start=2000, critic=0.001)]
    assert CollapseDetector(again).collapse is None
    assert CollapseDetector(again).violations[0].since == 2000
    last = lines(1, start=3950, critic=0.001)
    assert str(CollapseDetector(again + last)) == "COLLAPSED: critic loss 0.001 for 2000 steps"


def test_one_line_is_never_enough():
    """A single step may dominate its mean, however many steps it covers."""
    long = lines(2, every=10_000, critic=0.0)
    assert CollapseDetector(long[:1]).collapse is None
    assert CollapseDetector(long).collapse is not None


def test_gradients_are_compared_with_what_is_usual_once_that_is_known():
    early = lines(MIN_HISTORY - 1, gradient_norm=1e-3) + lines(
        1, start=50 * (MIN_HISTORY - 1), gradient_norm=1e9
    )
    assert CollapseDetector(early).violations == []
    assert (
        CollapseDetector(early + lines(1, start=50 * MIN_HISTORY, gradient_norm=1e9)).violations[0].value
        == 1e12
    )
    still = lines(20, gradient_norm=0.0) + lines(1, start=1000, gradient_norm=1.0)
    assert CollapseDetector(still).violations == []


def test_an_explosion_never_becomes_usual():
    exploded = lines(1000, start=1000, gradient_norm=20.0 * EXPLODED * 2)
    assert CollapseDetector(lines(20) + exploded).collapse.lasted == 50_000


def test_terms_that_are_missing_are_passed_over():
    """A phase that is due every few steps is logged every few steps."""
    vae = [{"step": 50 * n, "kl": 3.0} for n in range(1, 100)]
    assert CollapseDetector(vae).violations == []
    sparse = [line if n % 2 else {"step": line["step"]} for n, line in enumerate(lines(60, diversity=0.0))]
    assert CollapseDetector(sparse).collapse.since == 50


def test_events_say_nothing():
    event = {"step": 1000, "event": "rollback", "from": 3000, "why": "critic loss", "rate": 0.5}
    before, after = lines(20, critic=0.0), lines(20, start=1000, critic=0.0)
    with_event = CollapseDetector([*before, event, *after])
    assert with_event.violations == CollapseDetector(before + after).violations


def test_reading_the_lines_again_gives_the_same_verdict():
    """As in a resumed run: lines contain the verdicts so far, and null for values that were not finite."""
    told, log = CollapseDetector(), []
    for line in lines(20) + lines(10, 1000, diversity=0.0) + lines(3, 1500, gradient_norm=1e6):
        told.update(line)
        log.append(line | told.log_fields())
    assert CollapseDetector(log).violations == told.violations
    assert [violation.lasted for violation in told.violations] == [150]
