"""The back-test: what the model said, year by year, against what was used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import chips, parameters
from training_moat.contest import backtest, reference_jobs
from training_moat.inquiry import chronicle


@pytest.mark.parametrize(
    ("words", "vendor"),
    [
        ("Google TPU v4", "Google"),
        ("NVIDIA H100 SXM5 80GB", "NVIDIA"),
        ("Huawei Ascend 910B", "Huawei"),
        ("Amazon Trainium2", "AWS"),
        ("AMD Instinct MI250X", "AMD"),
        ("Cerebras CS-2", "Cerebras"),
        ("nan", None),
    ],
)
def test_a_run_belongs_to_the_maker_its_hardware_names(words, vendor):
    found = chronicle.maker_of(pd.Series([words])).dropna().tolist()
    assert found == ([vendor] if vendor else [])


def test_no_chip_is_offered_before_its_launch():
    for year in (2019, 2022, 2025):
        for chip in backtest.offered_in(year):
            assert reference_jobs.launched(chip) <= pd.Timestamp(f"{year}-{backtest.MID_YEAR}")
    assert "h100-sxm" not in {chip.id for chip in backtest.offered_in(2022)}
    assert "h100-sxm" in {chip.id for chip in backtest.offered_in(2023)}


def test_runs_are_counted_once_and_by_size():
    found = backtest.runs(1e23)
    assert not found["model"].duplicated().any()
    assert (found["training_flop"] >= 1e23).all()
    assert len(backtest.runs(1e25)) < len(found)


def test_the_largest_size_that_may_be_asked_for_has_a_run():
    largest = parameters.schema("backtest")["least_flop"].high
    assert len(backtest.runs(largest)) >= 1
    assert backtest.by_year(largest)["runs"].sum() == len(backtest.runs(largest))


def test_an_outcome_follows_from_forecast_and_fact():
    frame = pd.DataFrame(
        {
            "year": [2020] * 4,
            "vendor": ["NVIDIA", "B", "C", "D"],
            "gap": [1.0, 3.0, 1.5, np.inf],
            "stops_at": ["", "", "", "does the job"],
            "hbm_gb": [80.0, 10.0, 90.0, 0.0],
            "share": [0.9, 0.1, 0.0, 0.0],
            "competitive": [True, False, True, False],
            "used": [True, True, False, False],
        }
    )
    rules = backtest.rank_correlations(frame).set_index("rule")
    assert rules.loc["the model", "right"] == 0.5
    assert rules.loc["Nvidia always", "right"] == 0.75
    assert rules.loc["largest HBM", "right"] == 0.25
    assert rules.loc["the model", "correlation"] > 0


@pytest.mark.slow
def test_the_incumbent_is_never_behind_its_own_yardstick():
    own = [one for one in backtest.offers() if one.vendor == backtest.INCUMBENT]
    # One quote of a rented GH200 against other sellers' H100s made Nvidia's chip of 2023 three times as cheap as itself.
    assert len(own) == len(backtest.YEARS)
    assert all(one.gap == 1 and one.chip == one.against for one in own)
    # A gap is to a chip of Nvidia's that the table names: one that two pages set against two rivals had two gaps.
    named = {(one.year, one.against) for one in backtest.offers()}
    assert len(named) == len(backtest.YEARS)
    assert chips.chip("v100").name in {one.chip for one in own}


def test_without_prices_every_gap_is_counted_in_chip_days():
    """Dollars and chip-days are ranked together in one year; the page tells what the order is without that mixture."""
    priced, alike = backtest.by_year(), backtest.by_year(priced=False)
    assert set(alike["unit"]) == {"chip-days"} < set(priced["unit"])
    wafer = (priced["vendor"] == "Cerebras") & (priced["year"] == 2022)
    assert (alike.loc[wafer, "gap"] < priced.loc[wafer, "gap"]).all()
