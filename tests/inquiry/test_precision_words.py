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
            "verdict": [verdicts.get(name, "partly") for name in ("four", "eight", "old", "sixteen")],
        }
    )


def test_answer_follows_the_verdicts():
    transfer = pd.DataFrame({"tuned_on": ["a", "b"], "nats": [0.001, 0.25]})
    pairs = pd.DataFrame({"format": ["fp8"], "speedup": [1.5], "peak_ratio": [2.0]})
    text = precision_words.answer(
        record(four="contradicted", sixteen="supported"), transfer, pairs, pd.DataFrame({"diverged": [0.0, 0.5]})
    )
    assert "At four bits the published record says no" in text and "at BF16 yes" in text
    assert "0.250 nats" in text and "50% of the runs" in text


def test_missing_measurement_is_said_and_a_measurement_is_reported():
    assert "Not measured yet" in precision_words.gpu_note(pd.DataFrame())
    rows = pd.DataFrame({"quantity": ["share_equal_to_the_model"], "value": [0.5], "machine": ["H200"]})
    assert "H200: 50% to 50%" in precision_words.gpu_note(rows)


@pytest.mark.parametrize(
    ("advantage", "word"), [(1.1, "small"), (1.5, "clear"), (3.0, "remarkable"), (9.0, "beyond"), (np.inf, "never")]
)
def test_bands(advantage, word):
    assert band(advantage) == word


def test_switching_answer_counts_the_offers_that_reach_the_bar():
    draws = np.array([1.0, 2.0, np.inf])
    bar = Breakeven(draws, draws, (1.0, 2.0, np.inf), (1.0, 2.0, np.inf), 1 / 3)
    text = switching_words.answer(bar, pd.DataFrame({"advantage": [1.0, 2.0, 3.0]}), 1000)
    assert "2 times on paper (90% range 1 times to without limit)" in text
    assert "Of 3 offers with a known price, 2 reached" in text and "In 33%" in text
