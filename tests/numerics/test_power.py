"""The power script: what the seen seeds say about how often two sets would disagree."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scripts

from training_moat.numerics.design import FULL, SEEN_SEEDS

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "low_precision" / "power.py"


@pytest.fixture(scope="module")
def power():
    return scripts.loaded(SCRIPT)


def test_it_rests_on_the_seen_seeds_only(power):
    assert set(pd.read_csv(power.SEEN)["seed"]) == set(SEEN_SEEDS)
    assert not set(SEEN_SEEDS) & set(FULL.seeds)


def test_a_set_has_the_size_of_the_design(power):
    runs = pd.read_csv(power.SEEN)
    by_study = {study: dict(iter(part.groupby("seed"))) for study, part in runs.groupby("study")}
    drawn = power.resampled(by_study, np.array(SEEN_SEEDS), FULL, np.random.default_rng(1))
    counts = drawn.groupby("study")["seed"].nunique().to_dict()
    assert counts == {
        "low_rate": FULL.low_rate_seeds,
        "ported": 12,
        "range": FULL.range_seeds,
        "transfer": 12,
    }
    assert (
        len(drawn) == len(FULL.runs()) - len(FULL.log2_rates) * 12 + 12
    )  # seen: without saturation at one rate only


def test_few_seeds_disagree_more_often_than_many(power):
    runs, rng = pd.read_csv(power.SEEN), np.random.default_rng(2)
    differ = {}
    for count in (3, len(FULL.seeds)):
        design = dataclasses.replace(
            FULL, seeds=tuple(range(count)), low_rate_seeds=3, range_seeds=2
        )
        table = power.agreement(runs, design, 3, rng)
        assert table.loc["H1":"H7", ["supported", "open", "contradicted"]].sum(axis=1).eq(1).all()
        differ[count] = table.loc["not all seven alike", "differ"]
    assert differ[3] > differ[len(FULL.seeds)]
