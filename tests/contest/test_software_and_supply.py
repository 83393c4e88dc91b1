"""Software from measured pairs, and the memory that a challenger's machines would have taken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

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
            (*same, 8, "nemo-2026", "c", "nemo", 130.0, "2025-01-01"),
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


def test_the_tables_hold_pairs_of_both_kinds():
    other, later = software_pairs.other_stack(), software_pairs.same_stack_later()
    assert len(other) >= 10 and other["ratio"].between(0, 1).all()
    assert len(later) >= 5 and (later["years"] >= 0.45).all()


def test_only_years_on_record_to_their_end_count():
    world = uptime_supply.hbm_shipped()
    assert world["year"].is_unique and (world["low"] <= world["gb"]).all()
    assert 2024 in set(world["year"])


def test_a_run_takes_its_chips_memory_and_a_chip_without_hbm_none():
    found = hbm_demand.demand(counterfactual.splits(["mi250x", "groq-lpu-v1"])).set_index("chip")
    row = found.loc["mi250x"]
    assert row["run_share"] / row["business_share"] == pytest.approx(
        row["chips"] / hbm_demand.BUSINESS_CHIPS
    )
    assert np.isnan(found.loc["groq-lpu-v1", "run_share"])
