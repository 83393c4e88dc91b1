"""The larger experiments' rules, tried on tables that are made up: grid, margins, which seeds count, the verdicts."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.claims.base import Measured, measured
from training_moat.claims.grading import AGAINST, LEANS, MIXED, STRONGLY_AGAINST, Thresholds, grade
from training_moat.numerics import analysis_larger
from training_moat.numerics.analysis_larger import Carried
from training_moat.numerics.design_larger import LARGER, placed
from training_moat.numerics.design_second import EXPERIMENTS, SECOND

LARGER_TABLE, SECOND_TABLE = (EXPERIMENTS[name].table for name in ("first", "second"))


def bowl(rate, bend=0.05, best=-9.0):
    return 2.0 + bend * (rate - best) ** 2


def test_shape_is_more_than_a_hundred_times_the_small_one():
    assert LARGER.shape.parameters > 10e6


def test_centre_is_the_best_pilot_rate_and_the_margin_what_an_octave_costs():
    found = placed({rate: bowl(rate) for rate in LARGER.pilot_log2_rates})
    assert (found.centre_log2_rate, found.little_nats) == (-9.0, 0.05)
    assert found.thresholds.much_nats == 0.1


@pytest.mark.parametrize(("best", "centre"), [(-13.0, -10.5), (-5.0, -7.5)])
def test_grid_stays_among_the_rates_that_the_pilot_tried(best, centre):
    found = placed({rate: bowl(rate, best=best) for rate in LARGER.pilot_log2_rates})
    assert found.centre_log2_rate == centre


@pytest.mark.parametrize("bend", [0.0, -0.1, np.nan])
def test_margins_of_the_small_experiment_serve_where_the_pilot_gives_none(bend):
    assert placed({r: bowl(r, bend) for r in LARGER.pilot_log2_rates}).little_nats == 0.04


def made_up(seeds=(501, 502, 503), units=0.0, moved=0.0, design=LARGER):
    rng = np.random.default_rng(0)
    rows = [
        ("pilot", "bf16_mixed", seed, rate, bowl(rate))
        for seed, rate in itertools.product(design.pilot_seeds, design.pilot_log2_rates)
    ]
    for seed, (study, name), step in itertools.product(seeds, design.studies(), design.offsets):
        best = -9.0 + (moved if name == "mxfp4" else 0.0)
        loss = bowl(-9.0 + step, best=best) + 0.001 * rng.standard_normal()
        loss += {"mxfp4": 0.02, "nvfp4": 0.02, "nvfp4_nearest": 0.02, "fp8_units": units}.get(
            name, 0
        )
        rows.append((study, name, seed, -9.0 + step, np.nan if name.endswith("_nan") else loss))
    frame = pd.DataFrame(
        rows, columns=["study", "recipe", "seed", "log2_learning_rate", "val_loss_nats"]
    )
    return frame.assign(diverged=frame["val_loss_nats"].isna().astype(str).str.lower())


def test_verdicts_follow_the_made_up_truth():
    judged = analysis_larger.verdicts(made_up()).set_index("hypothesis")["verdict"]
    assert set(judged.index) == set(analysis_larger.HYPOTHESES) and (judged == "supported").all()
    judged = analysis_larger.verdicts(made_up(units=-0.2, moved=1.3)).set_index("hypothesis")
    assert judged.loc[["H1", "H2", "H8"], "verdict"].eq("contradicted").all()


def test_a_seed_that_was_cut_short_does_not_count_and_two_seeds_decide_nothing():
    runs = made_up()
    assert set(analysis_larger.complete(runs.iloc[:-1])["seed"]) == {501, 502}
    assert (analysis_larger.verdicts(runs.iloc[:-1])["verdict"] == "open").all()


LIMITS = Thresholds(0.667, 1.0, 1.5)
SMALL = Carried(100_000, 0.03, 0.0, 0.05, True)


@pytest.mark.parametrize(
    ("worst", "high", "expected"),
    [
        (0.1, 0.2, STRONGLY_AGAINST),
        (0.5, 0.9, "leans against"),
        (0.9, 1.8, MIXED),
        (1.2, 1.4, MIXED),
    ],
)
def test_grades_that_the_outcomes_were_said_to_give(worst, high, expected):
    larger = Carried(13_000_000, worst, worst / 2, high, True)
    value, *ends = analysis_larger.across(SMALL, larger)
    assert grade(Measured(value, *ends), LIMITS) == expected


def test_a_pair_above_the_yardstick_at_both_sizes_supports_the_claim():
    small = dataclasses.replace(SMALL, worst=1.0, low=0.8, high=1.3)
    value, *ends = analysis_larger.across(small, Carried(13_000_000, 1.2, 0.9, 1.4, True))
    assert grade(Measured(value, *ends), LIMITS) == LEANS


def test_range_takes_in_what_a_straight_line_gives_at_the_frontier():
    larger = Carried(10_000_000, 0.23, 0.2, 0.25, True)
    assert analysis_larger.at_frontier(SMALL, larger) == pytest.approx(0.23 + 0.1 * 4.243, abs=1e-3)
    assert analysis_larger.across(SMALL, larger)[2] > larger.high


def test_a_recipe_without_a_curve_leaves_the_claim_open_unless_others_decide_it():
    lost = Carried(10_000_000, 0.2, 0.1, 0.3, False)
    assert analysis_larger.across(SMALL, lost)[0] is None
    assert analysis_larger.across(SMALL, dataclasses.replace(lost, worst=1.1))[0] == 1.1


FIRST = Carried(13_000_000, 0.015, -0.01, 0.02, True)  # what the first network gave


@pytest.mark.parametrize(
    ("worst", "high", "expected"),
    [
        (0.01, 0.1, STRONGLY_AGAINST),
        (0.1, 0.2, STRONGLY_AGAINST),
        (0.4, 0.9, AGAINST),
        (0.5, 0.9, MIXED),  # for the line from the small network reaches 1.5
        (0.4, 1.8, MIXED),
        (1.2, 1.4, MIXED),
        (3.0, 4.0, MIXED),
    ],
)
def test_grades_that_the_second_network_was_said_to_give(worst, high, expected):
    """Those of the first, or softer: its worst pair is in the value, its ends and line are in the range."""
    second = Carried(7_000_000, worst, worst / 2, high, True)
    value, *ends = analysis_larger.across(SMALL, FIRST, second)
    assert value == max(worst, FIRST.worst)
    alone = analysis_larger.across(SMALL, FIRST)
    assert value >= alone[0] and ends[0] <= alone[1] and ends[1] >= alone[2]
    assert ends[1] >= analysis_larger.at_frontier(SMALL, second)
    assert grade(Measured(value, *ends), LIMITS) == expected


def test_a_recipe_without_a_curve_on_either_network_leaves_the_claim_open():
    second = Carried(7_000_000, 0.1, 0.0, 0.2, False)
    assert analysis_larger.across(SMALL, FIRST, second)[0] is None
    assert analysis_larger.across(SMALL, second, FIRST)[0] is None
    nothing = Carried(7_000_000, np.nan, np.nan, np.nan, False)
    assert analysis_larger.across(SMALL, FIRST, nothing)[0] is None
    assert analysis_larger.across(SMALL, FIRST, dataclasses.replace(second, worst=1.0))[0] == 1


def test_the_second_design_is_the_first_but_for_network_text_and_seeds():
    parts = {field.name for field in dataclasses.fields(LARGER)}
    apart = {name for name in parts if getattr(LARGER, name) != getattr(SECOND, name)}
    assert apart == {"shape", "pilot_seeds", "seeds"}
    both = (*LARGER.seeds, *LARGER.pilot_seeds, *SECOND.seeds, *SECOND.pilot_seeds)
    assert len(set(both)) == len(both)
    assert EXPERIMENTS["first"].design is LARGER and EXPERIMENTS["second"].design is SECOND
    assert EXPERIMENTS["first"].text != EXPERIMENTS["second"].text
    names = set(SECOND.shape.tensors())
    assert {"0.qkv.bias", "norm.bias", "3.up"} <= names and "head" not in names
    assert 7e6 < SECOND.shape.parameters < 7.5e6


SEEDS = SECOND.seeds[:3]


@pytest.mark.parametrize(
    ("moved", "expected"), [(0.0, {"yes"}), (1.3, {"yes", "no"}), (1.0, {"yes", "not settled"})]
)
def test_hypotheses_are_replicated_or_not_or_not_settled(moved, expected):
    second = made_up(SEEDS, moved=moved, design=SECOND)
    again = analysis_larger.replicated(made_up(), second).set_index("hypothesis")
    assert tuple(again.index) == analysis_larger.HYPOTHESES
    assert set(again["replicated"]) == expected, again


def test_a_second_network_with_fewer_than_three_seeds_counts_for_nothing():
    """The claim is then measured as before."""

    def carried_over(seeds):
        runs = made_up(seeds, moved=1.5, design=SECOND)
        with tables.replaced(**{SECOND_TABLE: runs if len(seeds) else runs.iloc[:0]}):
            return runs, measured("carried_over", "")

    before = carried_over(())[1]
    for kept in (0, 1, 2):
        runs, found = carried_over(SEEDS[:kept])
        again = analysis_larger.replicated(made_up(), runs)
        assert again[["second", "replicated"]].isna().all(axis=None)
        assert found == before
    assert carried_over(SEEDS)[1].value > 2 * before.value


def test_the_claim_is_measured_at_both_sizes_and_open_without_the_larger():
    runs, empty = made_up(moved=0.8), made_up().iloc[:0]
    with tables.replaced(**{LARGER_TABLE: empty}):
        assert measured("carried_over", "").value is None
    with tables.replaced(**{LARGER_TABLE: runs, SECOND_TABLE: empty}):
        found = measured("carried_over", "")
    assert found.low < 0.1 < found.value < found.high and "13 million" in found.note
