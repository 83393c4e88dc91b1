"""The article, claim by claim: every verdict computed from the tables and the model.

`evaluate()` judges all claims, `table()` lays them out for a reader, `verdict_table()` gives the four
arguments for the first page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import pandas as pd

from training_moat.catalog import tables
from training_moat.claims import (  # noqa: F401  (they register measures)
    base,
    history_strand,
    market_strand,
    memory_strand,
    networking_strand,
    precision_strand,
)
from training_moat.claims.base import (
    VERDICTS,
    Evidence,
    Finding,
    Measured,
    Test,
    flips,
    judge,
    measured_tests,
    shown,
    verdict,
)
from training_moat.core.errors import InputError, unknown
from training_moat.inquiry.uncertainty import Probability

OUTCOME_COLOURS = {
    base.YES: "#0f8b6d",
    base.PROBABLY: "#5a9a08",
    base.UNSURE: "#7a8591",
    base.PROBABLY_NOT: "#cf7a00",
    base.NO: "#c0392b",
}
"""Colour of a test's outcome in charts, in the hues of the verdicts."""

__all__ = [
    "OUTCOME_COLOURS",
    "VERDICTS",
    "Evidence",
    "Finding",
    "Measured",
    "Test",
    "argument_table",
    "closest_table",
    "counts",
    "evaluate",
    "evidence_words",
    "judge",
    "measured_tests",
    "relative",
    "rows_behind",
    "sources",
    "table",
    "verdict_table",
]


def evaluate(evidence: Evidence | None = None, only: Iterable[str] = ()) -> dict[str, Finding]:
    """Judge every claim (or those of `only`), by its number. With the tables as they stand the
    findings of all claims are kept for the process."""
    if evidence is None and not only:
        return dict(_all_findings(_state()))
    evidence = evidence or Evidence()
    known = list(evidence.table("claims")["claim"])
    for claim in only:
        if claim not in known:
            raise unknown("claim", claim, known)
    return {claim: judge(claim, evidence) for claim in known if not only or claim in set(only)}


def _state() -> tuple:
    return tuple(tables.state(name) for name in tables.names())


@lru_cache(maxsize=2)
def _all_findings(state: tuple) -> dict[str, Finding]:
    evidence = Evidence()
    return {claim: judge(claim, evidence) for claim in evidence.table("claims")["claim"]}


def _link(finding: Finding) -> str:
    return f"{finding.chapter}.html" + (f"#{finding.section}" if finding.section else "")


def _range(test: Test) -> str:
    found = test.measured
    if found.low is None or found.high is None or found.low == found.high:
        return ""
    low = shown(found.low, test.unit if test.unit == "share" else "")
    return f"{low} to {shown(found.high, test.unit)}"


def _passed(tests: Iterable[Test]) -> int:
    return sum(test.outcome == base.YES for test in tests)


def table(findings: dict[str, Finding] | None = None) -> pd.DataFrame:
    """One row per claim for readers.

    Columns: claim, argument, title, paraphrase, verdict, quantity, value, range, threshold,
    probability (blank without a model), chance (the same in words), flips, passed (tests), evidence (rows in words), sources, link.
    """
    findings = evaluate() if findings is None else findings
    titles = tables.load("claims").set_index("claim")["title"]
    evidence, rows = Evidence(), []
    for claim, finding in findings.items():
        test = finding.deciding
        rows.append(
            {
                "claim": claim,
                "argument": finding.argument,
                "title": titles[claim],
                "paraphrase": finding.claim,
                "verdict": finding.verdict,
                "quantity": test.question,
                "value": shown(test.measured.value, test.unit),
                "range": _range(test),
                "threshold": test.passing,
                "probability": finding.probability,
                "chance": ""
                if finding.probability is None
                else Probability(finding.probability, 0.0).percent(),
                "flips": finding.flips,
                "passed": f"{_passed(finding.tests)} of {len(finding.tests)}",
                "evidence": evidence_words(finding, evidence),
                "sources": ";".join(finding.sources),
                "link": _link(finding),
            }
        )
    return pd.DataFrame(rows)


def counts(findings: dict[str, Finding] | None = None) -> pd.DataFrame:
    """Number of claims by argument and verdict. Columns: argument, verdict, claims."""
    findings = evaluate() if findings is None else findings
    frame = pd.DataFrame(
        [{"argument": f.argument, "verdict": f.verdict} for f in findings.values()]
    )
    frame["verdict"] = pd.Categorical(frame["verdict"], VERDICTS)
    found = (
        frame.groupby(["argument", "verdict"], observed=False, sort=False)
        .size()
        .rename("claims")
        .reset_index()
    )
    return found.assign(verdict=found["verdict"].astype(str))


def relative(findings: dict[str, Finding] | None = None, argument: str = "") -> pd.DataFrame:
    """Every test's value over its threshold, oriented so that above 1 passes; tests whose threshold or
    value is zero, endless or unknown are left out.

    Columns: claim, argument, test, label (claim and test in words), question, value, low, high, outcome, verdict.
    """
    findings = evaluate() if findings is None else findings
    rows = []
    for claim, finding in findings.items():
        for test in finding.tests:
            value = test.relative()
            if value is None or (argument and finding.argument != argument):
                continue
            ends = [
                value
                if end is None or end <= 0 or math.isinf(end)
                else (end / test.threshold if test.comparison == ">=" else test.threshold / end)
                for end in (test.measured.low, test.measured.high)
            ]
            rows.append(
                {
                    "claim": claim,
                    "argument": finding.argument,
                    "test": test.name,
                    "label": f"{claim} {test.name.replace('_', ' ')}",
                    "question": test.question,
                    "value": value,
                    "low": min(ends),
                    "high": max(ends),
                    "outcome": test.outcome,
                    "verdict": finding.verdict,
                }
            )
    return pd.DataFrame(rows)


def closest_table(findings: dict[str, Finding], count: int) -> pd.DataFrame:
    """The results nearest to their thresholds, for a table: claim, quantity, found, holds if, factor off."""
    # A count that just meets its threshold, such as one event of one, is not close but exact.
    tests = [
        (claim, test)
        for claim, finding in findings.items()
        for test in finding.tests
        if test.relative() and test.distance() > 0
    ]
    tests = sorted(tests, key=lambda pair: pair[1].distance())[:count]
    return pd.DataFrame(
        [
            {
                "claim": claim,
                "quantity": test.question,
                "found": shown(test.measured.value, test.unit),
                "the claim holds if it is": test.passing,
                "outcome": test.outcome,
                "times from threshold": math.exp(test.distance()),
            }
            for claim, test in tests
        ]
    )


def sources(findings: dict[str, Finding], argument: str) -> tuple[str, ...]:
    """Source keys behind the claims of one argument, once each."""
    own = (finding for finding in findings.values() if finding.argument == argument)
    return tuple(dict.fromkeys(key for finding in own for key in finding.sources))


def rows_behind(finding: Finding, evidence: Evidence | None = None) -> pd.DataFrame:
    """The evidence rows a finding rests on. Columns: table, row, confirmed (as the table says)."""
    evidence = evidence or Evidence()
    frame = pd.DataFrame([key.split(":", 1) for key in finding.rows], columns=["table", "row"])
    known = {}
    for name in frame["table"].unique():
        source = evidence.table(name)
        column = next(one for one in ("row_id", "id", "name", "service") if one in source)
        known |= {
            (name, str(row)): word
            for row, word in zip(source[column], source["confirmed"], strict=True)
        }
    return frame.assign(
        confirmed=[
            known[table, row] for table, row in zip(frame["table"], frame["row"], strict=True)
        ]
    )


def evidence_words(finding: Finding, evidence: Evidence | None = None, listed: int = 6) -> str:
    """What a finding rests on, for a reader: rows by table, and how many were not read in their own source."""
    rows = rows_behind(finding, evidence)
    if rows.empty:
        return "The model and its published formulas alone."
    told = []
    for table, group in rows.groupby("table", sort=False):
        names = f" ({', '.join(group['row'])})" if len(group) <= listed else ""
        told.append(f"{len(group)} of {table.replace('_', ' ')}{names}")
    weak = int((rows["confirmed"] != "yes").sum())
    tail = (
        f"; {weak} of these rows partly confirmed or second-hand"
        if weak
        else "; all read in a source"
    )
    return "Rows: " + ", ".join(told) + tail + "."


def argument_table(findings: dict[str, Finding] | None = None) -> list[dict]:
    """The four arguments with everything behind them: the quoted test, all key tests, the verdict."""
    findings = evaluate() if findings is None else findings
    rows = []
    for row in tables.load("arguments").to_dict("records"):
        tests = [_named_test(findings, name) for name in str(row["key_tests"]).split(";")]
        rows.append(
            row
            | {
                "quoted": _named_test(findings, str(row["quoted_test"])),
                "tests": tests,
                "verdict": verdict(test.outcome for test in tests),
                "flips": flips(tests),
            }
        )
    return rows


def _named_test(findings: dict[str, Finding], name: str) -> Test:
    claim, _, wanted = name.partition(":")
    if claim not in findings:
        raise unknown("claim", claim, findings, "data/arguments.csv")
    for test in findings[claim].tests:
        if test.name == wanted:
            return test
    raise InputError(f"data/arguments.csv: claim {claim} has no test '{wanted}'")


def verdict_table(findings: dict[str, Finding] | None = None) -> pd.DataFrame:
    """The four headline arguments, for the first page.

    Columns: argument, title, article_says, quantity, value, low, high (numbers, 90% range), unit, number
    and range (in words), threshold (in words), probability (of reaching it, blank without a model),
    verdict, flips, passed, tests, sources, link.
    """
    rows = []
    for row in argument_table(findings):
        test, found = row["quoted"], row["quoted"].measured
        cited = dict.fromkeys(key for one in row["tests"] for key in one.measured.sources)
        rows.append(
            {
                "argument": row["argument"],
                "title": row["title"],
                "article_says": row["article_says"],
                "quantity": test.question,
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "unit": test.unit,
                "number": shown(found.value, test.unit),
                "range": _range(test),
                "threshold": test.passing,
                "probability": found.probability,
                "verdict": row["verdict"],
                "flips": row["flips"],
                "passed": _passed(row["tests"]),
                "tests": len(row["tests"]),
                "sources": ";".join(cited),
                "link": f"{row['chapter']}.html",
            }
        )
    return pd.DataFrame(rows)
