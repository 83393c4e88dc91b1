"""Findings laid out for readers: `table()` has every claim, `verdict_table()` the four arguments of the first page."""

from __future__ import annotations

from typing import Any

import pandas as pd

from training_moat.catalog import tables
from training_moat.claims import grading
from training_moat.claims.base import key_column
from training_moat.claims.grading import Test
from training_moat.claims.judging import Finding, regraded, run
from training_moat.core.errors import InputError, require_known
from training_moat.inquiry import wording
from training_moat.inquiry.wording import band, listed, lowered


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
    return "" if found is None else wording.chance(found)


def _told(test: Test) -> dict[str, str]:
    """What every table of findings says of a test: quantity, number, range (with its kind), threshold, chance, the grade that
    it alone gives, and what would turn that."""
    return {
        "quantity": test.question, "number": test.shown, "range": _range(test),
        "threshold": test.limits.words(test.unit), "chance": chance(test), "grade": test.grade,
        "flips": grading.flip(test).words(),
    }  # fmt: skip


def table(findings: dict[str, Finding]) -> pd.DataFrame:
    """One row per claim for readers.

    Columns: claim, argument, title, paraphrase, those of the deciding test (`_told`; the grade softened by the others), why
    (this quantity), reason (of the threshold), beside_1 to beside_N (the other tests), sets (grades that other thresholds
    give, where they differ), evidence (rows in words), sources, link.
    """
    most = max(len(one.tests) for one in findings.values()) - 1
    rows = []
    for claim, one in findings.items():
        test, anchor = one.deciding, f"#{one.section}" if one.section else ""
        others = [beside(other) for other in one.tests[1:]]
        rows.append({
            "claim": claim, "argument": one.argument, "title": one.title, "paraphrase": one.claim,
            **_told(test), "grade": one.grade, "why": test.why, "reason": test.reason,
            **{f"beside_{n + 1}": others[n] if n < len(others) else "" for n in range(most)},
            "sets": _other_sets(one), "evidence": evidence_words(one),
            "sources": ";".join(one.sources), "link": f"{one.chapter}.html{anchor}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def predictions() -> pd.DataFrame:
    """What the article implies about the time after it, scored by the same rule.

    Columns: prediction, title, implied, those of its test (`_told`), who (rows or names it rests on), sources.
    """
    rows = []
    for record in tables.load("article_predictions").to_dict("records"):
        test = run(record)
        rows.append({
            **{name: record[name] for name in ("prediction", "title", "implied")},
            **_told(test), "who": test.measured.note, "sources": ";".join(test.measured.sources),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _other_sets(finding: Finding) -> str:
    found = {name: regraded(finding, name).grade for name in ("lenient", "strict")}
    other = {name: grade for name, grade in found.items() if grade != finding.grade}
    return listed([f"{grade} with the {name} thresholds" for name, grade in other.items()])


def counts(findings: dict[str, Finding]) -> pd.DataFrame:
    """Number of claims by argument and grade. Columns: argument, grade, claims."""
    frame = pd.DataFrame([{"argument": f.argument, "grade": f.grade} for f in findings.values()])
    frame["grade"] = pd.Categorical(frame["grade"], grading.GRADES)
    found = frame.groupby(["argument", "grade"], observed=False, sort=False).size()
    return found.rename("claims").reset_index().astype({"grade": str})


def relative(findings: dict[str, Finding], argument: str = "") -> pd.DataFrame:
    """Every test's value over its threshold, oriented so that above 1 passes; tests whose threshold or value
    is zero, endless or unknown are left out. An end at or below zero has no place on an axis of ratios and is left out.

    Columns: claim, argument, label (claim and test in words), question, value, low, high, grade, role
    (deciding or beside).
    """
    rows = []
    asked = {claim: one for claim, one in findings.items() if argument in ("", one.argument)}
    for claim, one in asked.items():
        for test in one.tests:
            value = test.relative(test.measured.value)
            if value is None:
                continue
            ends = map(test.relative, (test.measured.low, test.measured.high))
            drawn = [value, *(end for end in ends if end is not None)]
            role = "deciding" if test.deciding else "beside"
            label = f"{claim} {test.name.replace('_', ' ')}{'*' if test.deciding else ''}"
            where = (value, min(drawn), max(drawn))
            rows.append((claim, one.argument, label, test.question, *where, test.grade, role))
    columns = ["claim", "argument", "label", "question", "value", "low", "high", "grade", "role"]
    return pd.DataFrame(rows, columns=columns)


def sources(findings: dict[str, Finding], argument: str) -> tuple[str, ...]:
    """Source keys behind the claims of one argument, once each."""
    own = (finding for finding in findings.values() if finding.argument == argument)
    return tuple(dict.fromkeys(key for finding in own for key in finding.sources))


def rows_behind(finding: Finding) -> pd.DataFrame:
    """The evidence rows a finding rests on. Columns: table, row, confirmed (as the table says)."""
    frame = pd.DataFrame([key.split(":", 1) for key in finding.rows], columns=["table", "row"])
    known: dict[tuple[str, str], Any] = {}
    for name in frame["table"].unique():
        source = tables.load(name)
        column = key_column(source)
        known |= {
            (name, str(row)): word
            for row, word in zip(source[column], source["confirmed"], strict=True)
        }
    pairs = zip(frame["table"], frame["row"], strict=True)
    return frame.assign(confirmed=[known[pair] for pair in pairs])


NAMES_SHOWN = 6
"""Most rows of a table that are named one by one."""


def evidence_words(finding: Finding) -> str:
    """What a finding rests on: rows by table, and how many were not read in their own source."""
    rows = rows_behind(finding)
    if rows.empty:
        return "The model and its published formulas alone."
    told = []
    for name, group in rows.groupby("table", sort=False):
        names = f" ({', '.join(group['row'])})" if len(group) <= NAMES_SHOWN else ""
        told.append(f"{len(group)} of {name.replace('_', ' ')}{names}")
    weak = int((rows["confirmed"] != "yes").sum())
    tail = f"{weak} of these rows partly confirmed or second-hand" if weak else "all confirmed"
    return f"Rows: {', '.join(told)}; {tail}."


def verdict_table(findings: dict[str, Finding]) -> pd.DataFrame:
    """The four arguments, for the first page: each is graded by its deciding test, and softened by what else bears on it
    (`_bearing_on`) as a claim is by its own tests.

    Columns: argument, title, article_says, question, those of the deciding test (`_told`; the grade softened), alone (what
    the number by itself would give), says (what the grade says), decides_for, beside (what else bears on it, in words, a
    list), sources, link.
    """
    rows = []
    for row in tables.load("arguments").to_dict("records"):
        test = _named_test(findings, row["deciding_test"])
        others = _bearing_on(findings, row["argument"], test)
        cited = dict.fromkeys(key for one in (test, *others) for key in one.measured.sources)
        verdict = grading.softened(test.grade, others)
        rows.append({
            **{name: row[name] for name in ("argument", "title", "article_says", "question")},
            **_told(test), "grade": verdict, "alone": test.grade, "says": grading.SAYS[verdict],
            "decides_for": test.measured.note, "beside": [beside(one) for one in others],
            "sources": ";".join(cited), "link": f"{row['chapter']}.html",
        })  # fmt: skip
    return pd.DataFrame(rows)


def arguments_that_turn(findings: dict[str, Finding]) -> list[str]:
    """The titles of the arguments whose side another of the threshold sets would change, all tests judged by it."""
    graded = [
        verdict_table({claim: regraded(one, name) for claim, one in findings.items()}).set_index(
            "title"
        )["grade"]
        for name in grading.SETS
    ]
    return [
        str(title)
        for title in graded[0].index
        if len({grading.side(str(one[title])) for one in graded}) > 1
    ]


def softened_words(table: pd.DataFrame) -> str:
    """Which arguments of `verdict_table` have a softer grade than their deciding number alone would give, and why; blank
    where none has."""
    frame = table[table["grade"] != table["alone"]]
    sides = {1: "against the article", -1: "for the article"}
    told = []
    for (alone, grade), rows in frame.groupby(["alone", "grade"], sort=False):
        names = listed(list(rows["title"].map(lowered)))
        one = len(rows) == 1
        told.append(
            f"By {'its number' if one else 'their numbers'} alone the {'grade' if one else 'grades'} of {names} would be “{alone}”; "
            f"{'it is' if one else 'they are'} “{grade}”, because at least half of the weight of what else bears on {'it' if one else 'each'} "
            f"speaks {sides[grading.side(str(alone))]}."
        )
    return " ".join(told)


def _bearing_on(findings: dict[str, Finding], argument: str, decides: Test) -> list[Test]:
    """What bears on an argument besides the test that decides it, with nothing chosen by hand: the tests that decide the other
    claims of the argument, and those that stand beside it in its own claim where that is one of them."""
    own = [one for one in findings.values() if one.argument == argument]
    bearing = [
        test
        for one in own
        for test in (one.tests if decides in one.tests else (one.deciding,))
        if test is not decides
    ]
    # One quantity that decides two claims bears once.
    return list({test.question: test for test in bearing}.values())


def _named_test(findings: dict[str, Finding], name: str) -> Test:
    claim, _, wanted = name.partition(":")
    require_known("claim", claim, findings, "data/arguments.csv")
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


def not_supported(findings: dict[str, Finding]) -> pd.DataFrame:
    """The other claims: those that the evidence is strongly against first, those that it cannot decide last.

    Columns: claim, paraphrase, quantity, number, range (with its kind), threshold (ours), grade.
    """
    frame, order = table(findings), {grade: place for place, grade in enumerate(NOT_SUPPORTED)}
    frame = frame[frame["grade"].isin(order)]
    frame = frame.sort_values("grade", key=lambda grade: grade.map(order), kind="stable")
    return frame[["claim", "paraphrase", "quantity", "number", "range", "threshold", "grade"]]


NOT_SUPPORTED = (grading.STRONGLY_AGAINST, grading.AGAINST, grading.MIXED, grading.OPEN)
"""Grades of claims that the evidence does not support, the worst first."""


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
    "paraphrase": "the article says, in our words", "decides_for": "speaks for", "flips": "what would turn the grade",
}  # fmt: skip
"""What the columns of `verdict_table` are called in a table for readers."""


def shown(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Some columns of `verdict_table` under the names that readers see."""
    return table[list(columns)].rename(columns=WORDS)
