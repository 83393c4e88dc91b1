"""Every claim judged, and the findings laid out for readers.

`evaluate()` judges all claims, `table()` lays them out, `verdict_table()` gives the four arguments for the
first page, `under_sets()` and `under_codings()` say which grades move under other thresholds or readings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pandas as pd

from training_moat.catalog import tables
from training_moat.claims import grading
from training_moat.claims.base import KEY_COLUMNS, Evidence, measure_names, measured
from training_moat.claims.grading import Test, Thresholds
from training_moat.core.errors import InputError, unknown
from training_moat.inquiry.uncertainty import Probability
from training_moat.inquiry.wording import band, listed, lowered


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its grade and everything that bears on it; the deciding test comes first."""

    claim_id: str
    argument: str
    title: str
    claim: str
    tests: tuple[Test, ...]
    chapter: str
    section: str

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


def judge(claim_id: str, evidence: Evidence) -> Finding:
    """Measure every quantity that bears on one claim and grade it."""
    claims = evidence.table("claims").set_index("claim")
    if claim_id not in claims.index:
        raise unknown("claim", claim_id, claims.index, "data/claims.csv")
    row, declared = claims.loc[claim_id], evidence.table("claim_tests")
    records = declared[declared["claim"] == claim_id].to_dict("records")
    tests = sorted((_run(record, evidence) for record in records), key=_rank)
    if sum(test.deciding for test in tests) != 1:
        raise InputError(f"data/claim_tests.csv: claim {claim_id} needs exactly one deciding test")
    argument, title, said = (str(row[name]) for name in ("argument", "title", "paraphrase"))
    return Finding(
        claim_id, argument, title, said, tuple(tests), str(row.chapter), str(row.section)
    )


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


def _run(declared: Mapping[str, Any], evidence: Evidence) -> Test:
    found = measured(str(declared["measure"]), declared["arguments"], evidence)
    lenient, middle, strict = (float(declared[name]) for name in ("lenient", "threshold", "strict"))
    limits = Thresholds(lenient, middle, strict, more=declared["comparison"] == ">=")
    return Test(
        name=str(declared.get("test", "")), question=str(declared["question"]), limits=limits, unit=str(declared["unit"]),
        deciding=declared.get("deciding", "yes") == "yes", weight=float(declared.get("weight", 1.0)),
        why=declared["why"] if isinstance(declared.get("why"), str) else "", reason=str(declared["reason"]),
        measured=found, grade=grading.grade(found, limits),
    )  # fmt: skip


def evaluate(evidence: Evidence | None = None, only: Iterable[str] = ()) -> dict[str, Finding]:
    """Judge every claim (or those of `only`), by its number. With the tables as they stand the findings of
    all claims are kept for the process."""
    if evidence is None and not only:
        return dict(_all_findings(tuple(map(tables.state, tables.names()))))
    evidence = evidence or Evidence()
    known = list(evidence.table("claims")["claim"])
    for claim in only:
        if claim not in known:
            raise unknown("claim", claim, known)
    wanted = set(only) or set(known)
    return {claim: judge(claim, evidence) for claim in known if claim in wanted}


@lru_cache(maxsize=2)
def _all_findings(state: tuple) -> dict[str, Finding]:
    return evaluate(Evidence())


def predictions(evidence: Evidence | None = None) -> pd.DataFrame:
    """What the article implies about the time after it, scored by the same rule.

    Columns: prediction, title, implied, quantity, number, range (with its kind), threshold, grade, who (rows
    or names it rests on), flips, sources.
    """
    evidence, rows = evidence or Evidence(), []
    for record in evidence.table("article_predictions").to_dict("records"):
        test = _run(record, evidence)
        rows.append({
            **{name: record[name] for name in ("prediction", "title", "implied")}, "quantity": test.question,
            "number": test.shown, "range": _range(test), "threshold": test.limits.words(test.unit),
            "grade": test.grade, "who": test.measured.note, "flips": grading.flip(test).words(),
            "sources": ";".join(test.measured.sources),
        })  # fmt: skip
    return pd.DataFrame(rows)


def regraded(finding: Finding, thresholds: str) -> Finding:
    """The finding as a reader who uses another of the threshold sets would have it."""
    tests = []
    for test in finding.tests:
        limits = test.limits.moved(thresholds)
        tests.append(replace(test, limits=limits, grade=grading.grade(test.measured, limits)))
    return replace(finding, tests=tuple(tests))


def under_sets(findings: dict[str, Finding] | None = None) -> pd.DataFrame:
    """The grade of every claim under the lenient thresholds, ours and the strict ones.

    Columns: claim, title, lenient, ours, strict, moves (whether the side changes: for, against, neither).
    """
    findings = evaluate() if findings is None else findings
    rows = []
    for claim, one in findings.items():
        grades = {name: regraded(one, name).grade for name in grading.SETS}
        moves = len({grading.side(grade) for grade in grades.values()}) > 1
        rows.append({"claim": claim, "title": one.title, **grades, "moves": moves})
    return pd.DataFrame(rows)


def under_codings() -> pd.DataFrame:
    """The grade of every claim under the first and the second reading of the coded cells.

    Columns: claim, title, first, second, moves (another grade), turns (another side).
    """
    first, second = evaluate(), evaluate(Evidence(coding="second"))
    rows = [(claim, one.title, one.grade, second[claim].grade) for claim, one in first.items()]
    frame = pd.DataFrame(rows, columns=["claim", "title", "first", "second"])
    sides = frame[["first", "second"]].map(grading.side)
    return frame.assign(
        moves=frame["first"] != frame["second"], turns=sides["first"] != sides["second"]
    )


def _range(test: Test) -> str:
    found = test.measured
    ends = band(found.low, found.high, test.unit)
    return f"{ends} ({found.kind})" if ends else ""


def beside(test: Test) -> str:
    """A test that bears on a claim without deciding it, in words: what, how much, where it points and why."""
    ends = f", {_range(test)}" if _range(test) else ""
    return (
        f"{test.question}: {test.shown}{ends}; for the claim {test.limits.words(test.unit)}. Alone: {test.grade} "
        f"(weight {test.weight:g}). {test.reason}."
    )


def chance(test: Test) -> str:
    """The modelled chance of reaching our threshold, in words; blank where none is modelled."""
    found = test.measured.probability
    return "" if found is None else Probability(found, 0.0).percent()


def table(findings: dict[str, Finding] | None = None) -> pd.DataFrame:
    """One row per claim for readers.

    Columns: claim, argument, title, paraphrase, grade, quantity, value, range (with its kind), threshold,
    chance, why (this quantity), reason (of the threshold), flips, beside_1 to beside_N (the other tests),
    sets (grades that other thresholds give, where they differ), evidence (rows in words), sources, link.
    """
    findings = evaluate() if findings is None else findings
    evidence, most = Evidence(), max(len(one.tests) for one in findings.values()) - 1
    rows = []
    for claim, one in findings.items():
        test, anchor = one.deciding, f"#{one.section}" if one.section else ""
        others = [beside(other) for other in one.tests[1:]]
        rows.append({
            "claim": claim, "argument": one.argument, "title": one.title, "paraphrase": one.claim,
            "grade": one.grade, "quantity": test.question, "value": test.shown, "range": _range(test),
            "threshold": test.limits.words(test.unit), "chance": chance(test), "why": test.why,
            "reason": test.reason, "flips": one.flips,
            **{f"beside_{n + 1}": others[n] if n < len(others) else "" for n in range(most)},
            "sets": _other_sets(one), "evidence": evidence_words(one, evidence),
            "sources": ";".join(one.sources), "link": f"{one.chapter}.html{anchor}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _other_sets(finding: Finding) -> str:
    found = {name: regraded(finding, name).grade for name in ("lenient", "strict")}
    told = [
        f"{grade} with the {name} thresholds"
        for name, grade in found.items()
        if grade != finding.grade
    ]
    return listed(told)


def counts(findings: dict[str, Finding] | None = None) -> pd.DataFrame:
    """Number of claims by argument and grade. Columns: argument, grade, claims."""
    findings = evaluate() if findings is None else findings
    frame = pd.DataFrame([{"argument": f.argument, "grade": f.grade} for f in findings.values()])
    frame["grade"] = pd.Categorical(frame["grade"], grading.GRADES)
    found = frame.groupby(["argument", "grade"], observed=False, sort=False).size()
    return found.rename("claims").reset_index().astype({"grade": str})


def relative(findings: dict[str, Finding] | None = None, argument: str = "") -> pd.DataFrame:
    """Every test's value over its threshold, oriented so that above 1 passes; tests whose threshold or value
    is zero, endless or unknown are left out.

    Columns: claim, argument, label (claim and test in words), question, value, low, high, grade, role
    (deciding or beside).
    """
    findings = evaluate() if findings is None else findings
    rows = []
    for claim, one in findings.items():
        for test in one.tests:
            value, limit = test.relative(), test.limits.ours
            if value is None or (argument and one.argument != argument):
                continue
            known = [
                end for end in (test.measured.low, test.measured.high) if end and math.isfinite(end)
            ]
            ends = [value, *(end / limit if test.limits.more else limit / end for end in known)]
            role = "deciding" if test.deciding else "beside"
            label = f"{claim} {test.name.replace('_', ' ')}{'*' if test.deciding else ''}"
            rows.append(
                (
                    claim,
                    one.argument,
                    label,
                    test.question,
                    value,
                    min(ends),
                    max(ends),
                    test.grade,
                    role,
                )
            )
    columns = ["claim", "argument", "label", "question", "value", "low", "high", "grade", "role"]
    return pd.DataFrame(rows, columns=columns)


def sources(findings: dict[str, Finding], argument: str) -> tuple[str, ...]:
    """Source keys behind the claims of one argument, once each."""
    own = (finding for finding in findings.values() if finding.argument == argument)
    return tuple(dict.fromkeys(key for finding in own for key in finding.sources))


def rows_behind(finding: Finding, evidence: Evidence | None = None) -> pd.DataFrame:
    """The evidence rows a finding rests on. Columns: table, row, confirmed (as the table says)."""
    evidence = evidence or Evidence()
    frame = pd.DataFrame([key.split(":", 1) for key in finding.rows], columns=["table", "row"])
    known: dict[tuple[str, str], Any] = {}
    for name in frame["table"].unique():
        source = evidence.table(name)
        column = next(one for one in KEY_COLUMNS if one in source)
        known |= {
            (name, str(row)): word
            for row, word in zip(source[column], source["confirmed"], strict=True)
        }
    pairs = zip(frame["table"], frame["row"], strict=True)
    return frame.assign(confirmed=[known[pair] for pair in pairs])


def evidence_words(finding: Finding, evidence: Evidence | None = None, names_shown: int = 6) -> str:
    """What a finding rests on: rows by table, and how many were not read in their own source."""
    rows = rows_behind(finding, evidence)
    if rows.empty:
        return "The model and its published formulas alone."
    told = []
    for name, group in rows.groupby("table", sort=False):
        names = f" ({', '.join(group['row'])})" if len(group) <= names_shown else ""
        told.append(f"{len(group)} of {name.replace('_', ' ')}{names}")
    weak = int((rows["confirmed"] != "yes").sum())
    tail = f"{weak} of these rows partly confirmed or second-hand" if weak else "all confirmed"
    return f"Rows: {', '.join(told)}; {tail}."


def verdict_table(findings: dict[str, Finding] | None = None) -> pd.DataFrame:
    """The four arguments, for the first page: each is graded by its deciding test, as a claim is.

    Columns: argument, title, article_says, question, quantity, number, range (with its kind), threshold,
    chance, grade, says (what the grade says), decides_for, flips, beside (the key tests in words, a list),
    sources, link.
    """
    findings = evaluate() if findings is None else findings
    rows = []
    for row in tables.load("arguments").to_dict("records"):
        test = _named_test(findings, row["deciding_test"])
        others = [_named_test(findings, name) for name in str(row["key_tests"]).split(";")]
        cited = dict.fromkeys(key for one in (test, *others) for key in one.measured.sources)
        verdict = grading.softened(test.grade, others)
        rows.append({
            "argument": row["argument"], "title": row["title"], "article_says": row["article_says"],
            "question": row["question"], "quantity": test.question, "number": test.shown, "range": _range(test),
            "threshold": test.limits.words(test.unit), "chance": chance(test), "grade": verdict,
            "says": grading.SAYS[verdict], "decides_for": test.measured.note, "flips": grading.flip(test).words(),
            "beside": [beside(one) for one in others], "sources": ";".join(cited), "link": f"{row['chapter']}.html",
        })  # fmt: skip
    return pd.DataFrame(rows)


def _named_test(findings: dict[str, Finding], name: str) -> Test:
    claim, _, wanted = name.partition(":")
    if claim not in findings:
        raise unknown("claim", claim, findings, "data/arguments.csv")
    for test in findings[claim].tests:
        if test.name == wanted:
            return test
    raise InputError(f"data/arguments.csv: claim {claim} has no test '{wanted}'")


def tally(findings: dict[str, Finding], argument: str = "") -> str:
    """How many claims got which grade, in words, the empty grades left out; of one argument, or of all."""
    frame = counts(findings)
    frame = frame[frame["argument"] == argument] if argument else frame
    found = frame.groupby("grade")["claims"].sum().reindex(grading.GRADES, fill_value=0)
    return listed([f"{number} {grade}" for grade, number in found.items() if number])


def deciding_title(findings: dict[str, Finding], argument: str) -> str:
    """How many of one argument's deciding quantities lie on the claim's side."""
    own = [one.deciding for one in findings.values() if one.argument == argument]
    passing = sum(grading.side(test.grade) > 0 for test in own)
    return f"{passing} of {len(own)} deciding quantities lie on the claim's side"


def supported(findings: dict[str, Finding]) -> list[str]:
    """The claims that the evidence supports, strongly or leaning, by number."""
    return [claim for claim, one in findings.items() if grading.side(one.grade) > 0]


def sided(table: pd.DataFrame) -> tuple[str, str, str]:
    """The titles of `verdict_table` that the evidence supports, is against, and leaves undecided, in words."""
    sides = table["grade"].map(grading.side)
    names = table["title"].map(lowered)
    supported, against, undecided = (listed(list(names[sides == side])) for side in (1, -1, 0))
    return supported, against, undecided


def as_of() -> str:
    """Month up to which sources were read."""
    return str(tables.load("sources")["accessed"].dropna().max())


WORDS = {
    "argument": "strand", "title": "argument", "article_says": "the article says", "number": "found",
    "quantity": "what decides it", "range": "range and its kind", "threshold": "it would hold if it is",
    "decides_for": "speaks for", "flips": "what would turn the grade",
}  # fmt: skip
"""What the columns of `verdict_table` are called in a table for readers."""


def shown(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Some columns of `verdict_table` under the names that readers see."""
    return table[list(columns)].rename(columns=WORDS)
