"""Sentences of the precision and switching chapters say what their tables hold, also when the tables turn."""

import numpy as np
import pandas as pd
import pytest

from training_moat.inquiry import precision_words, switching_words
from training_moat.inquiry.switching import Breakeven, band


def record(**verdicts):
    return pd.DataFrame(
        {
            "width": ["4 bits", "8 bits", "FP16", "BF16"],
            "verdict": [
                verdicts.get(name, "partly") for name in ("four", "eight", "old", "sixteen")
            ],
        }
    )


def test_answer_follows_the_verdicts():
    transfer = pd.DataFrame({"tuned_on": ["a", "b"], "nats": [0.0001, 0.0004]})
    pairs = pd.DataFrame({"format": ["fp8"], "speedup": [1.5], "peak_ratio": [2.0]})
    text = precision_words.answer(
        record(four="contradicted", sixteen="supported"),
        transfer,
        pairs,
        pd.DataFrame({"diverged": [0.0, 0.5]}),
    )
    assert "At four bits the published record says no" in text and "at BF16 yes" in text
    assert "at most 0.0004 nats" in text and "50% of the runs" in text


def test_missing_measurement_is_said_and_a_measurement_is_reported():
    assert "Not measured yet" in precision_words.gpu_note(pd.DataFrame())
    rows = pd.DataFrame(
        {"quantity": ["share_equal_to_the_model"], "value": [0.5], "machine": ["H200"]}
    )
    assert "H200: 50% to 50%" in precision_words.gpu_note(rows)


def verdicts(first, second, together):
    return pd.DataFrame(
        {"hypothesis": ["H1", "H2"], "first": first, "second": second, "together": together}
    )


def test_verdicts_that_move_are_named_and_those_that_hold_counted():
    held = precision_words.replicated(
        verdicts(["open", "supported"], ["open", "supported"], ["open", "supported"]), (4, 5)
    )
    assert (
        "2 of 2 verdicts are the same" in held
        and "4 and 5 seeds that" in held
        and held.endswith("together: 1 supported, 1 open.")
    )
    moved = precision_words.replicated(
        verdicts(["open", "supported"], ["contradicted", "supported"], ["open", "supported"]),
        (4, 4),
    )
    assert (
        "1 of 2 verdicts" in moved
        and "H1 is open on the first set and contradicted on the other." in moved
    )


def test_margins_and_costs_are_said_as_they_are():
    moved = pd.DataFrame({"octaves": [0.2, 0.9], "low": [0.1, 0.5], "high": [0.3, 1.2]})
    assert "1 of 2 recipes lie within a factor of two" in precision_words.shifts(moved, 1.0).title
    assert "a factor of 1.41" in precision_words.shifts(moved, 0.5).caption
    table = pd.DataFrame(
        {
            "recipe": ["A", "B", "C"],
            "nats": [0.03, -0.004, 0.001],
            "low": [0.01, -1, -1],
            "high": [0.05, 1, 1],
            "bits": [4, 8, 8],
        }
    )
    text = precision_words.added(table)
    assert (
        "0.030 with A (90% interval +0.010 to +0.050)" in text
        and "2 eight-bit recipes change it by -0.004 to +0.001" in text
    )


@pytest.mark.parametrize(
    ("advantage", "word"),
    [(1.1, "small"), (1.5, "clear"), (3.0, "remarkable"), (9.0, "beyond"), (np.inf, "never")],
)
def test_bands(advantage, word):
    assert band(advantage) == word


def test_switching_answer_counts_the_offers_that_reach_the_bar():
    draws = np.array([1.0, 2.0, np.inf])
    bar = Breakeven(draws, draws, (1.0, 2.0, np.inf), (1.0, 2.0, np.inf), 1 / 3)
    text = switching_words.answer(bar, pd.DataFrame({"advantage": [1.0, 2.0, 3.0]}), 1000)
    assert "2 times on paper (90% range 1 times to without limit)" in text
    assert "Of 3 offers with a known price, 2 reached" in text and "In 33%" in text
