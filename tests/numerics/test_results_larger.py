"""The stored runs of the larger experiments: whole seeds in their order, of the designs fixed before, judged by their rule."""

import bz2
import dataclasses
import hashlib
import itertools
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from training_moat import claims
from training_moat.catalog import tables
from training_moat.claims import grading
from training_moat.claims.base import measured
from training_moat.inquiry import precision
from training_moat.numerics import analysis, analysis_larger
from training_moat.numerics.design_larger import LARGER
from training_moat.numerics.design_second import EXPERIMENTS, NOVELS_SHA256

ROOT = Path(__file__).resolve().parents[2]
FIRST, SECOND = (EXPERIMENTS[name] for name in ("first", "second"))
TRAINED_ON = {SECOND: "8468c769a391ac0618d79bbae4b2d8e6cddfa69feaae2d3241d63fc83e62f8cf"}


@pytest.fixture(scope="module")
def runs():
    return tables.load(FIRST.table)


@pytest.fixture(params=list(EXPERIMENTS))
def form(request):
    found = EXPERIMENTS[request.param]
    if tables.load(found.table).empty:
        pytest.skip("this design has not been run yet")
    return found


def test_the_manifest_names_table_machine_text_and_the_design_that_was_fixed(form):
    made = json.loads((ROOT / "data" / f"{form.table}.manifest.json").read_text())
    table = ROOT / "data" / f"{form.table}.csv"
    assert made["table_sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()
    assert made["design"] == json.loads(json.dumps(dataclasses.asdict(form.design)))
    assert re.fullmatch(r"one NVIDIA H[12]00.*, PyTorch 2\.11\.0", made["machine"])
    assert made.get("network", FIRST.network) == form.network  # the first call did not write it
    assert made["text"]["train_bytes"] > 1_400_000
    trained_on = made["text"]["train_sha256"]
    assert len(trained_on) == 64 and trained_on == TRAINED_ON.get(form, trained_on)
    assert made["compiled"] and made["share_that_compiling_changes"] == 0
    assert made["seconds"] < made["budget_seconds"]


def test_the_novels_are_the_text_that_the_second_design_names():
    packed = (ROOT / "experiments" / "low_precision" / "novels.txt.bz2").read_bytes()
    assert hashlib.sha256(bz2.decompress(packed)).hexdigest() == NOVELS_SHA256
    assert (ROOT / "experiments" / "low_precision" / "novels_licence.txt").exists()


def test_the_table_holds_the_pilot_and_the_first_seeds_whole(form):
    """Seeds stand in the order of the design, none left out, none cut short."""
    runs, design = tables.load(form.table), form.design
    placed = analysis_larger.yardstick(runs, design)
    count = runs.loc[runs["study"] != "pilot", "seed"].nunique()
    seeds = list(design.seeds[:count])
    assert count >= design.fewest_seeds
    wanted = [
        ("pilot", "bf16_mixed", *pair)
        for pair in itertools.product(design.pilot_seeds, design.pilot_log2_rates)
    ]
    wanted += [
        (study, name, seed, placed.centre_log2_rate + step)
        for seed, (study, name), step in itertools.product(seeds, design.studies(), design.offsets)
    ]
    columns = ["study", "recipe", "seed", "log2_learning_rate"]
    assert list(runs[columns].itertuples(index=False, name=None)) == wanted
    assert (runs["steps"] == design.steps).all()
    assert analysis_larger.complete(runs, design)["seed"].unique().tolist() == seeds


def test_what_decides_the_claim_is_the_dearest_pair_of_the_networks_that_count():
    larger = precision.larger_runs()
    designs = [EXPERIMENTS[name].design for name in larger]
    sizes = [
        analysis_larger.carried_larger(one, design)
        for one, design in zip(larger.values(), designs, strict=True)
    ]
    found = measured("carried_over", "")
    dearest = analysis_larger.dearest_by_network(larger)
    assert dearest["model"].nunique() == len(larger) >= 1
    if all(one.whole for one in sizes):
        assert found.value == pytest.approx(dearest["times"].max())
        assert found.low <= min(one.low for one in sizes)
        assert found.high >= max(one.high for one in sizes)
    assert set(found.sources) == {EXPERIMENTS[name].table for name in larger} | {
        "experiment_low_precision"
    }


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
    assert large.worst < 0.05 and large.low < 0 < large.high < 0.1


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


def said(found):
    """The grade that `design_second` says for a value and the upper end of its range."""
    if found.value is None:
        return grading.OPEN
    if found.value >= 1:
        return grading.MIXED
    if found.value < 0.667 and found.high < 1:
        return grading.STRONGLY_AGAINST
    return grading.AGAINST if found.high < 1.5 else grading.MIXED


def test_the_claim_is_graded_as_the_design_said_and_its_range_can_be_drawn_on_an_axis_of_ratios():
    """By the first network alone strongly against; most of the weight beside it is not for the claim."""
    finding = claims.judge("C29")
    assert finding.deciding.name == "carried_over"
    assert finding.grade == said(finding.deciding.measured)
    with tables.replaced(**{SECOND.table: tables.load(SECOND.table).iloc[:0]}):
        assert claims.judge("C29").grade == grading.STRONGLY_AGAINST
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
