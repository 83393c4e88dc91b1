"""Software from measured pairs, and the memory that a challenger's machines would have taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import measured_training
from training_moat.catalog import chips, tables
from training_moat.contest import counterfactual, hbm_demand, software_pairs, uptime_supply


def runs(rows):
    columns = [*software_pairs.SAME, "chips", "software", "source", "base", "rate", "day"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(day=pd.to_datetime(frame["day"]))


@pytest.fixture
def measured(monkeypatch):
    same = ("llama2-7b", "h100-sxm", 4096, "bf16")
    told = runs(
        [
            (*same, 8, "nemo", "a", "nemo", 100.0, "2024-01-01"),
            (*same, 8, "fsdp", "b", "fsdp", 50.0, "2024-01-01"),
            (*same, 8, "nemo-2026", "a", "nemo", 130.0, "2025-01-01"),
            (*same, 512, "fsdp", "d", "fsdp", 10.0, "2025-01-01"),
        ]
    )
    monkeypatch.setattr(software_pairs, "rates", lambda: told)
    return told


def test_the_slower_stack_is_over_the_faster_and_only_near_sizes_count(measured):
    found = software_pairs.other_stack()
    assert found["slower"].tolist() == ["fsdp"] and found["faster"].tolist() == ["nemo"]
    # Two pairs on eight chips: 50 against 100, and 50 against 130.
    assert found["pairs"].iloc[0] == 2
    assert found["ratio"].iloc[0] == pytest.approx(np.median([0.5, 50 / 130]))


def test_a_later_run_of_the_same_stack_shows_its_progress(measured):
    found = software_pairs.same_stack_later().set_index("stack")
    assert found.loc["nemo", "gain"] == pytest.approx(1.3)
    assert "fsdp" not in found.index


def test_other_hands_are_no_progress_of_a_stack(measured, monkeypatch):
    """A trial of switches on one GH200 and another group's runs nine months later had stood as a stack that lost half."""
    others = measured.assign(source=["a", "b", "c", "d"])
    monkeypatch.setattr(software_pairs, "rates", lambda: others)
    assert software_pairs.same_stack_later().empty


def test_the_tables_hold_pairs_of_both_kinds():
    other, later = software_pairs.other_stack(), software_pairs.same_stack_later()
    assert len(other) >= 10 and other["ratio"].between(0, 1).all()
    assert len(later) >= 5 and (later["years"] >= 0.45).all()


def test_models_without_a_row_of_their_own_are_compared_by_name_and_shape():
    """OneFlow beside Megatron on V100, of models that the table of models lacks: 274 of 2,090 runs had no pair for want of
    an id, and four for want of a date that the order of two stacks does not need."""
    usable = measured_training.usable().frame
    assert len(software_pairs.rates()) == len(usable.dropna(subset=["software", "format"]))
    pairs = software_pairs.other_stack()
    assert pairs["source"].str.contains("dlperf_oneflow").any()
    assert pairs["source"].str.contains("axlearn_fuji").any()
    own = usable[usable["model_id"].isna()].groupby(["model", "layers", "hidden"])
    assert (
        software_pairs.rates()["model_id"].nunique() == own.ngroups + usable["model_id"].nunique()
    )


def test_only_years_on_record_to_their_end_count():
    world = uptime_supply.hbm_shipped()
    assert world["year"].is_unique and (world["low"] <= world["gb"]).all()
    assert 2024 in set(world["year"])


def test_chips_that_are_counted_together_are_counted():
    """H100 and H200 share a row without an id: the memory of four million of them had been left out of the world's."""
    counts = tables.load("chip_counts")
    both = counts[(counts["chip"] == "H100/H200") & counts["start_date"].str.startswith("2023")]
    world = uptime_supply.hbm_shipped().set_index("year")["gb"]
    h100, h200 = (uptime_supply.hbm_gb(chips.chip(name)) for name in ("h100-sxm", "h200"))
    assert world[2023] > both["units_median"].sum() * h100
    assert uptime_supply._mean_hbm_gb("H100/H200", "2023-12-31") == h100
    assert uptime_supply._mean_hbm_gb("H100/H200", "2024-12-31") == pytest.approx((h100 + h200) / 2)
    assert uptime_supply._mean_hbm_gb("nobody's", "2024-12-31") == 0.0
    assert world.is_monotonic_increasing


def test_a_chip_of_december_has_the_memory_of_the_year_after():
    """MI300X could be had from December 2023, and its first business had been held against the memory of 2023."""
    world = uptime_supply.hbm_shipped().set_index("year")["gb"]
    assert uptime_supply.hbm_of(2023) == world[2023] and uptime_supply.hbm_of(1999) == world.iloc[0]
    late = uptime_supply.hbm_of(uptime_supply.years(pd.Timestamp("2023-12-06")))
    assert late == pytest.approx(world[2023] / 12 + world[2024] * 11 / 12)


def test_a_run_takes_its_chips_memory_and_a_chip_without_hbm_none():
    found = hbm_demand.demand(counterfactual.splits(["mi250x", "groq-lpu-v1"])).set_index("chip")
    row = found.loc["mi250x"]
    assert row["run_share"] / row["business_share"] == pytest.approx(
        row["chips"] / hbm_demand.BUSINESS_CHIPS
    )
    assert np.isnan(found.loc["groq-lpu-v1", "run_share"])
