"""Every claim judged: `evaluate()` judges all, `under_sets()` and `under_codings()` say which grades move under other
thresholds or readings. How findings are laid out for readers: `telling`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from training_moat.catalog import files, tables
from training_moat.claims import grading
from training_moat.claims.base import measure_names, measured
from training_moat.claims.grading import Test, Thresholds
from training_moat.core.errors import InputError, require_known, unknown


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its grade and everything that bears on it; the deciding test comes first. asked: files of the tables that
    it asked for."""

    claim_id: str
    argument: str
    title: str
    claim: str
    tests: tuple[Test, ...]
    chapter: str
    section: str
    asked: frozenset[str] = frozenset()

    @property
    def deciding(self) -> Test:
        """The one test that decides."""
        return self.tests[0]

    @property
    def grade(self) -> str:
        """The deciding test's grade, softened where the others point the other way."""
        return grading.softened(self.deciding.grade, self.tests[1:])

    @property
    def flips(self) -> str:
        """What would turn it, in a sentence."""
        return grading.flip(self.deciding).words()

    @property
    def sources(self) -> tuple[str, ...]:
        """Source keys of all rows read, in order, once each."""
        return tuple(dict.fromkeys(key for test in self.tests for key in test.measured.sources))

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows read, as table:key."""
        return tuple(dict.fromkeys(key for test in self.tests for key in test.measured.rows))


def judge(claim_id: str) -> Finding:
    """Measure every quantity that bears on one claim and grade it."""
    claims = tables.load("claims").set_index("claim")
    require_known("claim", claim_id, claims.index, "data/claims.csv")
    row, declared = claims.loc[claim_id], tables.load("claim_tests")
    records = declared[declared["claim"] == claim_id].to_dict("records")
    with files.counted() as asked:
        tests = sorted((run(record) for record in records), key=_rank)
    if sum(test.deciding for test in tests) != 1:
        raise InputError(f"data/claim_tests.csv: claim {claim_id} needs exactly one deciding test")
    argument, title, said = (str(row[name]) for name in ("argument", "title", "paraphrase"))
    return Finding(
        claim_id, argument, title, said, tuple(tests), str(row.chapter), str(row.section),
        frozenset(asked),
    )  # fmt: skip


def problems() -> list[str]:
    """Claims that cannot be judged as declared, one sentence each: no test that decides, or a measure that is none."""
    if not {"claims", "claim_tests"} <= set(tables.names()):
        return []
    declared = tables.load("claim_tests")
    found = [
        f"data/claim_tests.csv: claim {claim} needs exactly one deciding test"
        for claim in tables.load("claims")["claim"]
        if ((declared["claim"] == claim) & (declared["deciding"] == "yes")).sum() != 1
    ]
    for name in dict.fromkeys(declared["measure"]):
        if name not in measure_names():
            found.append(str(unknown("measure", name, measure_names(), "data/claim_tests.csv")))
    return found


def _rank(test: Test) -> tuple[bool, float]:
    return not test.deciding, -test.weight


def run(declared: Mapping[str, Any]) -> Test:
    """Measure and grade one row of data/claim_tests.csv."""
    found = measured(str(declared["measure"]), declared["arguments"])
    lenient, middle, strict = (float(declared[name]) for name in ("lenient", "threshold", "strict"))
    limits = Thresholds(lenient, middle, strict, more=declared["comparison"] == ">=")
    return Test(
        name=str(declared.get("test", "")), question=str(declared["question"]), limits=limits, unit=str(declared["unit"]),
        deciding=declared.get("deciding", "yes") == "yes", weight=float(declared.get("weight", 1.0)),
        why=declared["why"] if isinstance(declared.get("why"), str) else "", reason=str(declared["reason"]),
        measured=found, grade=grading.grade(found, limits),
    )  # fmt: skip


def evaluate() -> dict[str, Finding]:
    """Judge every claim, by its number."""
    return {claim: judge(claim) for claim in tables.load("claims")["claim"]}


def regraded(finding: Finding, thresholds: str) -> Finding:
    """The finding as a reader who uses another of the threshold sets would have it."""
    tests = []
    for test in finding.tests:
        limits = test.limits.moved(thresholds)
        tests.append(replace(test, limits=limits, grade=grading.grade(test.measured, limits)))
    return replace(finding, tests=tuple(tests))


def under_sets(findings: dict[str, Finding]) -> pd.DataFrame:
    """The grade of every claim under the lenient thresholds, ours and the strict ones.

    Columns: claim, title, lenient, ours, strict, moves (whether the side changes: for, against, neither).
    """
    rows = []
    for claim, one in findings.items():
        grades = {name: regraded(one, name).grade for name in grading.SETS}
        moves = len({grading.side(grade) for grade in grades.values()}) > 1
        rows.append({"claim": claim, "title": one.title, **grades, "moves": moves})
    return pd.DataFrame(rows)


def second_reading() -> dict[str, pd.DataFrame]:
    """The tables with coded cells, each as it was read again."""
    names = sorted(tables.load("second_coding")["table"].unique())
    return {name: tables.read_again(name) for name in names}


def under_codings(findings: dict[str, Finding]) -> pd.DataFrame:
    """The grade of every claim under the first and the second reading of the coded cells.

    Columns: claim, title, first, second, moves (another grade), turns (another side).
    """
    read = second_reading()
    changed = {files.path_of(name).name for name in read}
    with tables.replaced(**read):
        # One that asked for none of these tables is as it was.
        rows = [
            (claim, one.title, one.grade, (judge(claim) if one.asked & changed else one).grade)
            for claim, one in findings.items()
        ]
    frame = pd.DataFrame(rows, columns=["claim", "title", "first", "second"])
    sides = frame[["first", "second"]].map(grading.side)
    return frame.assign(
        moves=frame["first"] != frame["second"], turns=sides["first"] != sides["second"]
    )
