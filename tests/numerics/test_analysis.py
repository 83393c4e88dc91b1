"""The analysis finds what was put into made-up tables of runs, and says open or contradicted when it should."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from training_moat.core.errors import InputError
from training_moat.numerics import analysis
from training_moat.numerics.design import FULL, PORTED_RECIPES

CENTRE = -8.0


def table(
    optimum=None,
    level=None,
    spread=0.0,
    curvature=0.04,
    nearest_loses=0.4,
    borne=None,
    seeds=(1, 2, 3, 4),
):
    """Runs whose losses are parabolas with the given optima (octaves from the centre) and levels (nats)."""
    rng = np.random.default_rng(0)
    jitter = {seed: rng.normal(0, 0.3) for seed in seeds}
    records = []
    for run in dataclasses.replace(FULL, seeds=tuple(seeds)).runs():
        x = (
            run.log2_learning_rate
            - CENTRE
            - (optimum or {}).get(run.recipe, 0.0)
            - spread * rng.normal()
        )
        loss = 2.4 + jitter[run.seed] + (level or {}).get(run.recipe, 0.0) + curvature * x**2
        diverged = run.recipe == "fp8_fnuz_ported_nan"
        if run.study == "low_rate" and run.recipe == "bf16_weights_nearest":
            loss += nearest_loses
        if run.study == "range":
            low, high = (borne or {"fp16_mixed": (-8, 12), "fp8_unscaled": (0, 12)}).get(
                run.recipe, (-99, 99)
            )
            loss += 0.0 if low <= run.log2_loss_scale <= high else 1.0
        records.append(
            (
                run.study,
                run.recipe,
                run.seed,
                run.log2_learning_rate,
                run.log2_loss_scale,
                np.nan if diverged else loss,
                diverged,
            )
        )
    columns = [
        "study",
        "recipe",
        "seed",
        "log2_learning_rate",
        "log2_loss_scale",
        "val_loss_nats",
        "diverged",
    ]
    return pd.DataFrame(records, columns=columns)


def verdict(runs, hypothesis):
    (found,) = analysis.verdicts(runs, hypotheses=(hypothesis,))["verdict"]
    return found


def test_best_rate_of_a_known_parabola():
    whole, left_out = analysis.best_rates(table(optimum={"nvfp4": 0.7}))
    assert whole["nvfp4"] == pytest.approx(0.7) and whole["fp32"] == pytest.approx(0.0, abs=1e-9)
    assert np.allclose(left_out.loc["nvfp4"], 0.7)


def test_best_rate_stays_on_the_grid():
    whole, _ = analysis.best_rates(table(optimum={"nvfp4": 9.0}))
    assert whole["nvfp4"] == pytest.approx(1.5)
    falling, _ = analysis.best_rates(table(curvature=-0.01, optimum={"mxfp8": 0.5}))
    assert falling["mxfp8"] == pytest.approx(-1.5)


def test_an_unlucky_seed_widens_the_interval_and_leaves_an_optimum():
    runs = table(spread=0.05)
    bad = (
        (runs["study"] == "transfer")
        & (runs["recipe"] == "mxfp8")
        & (runs["seed"] == 2)
        & (runs["log2_learning_rate"] == CENTRE)
    )
    unlucky = runs.assign(val_loss_nats=runs["val_loss_nats"] + 0.2 * bad)
    width = {
        name: (analysis.shifts(part).set_index("recipe").loc["mxfp8", ["low", "high"]])
        .diff()
        .iloc[-1]
        for name, part in {"plain": runs, "unlucky": unlucky}.items()
    }
    assert np.isfinite(width["unlucky"]) and width["unlucky"] > width["plain"]


def test_a_recipe_that_diverged_has_no_best_rate():
    runs = table()
    lost = (runs["study"] == "transfer") & (runs["recipe"] == "mxfp8") & (runs["seed"] == 2)
    runs.loc[lost, "diverged"] = True
    whole, _ = analysis.best_rates(runs)
    assert np.isnan(whole["mxfp8"]) and np.isfinite(whole["mxfp4"])


def test_transfer_costs_the_square_of_the_distance():
    cost = analysis.transfer(table(optimum={"nvfp4": 0.7})).set_index(["tuned_on", "trained_with"])[
        "nats"
    ]
    assert cost["nvfp4", "fp32"] == pytest.approx(0.04 * 0.49)
    assert cost["fp32", "nvfp4"] == pytest.approx(0.04 * 0.49)
    assert cost["fp32", "fp32"] == pytest.approx(0.0)


def test_seeds_are_compared_within_themselves():
    """Seeds differ by 0.3 nats here, recipes by 0.01: the interval must not contain the seeds' spread."""
    added = analysis.added_loss(table(level={"mxfp8": 0.01})).set_index("recipe").loc["mxfp8"]
    assert added["nats"] == pytest.approx(0.01)
    assert added["high"] - added["low"] < 1e-9


def test_all_hypotheses_hold_where_they_were_put_in():
    level = {
        "mxfp8": 0.01,
        "fp8_delayed": 0.01,
        "fp8_current": 0.01,
        "fp8_fnuz": 0.01,
        "nvfp4": 0.03,
        "mxfp4": 0.03,
        "nvfp4_nearest": 0.05,
        "fp8_fnuz_ported": 0.03,
    }
    assert set(analysis.verdicts(table(level=level))["verdict"]) == {"supported"}


@pytest.mark.parametrize(
    ("hypothesis", "change"),
    [
        ("H1", {"optimum": {"mxfp4": 1.4}}),
        ("H2", {"optimum": {"mxfp4": 1.4}}),
        ("H3", {"level": {"mxfp4": -0.02, "nvfp4": -0.02}}),
        ("H3", {"level": {"mxfp4": 0.1, "nvfp4": 0.1}}),
        ("H3", {"level": {"mxfp8": 0.1, "fp8_delayed": 0.1, "fp8_current": 0.1, "fp8_fnuz": 0.1}}),
        ("H4", {"borne": {"fp16_mixed": (-99, 99)}}),
        ("H4", {"borne": {"fp16_mixed": (0, 8), "fp8_unscaled": (-99, 99)}}),
        ("H5", {"nearest_loses": 0.02}),
        ("H6", {"level": {"fp8_fnuz_ported": 0.2}}),
        ("H7", {"level": {"nvfp4_nearest": 0.1}}),
    ],
)
def test_each_hypothesis_can_fail(hypothesis, change):
    assert verdict(table(**change), hypothesis) == "contradicted"


@pytest.mark.parametrize("hypothesis", [f"H{number}" for number in range(1, 8)])
def test_noise_gives_open_not_support(hypothesis):
    assert verdict(table(spread=1.0), hypothesis) == "open"


@pytest.mark.parametrize(
    ("study", "recipe", "hypothesis"),
    [
        ("range", "bf16_mixed", "H4"),
        ("range", "fp16_mixed", "H4"),
        ("low_rate", "bf16_weights_stochastic", "H5"),
    ],
)
def test_seeds_that_disagree_leave_it_open(study, recipe, hypothesis):
    runs = table(level={"mxfp4": 0.01, "nvfp4": 0.01})
    one = (runs["study"] == study) & (runs["recipe"] == recipe) & (runs["seed"] == 1)
    ends = runs["log2_loss_scale"].isin([-16.0]) | (runs["study"] == "low_rate")
    change = -1.0 if recipe == "fp16_mixed" else 1.0
    changed = runs.assign(val_loss_nats=runs["val_loss_nats"] + change * (one & ends))
    assert (verdict(runs, hypothesis), verdict(changed, hypothesis)) == ("supported", "open")


def test_a_difference_at_equal_rates_does_not_hang_on_one_run():
    """The mean over the grid: a run that is unlucky by a tenth of a nat moves its seed by a fifth of that."""
    runs = table(seeds=(1, 2))
    bad = (runs["study"] == "ported") & (runs["recipe"] == "nvfp4_nearest") & (runs["seed"] == 1)
    bad &= runs["log2_learning_rate"] == CENTRE
    moved = analysis.ported(runs.assign(val_loss_nats=runs["val_loss_nats"] + 0.1 * bad)).set_index(
        "recipe"
    )
    assert moved.loc["nvfp4_nearest", "nats"] == pytest.approx(0.1 / 5 / 2)


def test_a_factor_is_borne_only_if_every_seed_bears_it():
    runs = table()
    bad = (
        (runs["study"] == "range")
        & (runs["recipe"] == "bf16_mixed")
        & (runs["log2_loss_scale"] == 4)
        & (runs["seed"] == 2)
    )
    runs.loc[bad, "diverged"] = True
    borne = analysis.windows(runs).set_index(["recipe", "log2_loss_scale"])["borne"]
    assert not borne["bf16_mixed", 4.0] and borne["bf16_mixed", 0.0]


def test_ported_recipes_report_lost_runs():
    found = analysis.ported(table()).set_index("recipe")
    assert set(found.index) == set(PORTED_RECIPES)
    assert found.loc["fp8_fnuz_ported_nan", "diverged"] == 1 and np.isnan(
        found.loc["fp8_fnuz_ported_nan", "nats"]
    )


def test_missing_study_is_one_sentence():
    with pytest.raises(InputError, match="no study 'range'"):
        analysis.windows(table().query("study != 'range'"))


def test_bits_of_recipes():
    assert [
        analysis.bits(name) for name in ("fp32", "bf16_mixed", "fp8_fnuz", "mxfp8", "nvfp4")
    ] == [32, 16, 8, 8, 4]
