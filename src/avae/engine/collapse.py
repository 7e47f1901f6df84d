"""Detect training collapse from stats.jsonl alone, so that a resumed run reaches the same verdict.

Values that are not finite need no patience: the loop stops at the first line that contains one.
"""

import math
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from avae.errors import UserError

OnCollapse = Literal["stop", "rollback", "ignore"]

MIN_CRITIC_LOSS = 0.01
"""Critic loss in nats; a guessing critic has 1.386. Below this, the logits of real and generated items differ
by about 10, and the critic has almost nothing left to learn."""

MIN_DIVERSITY = 0.01
"""Variance of generated items divided by that of real items: a tenth of the contrast."""

SLOW_PATIENCE = 2000
"""Steps allowed for these two: more than successful runs took to recover (CIFAR-10, w = 16, rho 1: 1,200)."""

RUNAWAY_LOGIT = 100.0
"""Absolute mean logit. Most runs stay within 10; the largest value that a run recovered from was 42."""

RUNAWAY_PATIENCE = 500
"""Steps allowed beyond `RUNAWAY_LOGIT`."""

EXPLODED = 1000.0
"""Gradient norm divided by the median of earlier lines; at most 4 in healthy runs."""

EXPLOSION_PATIENCE = 200
"""Steps allowed beyond `EXPLODED`. Adam's steps are bounded for any norm, so a run survives a short burst."""

MIN_CONSECUTIVE = 2
"""Minimum number of consecutive lines: a single step may dominate the mean in a single line."""

MIN_HISTORY = 10
"""Minimum number of earlier lines for a median."""


@dataclass(frozen=True)
class CollapseRule:
    """A term of the log, and the range it must not leave for long.

    Attributes:
        term: name of the term; lines without it are skipped.
        label: name of the term in messages.
        patience: number of steps outside the range that count as collapse.
        least, most: range of the absolute value.
        relative: True to divide the value by the median of the earlier values within the range.
    """

    term: str
    label: str
    patience: int
    least: float = 0.0
    most: float = math.inf
    relative: bool = False


COLLAPSE_RULES = (
    CollapseRule("critic", "critic loss", SLOW_PATIENCE, least=MIN_CRITIC_LOSS),
    CollapseRule("diversity", "diversity", SLOW_PATIENCE, least=MIN_DIVERSITY),
    CollapseRule("real", "mean logit of real items", RUNAWAY_PATIENCE, most=RUNAWAY_LOGIT),
    CollapseRule("fake", "mean logit of generated items", RUNAWAY_PATIENCE, most=RUNAWAY_LOGIT),
    CollapseRule(
        "gradient_norm", "gradient norm over its median", EXPLOSION_PATIENCE, most=EXPLODED, relative=True
    ),
)


@dataclass(frozen=True)
class RuleViolation:
    """A term that is outside its range.

    Attributes:
        rule: the violated rule.
        value: value in the newest line.
        since: last step before the violation.
        step: step of the newest line.
        lines: number of consecutive lines.
    """

    rule: CollapseRule
    value: float
    since: int
    step: int
    lines: int

    @property
    def lasted(self) -> int:
        """Number of steps so far."""
        return self.step - self.since

    @property
    def fatal(self) -> bool:
        """True if the violation has lasted for the patience of its rule."""
        return self.lasted >= self.rule.patience and self.lines >= MIN_CONSECUTIVE

    def __str__(self) -> str:
        return f"{self.rule.label} {self.value:.3g} for {self.lasted} steps"


class CollapseDetector:
    """Check every line of the log against all rules.

    Args:
        lines: lines of stats.jsonl so far.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._checkers = [_RuleChecker(rule) for rule in COLLAPSE_RULES]
        self._step = 0
        for line in lines:
            self.update(line)

    def update(self, line: Mapping[str, Any]) -> None:
        """Check the next line."""
        for checker in self._checkers:
            checker.update(line, self._step)
        self._step = line["step"]

    @property
    def violations(self) -> list[RuleViolation]:
        """Violations at the newest line."""
        return [checker.violation for checker in self._checkers if checker.violation]

    @property
    def collapse(self) -> RuleViolation | None:
        """First fatal violation, or None."""
        return next((violation for violation in self.violations if violation.fatal), None)

    def __str__(self) -> str:
        """Return a warning on one line; empty without violations."""
        if not self.violations:
            return ""
        return f"{'COLLAPSED' if self.collapse else 'warning'}: {', '.join(map(str, self.violations))}"

    def log_fields(self) -> dict[str, Any]:
        """Return the fields for a line of stats.jsonl: steps by violated term, and whether one is fatal."""
        lasted = {violation.rule.term: violation.lasted for violation in self.violations}
        return {"symptoms": lasted, "collapsed": self.collapse is not None} if lasted else {}


class _RuleChecker:
    """Check one rule, line by line."""

    def __init__(self, rule: CollapseRule) -> None:
        self.violation: RuleViolation | None = None
        self._rule = rule
        self._history: list[float] = []  # sorted

    def update(self, line: Mapping[str, Any], before: int) -> None:
        rule, value = self._rule, line.get(self._rule.term)
        if value is None or not math.isfinite(value):
            return
        if rule.relative:
            enough = len(self._history) >= MIN_HISTORY
            median = self._history[len(self._history) // 2] if enough else 0.0
            size = value / median if median else None
        else:
            size = value
        if size is None or rule.least <= abs(size) <= rule.most:
            self.violation = None
            if rule.relative:
                insort(self._history, value)
        else:
            since, lines = (self.violation.since, self.violation.lines) if self.violation else (before, 0)
            self.violation = RuleViolation(rule, size, since, line["step"], lines + 1)


class CollapseError(UserError):
    """Training has collapsed; the message names the reason and the remedies.

    Attributes:
        step: step at which the collapse was detected.
        why: the reason, as text.
    """

    def __init__(self, step: int, why: str, remedy: str) -> None:
        super().__init__(f"{why}; {remedy}start again with a smaller --learning-rate")
        self.step, self.why = step, why
