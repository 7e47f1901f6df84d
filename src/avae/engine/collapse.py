"""The sentinel: signs that a game is dead, read off the lines of stats.jsonl and off nothing else.

So a resumed run, which reads the lines it kept, judges as one that was never interrupted. Values that are
not finite need no patience: the loop stops at the first line that holds one.
"""

import math
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from avae.errors import UserError

OnCollapse = Literal["stop", "rollback", "ignore"]

MIN_CRITIC_LOSS = 0.01
"""Critic's loss in nats, where 1.386 is a guess: real and generated items lie some 10 apart in logits, and
the critic has next to nothing left to learn."""

MIN_DIVERSITY = 0.01
"""Variance of generated items over that of real ones: a tenth of the contrast, if they differ at all."""

SLOW_PATIENCE = 2000
"""Steps, for these two: more than runs lived through that went well (CIFAR-10, w = 16, rho 1: 1,200)."""

RUNAWAY_LOGIT = 100.0
"""Mean logit, either way. Most runs stay within 10; the largest seen that came back from it was 42."""

RUNAWAY_PATIENCE = 500
"""Steps."""

EXPLODED = 1000.0
"""Gradient norm over the median of its earlier lines; in healthy runs up to 4."""

EXPLOSION_PATIENCE = 200
"""Steps. Adam's are bounded whatever the norm, so a burst is survived; so many are none."""

MIN_CONSECUTIVE = 2
"""In a row, at least: the mean of a single line may be the doing of a single step."""

MIN_HISTORY = 10
"""Earlier lines before a median says what is usual."""


@dataclass(frozen=True)
class CollapseRule:
    """A term that tells of death where it leaves its range for long.

    Attributes:
        term: of the lines; a line without it is passed over.
        words: for it, to the user.
        patience: steps before it is taken for death.
        least, most: the range of its size.
        relative: whether its size is taken over the median of its earlier lines within the range.
    """

    term: str
    words: str
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
    """A sign that shows.

    Attributes:
        sign: which.
        value: in the newest line.
        since: the last step before it.
        step: of the newest line.
        lines: in a row.
    """

    sign: CollapseRule
    value: float
    since: int
    step: int
    lines: int

    @property
    def lasted(self) -> int:
        """Steps so far."""
        return self.step - self.since

    @property
    def fatal(self) -> bool:
        """Whether it has lasted for as long as the sign's patience."""
        return self.lasted >= self.sign.patience and self.lines >= MIN_CONSECUTIVE

    def __str__(self) -> str:
        return f"{self.sign.words} {self.value:.3g} for {self.lasted} steps"


class CollapseDetector:
    """Watches a run.

    Args:
        lines: of stats.jsonl so far.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._watches = [_Watch(sign) for sign in COLLAPSE_RULES]
        self._step = 0
        for line in lines:
            self.update(line)

    def update(self, line: Mapping[str, Any]) -> None:
        """Take in the next line."""
        for watch in self._watches:
            watch.update(line, self._step)
        self._step = line["step"]

    @property
    def symptoms(self) -> list[RuleViolation]:
        """What shows at the newest line."""
        return [watch.symptom for watch in self._watches if watch.symptom]

    @property
    def collapse(self) -> RuleViolation | None:
        """A fatal symptom, if there is one."""
        return next((symptom for symptom in self.symptoms if symptom.fatal), None)

    def __str__(self) -> str:
        """Return what to warn of, on one line; nothing where all is well."""
        if not self.symptoms:
            return ""
        return f"{'COLLAPSED' if self.collapse else 'warning'}: {', '.join(map(str, self.symptoms))}"

    def log_fields(self) -> dict[str, Any]:
        """Return what a line of stats.jsonl says of them: steps by term, and whether one is fatal."""
        lasted = {symptom.sign.term: symptom.lasted for symptom in self.symptoms}
        return {"symptoms": lasted, "collapsed": self.collapse is not None} if lasted else {}


class _Watch:
    """Follows one sign."""

    def __init__(self, sign: CollapseRule) -> None:
        self.symptom: RuleViolation | None = None
        self._sign = sign
        self._usual: list[float] = []

    def update(self, line: Mapping[str, Any], before: int) -> None:
        value = line.get(self._sign.term)
        if value is None or not math.isfinite(value):
            return
        size = self._size(value)
        if size is None or self._sign.least <= abs(size) <= self._sign.most:
            self.symptom = None
            if self._sign.relative:
                insort(self._usual, value)
        else:
            since, lines = (self.symptom.since, self.symptom.lines) if self.symptom else (before, 0)
            self.symptom = RuleViolation(self._sign, size, since, line["step"], lines + 1)

    def _size(self, value: float) -> float | None:
        """Return the value as the sign takes it; None where there is nothing yet to compare it with."""
        if not self._sign.relative:
            return value
        usual = self._usual[len(self._usual) // 2] if len(self._usual) >= MIN_HISTORY else 0.0
        return value / usual if usual else None


class CollapseError(UserError):
    """Training is dead; the message says why and what may be done.

    Attributes:
        step: where that was found out.
        why: in words.
    """

    def __init__(self, step: int, why: str, remedy: str) -> None:
        super().__init__(f"{why}; {remedy}start again with a smaller --learning-rate")
        self.step, self.why = step, why
