"""The one rule of grading, and what turns a grade."""

import dataclasses
import operator

import pytest

from training_moat import claims
from training_moat.claims import grading
from training_moat.claims.base import Measured
from training_moat.claims.grading import Test, Thresholds, flip, grade, softened

MORE, LESS = Thresholds(8.0, 10.0, 12.0), Thresholds(12.0, 10.0, 8.0, more=False)


@pytest.mark.parametrize(
    "measured, expected",
    [
        (Measured(None), "open"),
        (Measured(float("nan")), "open"),
        (Measured(12.0), "strongly supported"),
        (Measured(11.0), "leans supported"),
        (Measured(9.0), "leans against"),
        (Measured(7.0), "strongly against"),
        (Measured(15.0, 10.5, 20.0), "strongly supported"),
        (Measured(15.0, 9.0, 20.0), "leans supported"),
        (Measured(15.0, 7.0, 20.0), "mixed"),
        (Measured(15.0, 7.0, 20.0, probability=0.7), "leans supported"),
        (Measured(5.0, 1.0, 9.9), "strongly against"),
        (Measured(5.0, 1.0, 11.0), "leans against"),
        (Measured(5.0, 1.0, 20.0), "mixed"),
        (Measured(5.0, 1.0, 20.0, probability=0.3), "leans against"),
    ],
)
def test_the_rule_and_its_mirror_image(measured, expected):
    assert grade(measured, MORE) == expected
    if measured.value is not None and measured.probability is None:
        ends = (None if end is None else 20.0 - end for end in (measured.high, measured.low))
        mirrored = Measured(20.0 - measured.value, *ends)
        assert grade(mirrored, LESS) == expected


def test_grades_never_go_back_when_the_evidence_goes_up():
    order = {name: place for place, name in enumerate(grading.GRADES)}
    found = [order[grade(Measured(value, value - 1.5, value + 1.5), MORE)] for value in range(21)]
    assert found == sorted(found, reverse=True) and len(set(found)) >= 4


def a_test(measured, limits=MORE, deciding=True, weight=1.0):
    return Test(
        "t", "Number of things", limits, "things", deciding, weight, "why", "reason",
        measured, grade(measured, limits),
    )  # fmt: skip


def test_others_soften_a_strong_grade_and_never_turn_it():
    against, support = a_test(Measured(1.0), weight=0.5), a_test(Measured(20.0), weight=0.5)
    unknown = a_test(Measured(None), weight=1.0)
    assert softened("strongly supported", [against, support]) == "leans supported"
    assert softened("strongly supported", [support, support, against]) == "strongly supported"
    assert softened("strongly supported", [unknown]) == "strongly supported"
    assert softened("strongly against", [support]) == "leans against"
    assert softened("leans supported", [against] * 5) == "leans supported"
    assert softened("mixed", [against] * 5) == "mixed"


TURNS = {
    grading.BELOW: operator.lt,
    grading.ABOVE: operator.gt,
    grading.OR_MORE: operator.ge,
    grading.OR_LESS: operator.le,
}
"""When a value lies on the side of the needed one that turns a grade."""


@pytest.mark.parametrize("limits", [MORE, LESS])
@pytest.mark.parametrize(
    "value, spread", [(15, 0), (11, 0), (9, 0), (5, 0), (15, 8), (5, 8), (11, 2)]
)
def test_the_value_that_turns_a_grade_turns_it(value, spread, limits):
    one = a_test(Measured(float(value), value - spread, value + spread), limits)
    turn = flip(one)
    turns = TURNS[turn.relation]
    assert not turns(turn.now, turn.needed), "what turns it must not be so already"
    nudge = 1e-9 if turn.relation in (grading.ABOVE, grading.OR_MORE) else -1e-9
    assert turns(turn.needed + nudge, turn.needed)
    if turn.part:
        end = "low" if "low" in turn.part else "high"
        moved = dataclasses.replace(one.measured, **{end: turn.needed + nudge})
        assert one.grade == "mixed" and grading.side(grade(moved, limits))
    else:
        moved = Measured(turn.needed + nudge)
        assert grading.side(grade(moved, limits)) == -grading.side(one.grade)


def test_what_would_turn_a_claim_names_quantity_value_and_turning_value():
    for finding in claims.evaluate().values():
        turn = flip(finding.deciding)
        words = finding.flips
        assert turn.question[1:] in words and words.endswith(".")
        now, _, then = words.rsplit(": ", 1)[1].partition(" now; ")
        if turn.now is None:
            assert finding.grade == "open" and now == "unknown"
            continue
        assert not TURNS[turn.relation](turn.now, turn.needed), words
        limit = then.split(" if ")[1].rstrip(".")
        strict = turn.relation in (grading.BELOW, grading.ABOVE)
        assert strict or now != limit.removeprefix("at least ").removeprefix("at most "), (
            f"{finding.claim_id}: says the same twice: {words}"
        )


def test_flips_show_digits_until_value_and_limit_differ():
    near = a_test(Measured(10.04))
    assert (
        flip(near).words()
        == "Number of things: 10.04 things now; no longer supported if below 10 things."
    )


def test_a_limit_of_zero_is_said_as_none():
    limits = Thresholds(1, 0, 0, more=False)
    assert limits.words("startups") == "none"
    turn = flip(a_test(Measured(4), limits))
    assert turn.words() == "Number of things: 4 things now; no longer against if none."
    assert Thresholds(3, 2, 1, more=False).words("startups") == "at most 2 startups"
