"""The chips table against Epoch AI's independent table: they agree, or the row's notes say how they differ."""

import pandas as pd
import pytest

from training_moat.catalog import tables

SAME = 0.02
"""Rounding of units stays below this."""

PAIRS = [
    ("bf16_tflops", "bf16_tflops", 1),
    ("fp8_tflops", "fp8_tflops", 1),
    ("fp4_tflops", "fp4_tflops", 1),
    ("int8_tops", "int8_tops", 1),
    ("memory_gb", "hbm_gb", 1),
    ("memory_tb_per_s", "hbm_tb_per_s", 1),
    ("tdp_w", "tdp_w", 1),
    ("internode_gbit_per_s", "scaleout_gbit_per_s_per_chip", 1),
    ("intranode_gb_per_s_both_directions", "scaleup_gb_per_s_per_direction", 2),
]
"""Column there, column here, and the factor between them: Epoch AI counts links in both directions."""


def compared(theirs, ours, factor):
    history = tables.load("hardware_history").dropna(subset=["chip_id", theirs])
    chips = tables.load("chips").dropna(subset=[ours])
    both = history.merge(
        chips[["id", ours, "notes"]],
        left_on="chip_id",
        right_on="id",
        suffixes=("_theirs", "_ours"),
    )
    value = both[theirs if theirs != ours else f"{theirs}_theirs"]
    return both.assign(ratio=value / (factor * both[ours if theirs != ours else f"{ours}_ours"]))


@pytest.mark.parametrize(("theirs", "ours", "factor"), PAIRS)
def test_differences_are_noted(theirs, ours, factor):
    both = compared(theirs, ours, factor)
    assert len(both) >= 4
    differ = both[
        ((both["ratio"] - 1).abs() > SAME)
        & (both[[column for column in both if column.startswith(ours)]].min(axis=1) > 0)
    ]
    unsaid = differ[~differ["notes"].fillna("").str.contains("Epoch AI:")]
    assert unsaid["chip_id"].tolist() == []


def test_most_figures_agree():
    ratios = pd.concat([compared(*pair)["ratio"] for pair in PAIRS])
    assert ((ratios - 1).abs() <= SAME).mean() > 0.8
