"""Numbers read well in a sentence, whatever they are."""

import pytest

from training_moat.inquiry import wording


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1234.5, "1,200"),
        (0.0456, "0.046"),
        (float("inf"), "without limit"),
        (float("nan"), "unknown"),
    ],
)
def test_digits(value, words):
    assert wording.digits(value) == words


def test_percent_counts_and_lists():
    assert wording.percent(0.1234) == "12%"
    assert wording.counted(1, "chip") == "1 chip"
    assert wording.counted(1024, "chip") == "1,024 chips"
    assert wording.counted(2, "match", "matches") == "2 matches"
    assert wording.listed(["A", "B", "C"]) == "A, B and C"
    assert wording.listed([]) == "none"
