"""How a claim is judged: evidence, measured quantities, thresholds, verdicts.

data/claims.csv says what the article claims; data/claim_tests.csv says which quantities decide it,
against which thresholds, and why those. The functions registered with `@measures` compute the
quantities from the tables and the model; nothing here knows how a verdict should come out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from scipy.stats import beta

from training_moat.catalog import models, tables
from training_moat.catalog.cited import cited
from training_moat.core.errors import InputError, unknown
from training_moat.core.workload import Transformer

VERDICTS = ("supported", "partly", "contradicted", "open")
VERDICT_WORDS = {
    "supported": "supported",
    "partly": "partly supported",
    "contradicted": "contradicted",
    "open": "left open",
}
SURE, LIKELY = 0.9, 2 / 3
"""A test with a probability passes from SURE on and probably passes from LIKELY on; it fails and probably
fails at one minus these."""

YES, PROBABLY, UNSURE, PROBABLY_NOT, NO, UNKNOWN = (
    "yes",
    "probably",
    "unsure",
    "probably not",
    "no",
    "unknown",
)


@dataclass
class Evidence:
    """The tables a judgement reads. A test may replace some to see a verdict turn.

    replaced: table name to frame, instead of the file of that name.
    hooks: name to a piece of the model, instead of the model's own.
    """

    replaced: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    hooks: Mapping[str, Any] = field(default_factory=dict)
    _kept: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def table(self, name: str) -> pd.DataFrame:
        """One table, replaced or read."""
        if name in self.replaced:
            return self.replaced[name]
        if name not in self._kept:
            self._kept[name] = tables.load(name)
        return self._kept[name]

    def hook(self, name: str, own: Any) -> Any:
        """A piece of the model: the replacement of that name, or the model's own."""
        return self.hooks.get(name, own)

    def model(self, name: str) -> Transformer:
        """One architecture of the models table, replaced or read."""
        if "models" in self.replaced:
            row = self.row("models", name, "id").dropna()
            return models.from_record(
                {"base": name, **{key: row[key] for key in models.SIZES if key in row}}
            )
        return models.model(name)

    def row(self, name: str, key: str, column: str) -> pd.Series:
        """The row of a table that has `key`; an error with the nearest key when there is none."""
        frame = self.table(name)
        found = frame[frame[column] == key]
        if found.empty:
            raise unknown(f"{name} row", key, frame[column].astype(str))
        return found.iloc[0]


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity that was found: its value, its 90% range or probability where there is one, and
    the rows (`table:key`) and sources it came from. A value of None means no evidence."""

    value: float | None
    low: float | None = None
    high: float | None = None
    probability: float | None = None
    rows: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Test:
    """One row of data/claim_tests.csv with what was measured and how it came out."""

    name: str
    question: str
    comparison: str
    threshold: float
    unit: str
    reason: str
    measured: Measured
    outcome: str

    @property
    def passing(self) -> str:
        """The condition in words."""
        words = {">=": "at least", "<=": "at most"}[self.comparison]
        return f"{words} {shown(self.threshold, self.unit)}"

    def relative(self) -> float | None:
        """The value over the threshold, oriented so that above 1 passes; None where that says nothing."""
        value = self.measured.value
        if value is None or value <= 0 or self.threshold <= 0:
            return None
        return value / self.threshold if self.comparison == ">=" else self.threshold / value

    def distance(self) -> float:
        """How far the value is from its threshold, as a logarithm of their ratio; endless where that says nothing."""
        relative = self.relative()
        return abs(math.log(relative)) if relative else math.inf


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its verdict and everything it rests on. `value` to `probability` are those of the
    deciding test: the one that fails, or else the first."""

    claim_id: str
    argument: str
    claim: str
    tests: tuple[Test, ...]
    verdict: str
    flips: str
    chapter: str
    section: str

    @property
    def deciding(self) -> Test:
        """The test to quote: the first that does not pass, or else the first."""
        rank = {NO: 0, PROBABLY_NOT: 1, UNSURE: 2, PROBABLY: 3, YES: 4, UNKNOWN: 5}
        return min(self.tests, key=lambda test: rank[test.outcome])

    @property
    def probability(self) -> float | None:
        """Probability that the claim's modelled condition holds, where one is modelled."""
        known = [
            test.measured.probability
            for test in self.tests
            if test.measured.probability is not None
        ]
        return min(known) if known else None

    @property
    def sources(self) -> tuple[str, ...]:
        """Source keys of all rows read, in order, once each."""
        return tuple(dict.fromkeys(key for test in self.tests for key in test.measured.sources))

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows read, as table:key."""
        return tuple(dict.fromkeys(key for test in self.tests for key in test.measured.rows))


Measure = Callable[[Evidence], Measured]
_MEASURES: dict[tuple[str, str], Measure] = {}


def measures(claim: str, test: str) -> Callable[[Measure], Measure]:
    """Register the function that measures the quantity of one test of one claim."""

    def register(function: Measure) -> Measure:
        if (claim, test) in _MEASURES:
            raise InputError(f"claims: {claim} {test} is measured twice")
        _MEASURES[claim, test] = function
        return function

    return register


def measured_tests() -> set[tuple[str, str]]:
    """Every (claim, test) that has a function."""
    return set(_MEASURES)


def outcome(measured: Measured, comparison: str, threshold: float) -> str:
    """Whether a test passes: by its probability if it has one, by its whole range if it has one, by
    its value otherwise. A range on both sides of the threshold, or a probability near a half, is unsure."""
    if comparison not in (">=", "<="):
        raise unknown("comparison", comparison, (">=", "<="), "data/claim_tests.csv")
    if measured.value is None:
        return UNKNOWN
    if measured.probability is not None:
        steps = ((SURE, YES), (LIKELY, PROBABLY), (1 - LIKELY, UNSURE), (1 - SURE, PROBABLY_NOT))
        return next((name for least, name in steps if measured.probability >= least), NO)
    ends = [end for end in (measured.low, measured.high) if end is not None] or [measured.value]
    passed = [end >= threshold if comparison == ">=" else end <= threshold for end in ends]
    return YES if all(passed) else NO if not any(passed) else UNSURE


def verdict(outcomes: Iterable[str]) -> str:
    """The verdict of a claim from the outcomes of its tests.

    supported: every test passes. contradicted: at least one fails and none even probably passes or is
    unsure. partly: some part passes or probably passes, but not all. open: everything else.
    """
    kinds = set(outcomes)
    if not kinds:
        raise InputError("claims: a claim needs at least one test")
    if kinds == {YES}:
        return "supported"
    if kinds & {YES, PROBABLY}:
        return "partly"
    if NO in kinds and UNSURE not in kinds:
        return "contradicted"
    return "open"


def shown(value: float | None, unit: str = "") -> str:
    """A quantity for a sentence: three significant digits, large and small powers in words."""
    if value is None:
        return "unknown"
    if math.isinf(value):
        return "without limit"
    if unit == "share":
        return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"
    if unit == "rank":
        return f"rank {value:.0f}"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        text = f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    else:
        text = f"{float(f'{value:.3g}'):,.10g}"
    return f"{text} {unit}".rstrip()


def flips(tests: Iterable[Test]) -> str:
    """What would turn the verdict, in words: of the tests whose opposite outcome changes it, the one
    nearest to its threshold."""
    tests = list(tests)
    known = [test for test in tests if test.outcome != UNKNOWN]
    if not known:
        return "Evidence that settles it: " + "; ".join(test.question for test in tests) + "."
    turned = [(_turned(tests, test), test) for test in known]
    now = verdict(test.outcome for test in tests)
    useful = [pair for pair in turned if pair[0] != now] or turned
    new, test = min(useful, key=lambda pair: pair[1].distance())
    held = test.outcome in (YES, PROBABLY)
    side = {">=": "below" if held else "at least", "<=": "above" if held else "at most"}[
        test.comparison
    ]
    value = shown(test.measured.value, test.unit)
    if test.measured.probability is not None:
        value += f" with a chance of {test.measured.probability:.0%} of passing"
    words = (
        test.question[0].lower() + test.question[1:]
        if test.question[1:2].islower()
        else test.question
    )
    limit = shown(test.threshold, test.unit)
    if new == now:
        return f"No single number turns it; the nearest to its threshold ({side} {limit}): {words}, {value}."
    return f"It would be {VERDICT_WORDS[new]} if this were {side} {limit}: {words}. Found: {value}."


def _turned(tests: list[Test], one: Test) -> str:
    """The verdict if one test came out the other way."""
    opposite = NO if one.outcome in (YES, PROBABLY) else YES
    return verdict(opposite if test is one else test.outcome for test in tests)


def judge(claim_id: str, evidence: Evidence) -> Finding:
    """Measure every test of one claim and give its verdict."""
    claims = evidence.table("claims").set_index("claim")
    if claim_id not in claims.index:
        raise unknown("claim", claim_id, claims.index, "data/claims.csv")
    row = claims.loc[claim_id]
    declared = evidence.table("claim_tests")
    tests = tuple(
        _run(test, evidence) for test in declared[declared["claim"] == claim_id].to_dict("records")
    )
    if not tests:
        raise InputError(f"data/claim_tests.csv: no test for claim {claim_id}")
    return Finding(
        claim_id,
        str(row.argument),
        str(row.paraphrase),
        tests,
        verdict(test.outcome for test in tests),
        flips(tests),
        str(row.chapter),
        str(row.section),
    )


def _run(declared: Mapping[str, object], evidence: Evidence) -> Test:
    key = (str(declared["claim"]), str(declared["test"]))
    if key not in _MEASURES:
        raise unknown(
            "measure", " ".join(key), [" ".join(item) for item in _MEASURES], "data/claim_tests.csv"
        )
    measured = _MEASURES[key](evidence)
    comparison, threshold = str(declared["comparison"]), float(declared["threshold"])
    return Test(
        key[1],
        str(declared["question"]),
        comparison,
        threshold,
        str(declared["unit"]),
        str(declared["reason"]),
        measured,
        outcome(measured, comparison, threshold),
    )


def keys(frame: pd.DataFrame, table: str, column: str | None = None) -> tuple[str, ...]:
    """The rows of a frame as table:key; the key column is `row_id`, or `id` where there is none."""
    column = column or ("row_id" if "row_id" in frame else "id")
    return tuple(f"{table}:{key}" for key in frame[column])


def counted(frame: pd.DataFrame, table: str, value: float | None = None) -> Measured:
    """The number of rows (or a value computed from them), with the rows and their sources."""
    return Measured(
        float(len(frame)) if value is None else value, rows=keys(frame, table), sources=cited(frame)
    )


def share(frame: pd.DataFrame, condition: pd.Series, table: str, sampled: bool = False) -> Measured:
    """The share of a frame's rows for which a condition holds; no evidence when there are no rows.

    sampled: the rows are some of many like them, so the share gets a 90% range (Jeffreys interval:
    Brown, Cai and DasGupta 2001); otherwise they are all there are.
    """
    if frame.empty:
        return Measured(None)
    passed, rows = int(condition.sum()), len(frame)
    low, high = (
        (float(beta.ppf(q, passed + 0.5, rows - passed + 0.5)) for q in (0.05, 0.95))
        if sampled
        else (None, None)
    )
    return Measured(passed / rows, low, high, rows=keys(frame, table), sources=cited(frame))
