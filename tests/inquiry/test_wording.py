"""Numbers read well in a sentence, whatever they are."""

import math

import pytest

from training_moat.inquiry import wording


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1234.5, "1,200"),
        (0.0456, "0.046"),
        (3.98, "4.0"),
        (0.598, "0.60"),
        (4.0, "4"),
        (99.6, "100"),
        (3.8e-7, "3.8e-7"),
        (float("inf"), "without limit"),
        (float("nan"), "unknown"),
    ],
)
def test_digits(value, words):
    assert wording.digits(value) == words


def test_percent_counts_and_lists():
    assert wording.percent(0.1234) == "12%"
    assert [wording.whole_percent(one) for one in (-0.003, 0.997, None)] == [
        "0%",
        "100%",
        "unknown",
    ]
    assert wording.counted(1, "chip") == "1 chip"
    assert wording.counted(1024, "chip") == "1,024 chips"
    assert wording.counted(2, "match", "matches") == "2 matches"
    assert [*map(wording.in_days, (1, 2.5, 3650.0))] == ["1 day", "2.5 days", "3,650 days"]
    assert wording.listed(["A", "B", "C"]) == "A, B and C"
    assert wording.listed([]) == "none"
    assert wording.in_cells([1234.5, math.nan]) == ["1,200", ""]
    assert wording.either(["A", "B", "C"]) == "A, B or C" and wording.either(["A"]) == "A"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (None, "times", "unknown"),
        (0.456, "share", "46%"),
        (1.0, "events", "1 event"),
        (1.0, "entries", "1 entry"),
        (1.0, "times", "1.0 times"),
        (3.0, "rank", "rank 3"),
        (1.1e-10, "times", "1.1e-10 times"),
        (1.008e25, "FLOP", "1e25 FLOP"),
        (1000.0, "", "1,000"),
        (2.4817, "times", "2.5 times"),
    ],
)
def test_amounts(value, unit, words):
    assert wording.amount(value, unit) == words


def test_quantity_and_limit_read_apart_exactly_where_they_differ():
    assert wording.apart(1.5002, 1.5, "times") == ("1.5002 times", "1.5 times")
    assert wording.apart(1.54, 1.52) == ("1.54", "1.52")
    assert wording.apart(1.25, 1.25) == ("1.2", "1.25")
    assert wording.apart(0.5002, 0.5, "share") == ("50.02%", "50%")


def test_ranges_with_and_without_an_end():
    assert wording.band(1.2, 3.44, "times") == "1.2 to 3.4 times"
    assert wording.band(0.1, 0.2, "share") == "10% to 20%"
    assert wording.band(1.2, float("inf"), "times") == "1.2 times upwards without limit"
    assert wording.band(float("inf"), float("inf"), "times") == "no number is enough"
    assert wording.band(None, 2.0) == wording.band(2.0, 2.0) == ""


def test_needs_and_lowered():
    assert wording.needs(2.5, "speed") == "needs 2.5 times the speed"
    assert wording.needs(float("inf"), "speed") == "finds no speed high enough"
    assert wording.lowered("Share of it") == "share of it"
    assert wording.lowered("FLOP of it") == "FLOP of it"
    assert wording.lowered("Nvidia's share") == "Nvidia's share"


@pytest.mark.parametrize(
    ("musd", "words"),
    [(40.0, "40 million dollars"), (1000.0, "1 billion dollars"), (2500.0, "2.5 billion dollars")],
)
def test_dollars(musd, words):
    assert wording.dollars(musd) == words
