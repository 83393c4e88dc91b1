"""The larger experiment's rules, tried on tables that are made up: grid, margins, which seeds count, the verdicts."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from training_moat.catalog import tables
from training_moat.claims.base import Measured, measured
from training_moat.claims.grading import LEANS, MIXED, STRONGLY_AGAINST, Thresholds, grade
from training_moat.numerics import analysis_larger
from training_moat.numerics.analysis_larger import Carried
from training_moat.numerics.design_larger import LARGER, placed

LARGER_TABLE = "experiment_low_precision_larger"


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


def made_up(seeds=(501, 502, 503), units=0.0, moved=0.0):
    rng = np.random.default_rng(0)
    rows = [
        ("pilot", "bf16_mixed", seed, rate, bowl(rate))
        for seed, rate in itertools.product(LARGER.pilot_seeds, LARGER.pilot_log2_rates)
    ]
    for seed, (study, name), step in itertools.product(seeds, LARGER.studies(), LARGER.offsets):
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
    value, *ends = analysis_larger.both_sizes(SMALL, larger)
    assert grade(Measured(value, *ends), LIMITS) == expected


def test_a_pair_above_the_yardstick_at_both_sizes_supports_the_claim():
    small = dataclasses.replace(SMALL, worst=1.0, low=0.8, high=1.3)
    value, *ends = analysis_larger.both_sizes(small, Carried(13_000_000, 1.2, 0.9, 1.4, True))
    assert grade(Measured(value, *ends), LIMITS) == LEANS


def test_range_takes_in_what_a_straight_line_gives_at_the_frontier():
    larger = Carried(10_000_000, 0.23, 0.2, 0.25, True)
    assert analysis_larger.at_frontier(SMALL, larger) == pytest.approx(0.23 + 0.1 * 4.243, abs=1e-3)
    assert analysis_larger.both_sizes(SMALL, larger)[2] > larger.high


def test_a_recipe_without_a_curve_leaves_the_claim_open_unless_others_decide_it():
    lost = Carried(10_000_000, 0.2, 0.1, 0.3, False)
    assert analysis_larger.both_sizes(SMALL, lost)[0] is None
    assert analysis_larger.both_sizes(SMALL, dataclasses.replace(lost, worst=1.1))[0] == 1.1


def test_the_claim_is_measured_at_both_sizes_and_open_without_the_larger():
    assert measured("carried_over", "").value is None or len(tables.load(LARGER_TABLE))
    runs = made_up(moved=0.8)
    with tables.replaced(**{LARGER_TABLE: runs}):
        found = measured("carried_over", "")
    assert found.low < 0.1 < found.value < found.high and "13 million" in found.note
