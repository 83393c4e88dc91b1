"""How a claim is graded: one deciding quantity, three thresholds, five grades, and what would turn them.

`RULE` is the rule in words for every page that states it; `grade` is the same rule as code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from training_moat.claims.base import Measured
from training_moat.inquiry.wording import LIKELY, amount, apart, lowered

STRONG, LEANS, MIXED = "strongly supported", "leans supported", "mixed"
AGAINST, STRONGLY_AGAINST, OPEN = "leans against", "strongly against", "open"
GRADES = (STRONG, LEANS, MIXED, AGAINST, STRONGLY_AGAINST, OPEN)
SETS = ("lenient", "ours", "strict")
SAYS = {
    STRONG: "the evidence is clear, and stays so under a stricter threshold",
    LEANS: "the evidence points this way, but a stricter reader may disagree",
    MIXED: "the evidence reaches from one side to the other",
    AGAINST: "the evidence points the other way, but a more lenient reader may disagree",
    STRONGLY_AGAINST: "the evidence is clearly against it, even under a more lenient threshold",
    OPEN: "nothing that was published decides it",
}
"""What each grade says, for readers."""

RULE = (
    "Each claim has one deciding quantity, chosen for what the claim says, with the reason given. It is held against "
    "three thresholds: a lenient one, ours, and a strict one. A claim is *strongly supported* when the central value "
    "passes even the strict threshold and the whole range passes ours. It is *strongly against* when the central "
    "value misses even the lenient threshold and the whole range misses ours.\n\n"
    "It *leans* to a side when the central value lies there by our threshold, and one of two things holds. Either no "
    "end of the range goes past the far threshold (the lenient one for support, the strict one against), or the model "
    "gives that side at least two chances in three. Otherwise it is *mixed*. Where there is no evidence it is *open*.\n\n"
    "Other quantities that bear on the claim are shown with their weights. They can soften a strong grade to a leaning "
    "one, when at least half of their weight lies on the other side. They never turn it."
)

BELOW, ABOVE, OR_MORE, OR_LESS = "below {}", "above {}", "at least {}", "at most {}"


def _limit(relation: str, value: float, told: str) -> str:
    """A side of a limit in words: "at most 2 startups"; none at all where it is at most zero."""
    return "none" if relation == OR_LESS and not value else relation.format(told)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of one test: `ours` and the two around it. more: whether the claim wants at least
    the threshold (True) or at most (False)."""

    lenient: float
    ours: float
    strict: float
    more: bool = True

    def passes(self, value: float, name: str = "ours") -> bool:
        """Whether a value is on the claim's side of one of the thresholds."""
        limit = getattr(self, name)
        return value >= limit if self.more else value <= limit

    def moved(self, name: str) -> Thresholds:
        """The same with another one in the place of ours, as if that reader judged."""
        return replace(self, ours=getattr(self, name))

    def words(self, unit: str) -> str:
        """Ours as a condition in words."""
        return _limit(OR_MORE if self.more else OR_LESS, self.ours, amount(self.ours, unit, 4))


def _ends(measured: Measured, more: bool) -> tuple[float, float]:
    """(worst, best) end of the range for the claim; the value itself where there is no range."""
    known = [end for end in (measured.low, measured.high) if end is not None] or [measured.number]
    return (min(known), max(known)) if more else (max(known), min(known))


def grade(measured: Measured, limits: Thresholds) -> str:
    """The grade that one quantity alone gives a claim (`RULE`)."""
    value = measured.value
    if value is None or math.isnan(value):
        return OPEN
    worst, best = _ends(measured, limits.more)
    chance = measured.probability
    if limits.passes(value):
        if limits.passes(value, "strict") and limits.passes(worst):
            return STRONG
        leans = limits.passes(worst, "lenient") or (chance is not None and chance >= LIKELY)
        return LEANS if leans else MIXED
    if not limits.passes(value, "lenient") and not limits.passes(best):
        return STRONGLY_AGAINST
    leans = not limits.passes(best, "strict") or (chance is not None and chance <= 1 - LIKELY)
    return AGAINST if leans else MIXED


def side(name: str) -> int:
    """1 where a grade supports, -1 where it is against, 0 otherwise."""
    return 1 if name in (STRONG, LEANS) else -1 if name in (AGAINST, STRONGLY_AGAINST) else 0


@dataclass(frozen=True, slots=True)
class Test:
    """One row of data/claim_tests.csv with what was measured and the grade it alone would give."""

    __test__ = False

    name: str
    question: str
    limits: Thresholds
    unit: str
    deciding: bool
    weight: float
    why: str
    reason: str
    measured: Measured
    grade: str

    @property
    def shown(self) -> str:
        """The value in words."""
        return amount(self.measured.value, self.unit)

    def relative(self, value: float | None) -> float | None:
        """A value, or an end of its range, over our threshold, oriented so that above 1 passes; None where that says nothing."""
        limit = self.limits.ours
        if value is None or not 0 < value < math.inf or limit <= 0:
            return None
        return value / limit if self.limits.more else limit / value


def softened(found: str, others: Iterable[Test]) -> str:
    """A strong grade becomes a leaning one when at least half of the others' weight, of those that take a
    side, lies on the other side."""
    weights = {1: 0.0, -1: 0.0}
    for test in others:
        if side(test.grade):
            weights[side(test.grade)] += test.weight
    against = weights[-side(found)] if side(found) else 0.0
    if found in (STRONG, STRONGLY_AGAINST) and against and against >= sum(weights.values()) / 2:
        return LEANS if found == STRONG else AGAINST
    return found


@dataclass(frozen=True, slots=True)
class Flip:
    """What would turn a grade: the quantity, its value now, the value that turns it, and where it goes."""

    question: str
    part: str  # "" for the central value, else which end of the range
    now: float | None
    needed: float
    relation: str  # on which side of `needed` the turning values lie
    becomes: str
    unit: str

    def words(self) -> str:
        """The flip as a sentence that names quantity, value now and turning value."""
        if self.now is None:
            now, needed = "unknown", amount(self.needed, self.unit, 4)
        else:
            now, needed = apart(self.now, self.needed, self.unit)
        limit = _limit(self.relation, self.needed, needed)
        subject = f"{self.part}{lowered(self.question)}" if self.part else self.question
        return f"{subject}: {now} now; {lowered(self.becomes)} if {limit}."


def flip(test: Test) -> Flip:
    """What would turn the grade that a deciding test gives: its central value across our threshold, or, for
    a mixed one, the end of its range that keeps it from leaning."""
    limits, found, more = test.limits, test.measured, test.limits.more
    into, out = (OR_MORE, BELOW) if more else (OR_LESS, ABOVE)
    if test.grade == OPEN:
        becomes = "Supported"
        return Flip(test.question, "", None, limits.ours, into, becomes, test.unit)
    if test.grade != MIXED:
        supported = side(test.grade) > 0
        becomes = f"No longer {'supported' if supported else 'against'}"
        way = out if supported else into
        return Flip(test.question, "", found.value, limits.ours, way, becomes, test.unit)
    holds = limits.passes(found.number)
    end = _ends(found, more)[0 if holds else 1]
    part = f"The {'low' if holds == more else 'high'} end of the range of "
    needed, way = (limits.lenient, into) if holds else (limits.strict, out)
    becomes = f"Leans {'to' if holds else 'against'} the claim"
    return Flip(test.question, part, end, needed, way, becomes, test.unit)
