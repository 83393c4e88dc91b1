"""Whole runs are asked as their owners trained them."""

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import goodput
from training_moat.contest import published_costs
from training_moat.predict import training_plans


def test_a_whole_run_is_asked_with_its_owners_batch_format_and_stack():
    rows = goodput.published()
    run = rows[rows["model_id"] == "deepseek-v3"].iloc[0].to_dict()
    asked = goodput.request(run)
    assert asked["global_batch"] == 15_360 and asked["precision"] == "fp8"
    assert asked["software"] == "hai-llm" and asked["chips"] == 2048
    silent = goodput.request(rows[rows["model_id"] == "llama3.1-8b"].iloc[0].to_dict())
    assert silent["global_batch"] * silent["seq_len"] == training_plans.CUSTOMARY_BATCH_TOKENS


def test_deepseeks_hours_are_explained():
    """2.664 million H800 hours, read in its report; a batch of 4 million tokens would make it 4.3 million of steps alone."""
    found = goodput.runs().set_index("model_id")
    assert 0.7 < found.loc["deepseek-v3", "goodput"] < 1.0


def test_hours_of_another_owner_lie_in_the_range_of_the_others():
    """By hand for three sources of one run each: sd of the logs is 0.2, t(0.95, 2) = 2.92, sqrt(1 + 1/3) = 1.1547, and within
    a source the least scatter."""
    shares = np.exp([-0.2, -0.4, -0.6])
    low, high = goodput.hours_range(pd.DataFrame({"goodput": shares, "source": ["a", "b", "c"]}))
    assert np.log(high) == pytest.approx(2.92 * np.hypot(0.2 * 1.1547, 0.02), rel=1e-3)
    assert low == pytest.approx(1 / high)


def test_nine_in_ten_whole_runs_lie_in_the_range_that_the_others_give():
    found = published_costs.against_published()
    assert found["inside"].mean() >= 0.85


def test_owners_of_whole_runs_are_fewer_than_their_sources():
    """Four of five sources are Meta's, which the page had not said."""
    frame = goodput.published()
    found = goodput.owners(frame)
    assert found.sum() == frame["source"].nunique() > len(found) > 1
    assert found.index[0] == "Meta" and found.is_monotonic_decreasing
