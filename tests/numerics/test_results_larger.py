"""The stored runs of the larger experiment: whole seeds in their order, of the design fixed before, judged by its rule."""

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import pandas as pd
import pytest

from training_moat import claims
from training_moat.catalog import tables
from training_moat.claims import grading
from training_moat.claims.base import measured
from training_moat.numerics import analysis, analysis_larger
from training_moat.numerics.design_larger import LARGER

DATA = Path(__file__).resolve().parents[2] / "data"
NAME = "experiment_low_precision_larger"


@pytest.fixture(scope="module")
def runs():
    return tables.load(NAME)


@pytest.fixture(scope="module")
def made():
    return json.loads((DATA / f"{NAME}.manifest.json").read_text())


def test_the_manifest_names_table_machine_text_and_the_design_that_was_fixed(made):
    assert made["table_sha256"] == hashlib.sha256((DATA / f"{NAME}.csv").read_bytes()).hexdigest()
    assert made["design"] == json.loads(json.dumps(dataclasses.asdict(LARGER)))
    assert made["machine"] == "one NVIDIA H100 80GB HBM3, PyTorch 2.11.0"
    assert made["text"]["train_bytes"] > 4_000_000 and len(made["text"]["train_sha256"]) == 64
    assert made["compiled"] and made["share_that_compiling_changes"] == 0
    assert made["seconds"] < made["budget_seconds"]


def test_the_table_holds_the_pilot_and_the_first_seeds_whole(runs):
    """Seeds stand in the order of the design, none left out, none cut short."""
    placed = analysis_larger.yardstick(runs)
    seeds = list(LARGER.seeds[: LARGER.fewest_seeds])
    wanted = [
        ("pilot", "bf16_mixed", *pair)
        for pair in itertools.product(LARGER.pilot_seeds, LARGER.pilot_log2_rates)
    ]
    wanted += [
        (study, name, seed, placed.centre_log2_rate + step)
        for seed, (study, name), step in itertools.product(seeds, LARGER.studies(), LARGER.offsets)
    ]  # fmt: skip
    columns = ["study", "recipe", "seed", "log2_learning_rate"]
    assert list(runs[columns].itertuples(index=False, name=None)) == wanted
    assert (runs["steps"] == LARGER.steps).all()
    assert analysis_larger.complete(runs)["seed"].unique().tolist() == seeds


def test_the_pilot_places_grid_and_yardstick(runs):
    placed = analysis_larger.yardstick(runs)
    assert (placed.centre_log2_rate, placed.little_nats) == (-10.5, 0.13)


def test_every_hypothesis_is_supported_as_expected_beforehand(runs):
    judged = analysis_larger.verdicts(runs).set_index("hypothesis")
    assert tuple(judged.index) == analysis_larger.HYPOTHESES
    assert (judged["verdict"] == "supported").all()


def test_only_the_constant_that_does_not_saturate_loses_runs(runs):
    lost = runs[runs["diverged"] == "true"]
    assert set(lost["recipe"]) == {"fp8_fnuz_ported_nan"}
    assert len(lost) == (runs["recipe"] == "fp8_fnuz_ported_nan").sum()


def test_a_rate_tuned_elsewhere_costs_far_less_than_the_yardstick_at_both_sizes(runs):
    large = analysis_larger.carried_larger(runs)
    known = analysis.transfer(analysis_larger.complete(runs))
    worst = known.loc[known["nats"].idxmax()]
    assert large.whole and large.worst == pytest.approx(worst["nats"] / 0.13)
    found = measured("carried_over", "")
    assert found.value == pytest.approx(large.worst) and found.value < 0.05
    assert found.low < 0 < found.high < 0.1


def test_what_the_costs_are_read_from_is_coarse(runs):
    """Every recipe is best at the same rate of those tried, so no cost was measured: it is read from parabolas, and the
    losses lie further from these than the cost is."""
    judged = analysis_larger.complete(runs)
    beside = analysis_larger.beside_parabola(judged)
    assert set(beside.index) == set(LARGER.transfer_recipes)
    assert set(beside["log2_rate"]) == {-10.5}
    fitted = analysis.curves(judged).groupby("recipe")[["a", "b", "c"]].mean()
    losses = judged[judged["study"] == "transfer"].groupby(["recipe", "log2_learning_rate"])
    for (recipe, rate), loss in losses["val_loss_nats"].mean().items():
        a, b, c = fitted.loc[recipe]
        x = rate + 10.5
        assert abs(a * x**2 + b * x + c - loss) <= beside.loc[recipe, "miss_nats"] + 1e-9
    assert (
        analysis.transfer(judged)["nats"].max()
        < beside["miss_nats"].min()
        < beside["miss_nats"].max()
        < 0.05
    )


def test_the_claim_is_graded_as_the_design_said_and_its_range_can_be_drawn_on_an_axis_of_ratios():
    """Strongly against: worst pair below 0.667, the whole range below 1, most of the weight beside it not for it."""
    finding = claims.judge("C29")
    assert (finding.deciding.name, finding.grade) == ("carried_over", grading.STRONGLY_AGAINST)
    weights = {test.name: test.weight for test in finding.tests[1:]}
    kept = {"fp8": 1, "fp16": 0.25, "bf16": 0.25, "fp4": 0.25, "counterfactual_precision": 0.75}
    assert weights == kept
    drawn = claims.relative({"C29": finding}).set_index("label")
    assert (drawn["low"] > 0).all()
    assert (
        tables.load("arguments").set_index("argument")["deciding_test"]["precision"]
        == "C29:carried_over"
    )


def test_both_sizes_stand_side_by_side(runs):
    small = pd.concat(
        [tables.load(f"experiment_low_precision{part}") for part in ("", "_replication")],
        ignore_index=True,
    )
    both = analysis_larger.verdicts_at_both(small, runs).set_index("hypothesis")
    assert both["larger"].isna().sum() == 2 and both.index[both["small"].isna()].tolist() == ["H8"]
    assert both.loc["H2", "larger_times"] == pytest.approx(0.0054514 / 0.13, rel=1e-3)
    assert both["margin"].dropna().unique().tolist() == ["1 octave", "0.13 nats", "0.26 nats"]
    cost = analysis_larger.dearest_by_model(small, {"first": runs})
    assert cost.groupby("model", sort=False).size().tolist() == [10, 10]
    worst = cost.groupby("model", sort=False)["times"].max().tolist()
    sizes = analysis_larger.carried_small(small), analysis_larger.carried_larger(runs)
    assert worst == pytest.approx([one.worst for one in sizes])
    assert (cost["recipe"] != cost["tuned_on"]).all()
