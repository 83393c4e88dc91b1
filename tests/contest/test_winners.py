"""Who should have won: the offer against the need, draw by draw, and what came of it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from training_moat.catalog import chips, tables
from training_moat.contest import coalitions, counterfactual, gates, winners
from training_moat.inquiry import chronicle, switching

CHIPS = ["mi250x", "bow-ipu", "groq-lpu-v1"]


@pytest.fixture(scope="module")
def needed():
    return switching.breakeven(1000.0, draws=2**10)


@pytest.fixture(scope="module")
def found(needed):
    return winners.table(needed, CHIPS)


def with_gap(one, times):
    """A split whose every draw offers `times` the yardstick's performance per dollar."""
    parts = np.zeros_like(one.drawn_shapley)
    parts[:, 0] = -np.log(times)
    return replace(one, drawn_shapley=parts)


def test_the_chance_is_the_share_of_buyers_whose_need_is_met(needed):
    one = with_gap(counterfactual.split("mi250x"), 1.7)
    assert winners.chance(one, needed) == pytest.approx(np.mean(needed.in_use <= 1.7))


def test_more_offered_never_pays_less_and_equal_cost_pays_nobody(needed):
    one = counterfactual.split("mi250x")
    chances = [winners.chance(with_gap(one, times), needed) for times in (1.0, 1.5, 2.0, 8.0)]
    assert chances == sorted(chances) and chances[0] == 0.0


def test_offers_are_those_of_the_counterfactual(found):
    row, split = found.set_index("chip").loc["mi250x"], counterfactual.split("mi250x")
    assert row["advantage"] == pytest.approx(1 / split.gap)
    assert (row["low"], row["high"]) == pytest.approx((1 / split.high, 1 / split.low))


def test_a_chip_that_cannot_do_the_job_should_not_have_won(found):
    row = found.set_index("chip").loc["groq-lpu-v1"]
    assert not row["expected"] and row["chance"] == pytest.approx(0.0)
    assert row["outcome"] == "should not have paid; no model of others on record"


def test_only_runs_that_stand_and_are_whole_count():
    runs, used = tables.load("runs_non_nvidia"), winners.trained_on()
    refused = set(runs.loc[runs["confirmed"] == "no", "row_id"])
    each = chronicle.by_chip(runs)
    own = each[(each["chip_id"] == "mi250x") & ~each["row_id"].isin(refused)]
    assert used.loc["mi250x"].sum() <= own["model"].nunique()
    assert used.loc["mi250x", "others"] >= 1


def test_a_run_of_unknown_size_counts_as_use():
    """The largest users of a cloud's own chip publish no size."""
    assert winners.trained_on().loc["trainium2", "others"] >= 1


def test_a_model_that_several_chips_trained_counts_with_each():
    """Marin 8B on two TPUs, OLMo on MI250X and A100 and JIUTIAN on Ascend and A800 had counted with no chip at all: their
    rows name several, and the column of the one chip is blank."""
    runs = chronicle.pretraining_elsewhere()
    blank = runs[runs["chip_id"].isna()]
    each = chronicle.by_chip(blank).groupby("model")["chip_id"].agg(set)
    assert each["Marin 8B"] == {"tpu-v4", "tpu-v5e"}
    assert "mi250x" in each["OLMo-7B"] and "ascend-910b" in each["JIUTIAN-139MoE"]
    assert "SaulLM-large" not in each.index and "openPangu-2.0-Pro" not in each.index
    told = runs.dropna(subset="chip_id")
    assert len(chronicle.by_chip(told)) == len(told)
    used = winners.trained_on()
    alone = told[(told["chip_id"] == "tpu-v4") & (told["vendor_own_run"] == "no")]
    assert used.loc["tpu-v4", "others"] > alone["model"].nunique()
    assert "h100-sxm" not in used.index  # beside Trainium, by Amazon, which does not make it


def test_outcomes_follow_from_offer_and_use(found):
    for row in found.itertuples():
        assert row.outcome == winners.came_of(row.chance, row.others > 0)


def test_a_chance_near_one_half_is_no_verdict():
    """A chance of 46% had been told as "should not have paid", one of 55% as "should have paid"."""
    for pays, said in ((0.7, "should have paid"), (0.3, "should not have paid")):
        assert winners.came_of(pays, False) == f"{said}; no model of others on record"
    for pays in (0.34, 0.46, 0.55, 0.66):
        assert winners.came_of(pays, True) == "too close to call; others trained on it"


def test_a_chance_that_rests_on_formats_nobody_trained_in_says_so(needed):
    """Gaudi2 alone is more likely than not to repay a move, by its FP8; its first run in FP8 on record is of the next year."""
    assert (
        winners.first_short_run("gaudi2").year == 2023 and winners.first_short_run("sn40l") is None
    )
    one, bare = counterfactual.split("gaudi2"), winners.in_sixteen_bits("gaudi2")
    assert bare.gap > 1.3 * one.gap and (bare.yardstick, bare.job) == (one.yardstick, one.job)
    assert winners.chance(bare, needed) < winners.EVEN
    told = winners.short_words(["gaudi2", "sn40l"], needed)
    assert (
        told.startswith(" In sixteen bits alone the chance of Gaudi2 is") and "October 2023" in told
    )
    assert "SN40L" not in told


def test_a_chip_with_units_for_six_bits_is_asked_in_sixteen_as_well(monkeypatch):
    """Values of six bits have no size, and the page of such a chip had ended in a KeyError."""
    job = SimpleNamespace(yardstick=None, job=None)
    monkeypatch.setattr(counterfactual, "split", lambda name: job)
    monkeypatch.setattr(coalitions, "worth", lambda chip, *_: chip)
    monkeypatch.setattr(counterfactual, "split_of", lambda chip: chip)
    six = next(name for name, one in chips.all_chips().items() if one.peak_flops.get("fp6"))
    assert set(winners.in_sixteen_bits(six).peak_flops) <= {"bf16", "fp16", "tf32", "fp32"}


def test_a_cluster_of_one_chip_of_the_table_names_it():
    """Twelve clusters of GH200, of up to 23,536, had no id: the largest machine on record had 4,096 chips."""
    clusters = tables.load("gpu_clusters")
    blank = clusters[clusters["chip_id"].isna() & clusters["chip"].notna()]
    each = chronicle.by_chip(blank.assign(hardware=blank["chip"]))
    assert each[~each["chip"].str.contains("[;,]")].empty
    assert gates.largest_known(chips.chip("gh200")).chips > 20_000
