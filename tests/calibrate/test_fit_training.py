"""The fit: it recovers what made the data, follows its priors where nothing speaks, and is the stored one."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import (
    fit_stage,
    fit_training,
    leaving_out,
    measured_training,
    priors,
    random_effects,
    refit,
)
from training_moat.predict import software, training_constants
from training_moat.predict.training_constants import Constants

STORED = training_constants.load()
used = measured_training.usable


@cache
def few():
    sources = ["narayanan2021_t1", "korthikanti2022_t5", "mlperf_train"]
    return used().take(used().frame["source"].isin(sources).to_numpy())


def error(rows):
    return np.abs(fit_stage.predict_rows(rows, STORED) / rows.measured_seconds - 1)


def of(source):
    return used().take((used().frame["source"] == source).to_numpy())


@pytest.mark.parametrize(
    ("source", "bar"), [("narayanan2021_t1", 0.053), ("korthikanti2022_t5", 0.044)]
)
def test_the_benchmark_tables_are_met_as_well_as_by_the_best_peer_of_each(source, bar):
    """Mean error of the best published tools on the same rows: 5.3% with a leave-one-out median's margin, 3.65% (calculon,
    which misses the first table by 11.7%). The second was met by 3.4% until MegaScale's open micro-batches, on the same
    chip, were settled as answers are, and by 3.8% until products cost what they cost when measured alone, by 4.0% until
    eager tensor parallelism had a constant of its own."""
    assert error(of(source)).mean() < bar


def test_dense_runs_are_met_within_nine_and_a_half_per_cent():
    """9.1 since names of software are expected to differ half as much, which sources left out are met better by; 8.9 since
    eager tensor parallelism is timed; 9.3 since twenty-four more sources are fitted, of consumer cards, of runs that their
    host slows and of XLA on Nvidia's chips; 8.2 since fourteen sources more are fitted, of small models in plain PyTorch
    and of cards that eight chips share; 6.9 with the 52 before them, whose own error went from 6.9 to 7.4 for it."""
    dense = used().take(fit_training.stages(used()) == 1)
    assert error(dense).mean() < 0.093


def test_a_source_that_states_its_own_network_is_timed_with_it():
    """Two nodes of eight V100 behind one card of 100 Gb/s each, against one such card for every chip."""
    rows = used().take((used().frame["source"] == "dlperf_oneflow").to_numpy())
    assert set(rows.frame["network_bytes_per_s"]) == {100e9 / 8 / 8}
    usual = type(rows)(rows.frame.assign(network_bytes_per_s=0.0), rows.model, rows.plan)
    shared, own = (fit_stage.predict_rows(each, STORED) for each in (rows, usual))
    across = (rows.frame["tp"] > 8).to_numpy()
    inside = (rows.frame["chips"] <= 8).to_numpy()
    assert (shared[across] > 2 * own[across]).all()
    assert shared[inside] == pytest.approx(own[inside])


def test_the_optimizer_moves_the_states_that_the_stack_keeps():
    """Runs in pure 16 bits have no FP32 copy of the weights to read and write, and moments of 16 bits."""
    masters = {name: one.master_weights for name, one in software.all_software().items()}
    for group in fit_stage.groups(of("book_h100_steps")):
        kept = group.rows.frame["label"].map(masters)
        assert set(kept) == {True, False}
        assert list(group.state_bytes) == [12.0 if own else 4.0 for own in kept]


def test_predictions_do_not_depend_on_how_rows_are_grouped():
    """Rows timed together by topology, and one by one."""
    together = fit_stage.predict_rows(few(), STORED)
    for index in range(0, len(few().frame), 5):
        alone = few().take(np.arange(len(few().frame)) == index)
        assert fit_stage.predict_rows(alone, STORED)[0] == pytest.approx(together[index])


def test_no_source_decides_alone_and_none_is_lost():
    weights = random_effects.row_weights(used().frame["source"])
    assert weights.max() <= random_effects.MAX_WEIGHT and weights.min() > 0
    squared = used().frame.assign(weight=weights**2).groupby("source")["weight"].sum()
    assert squared.max() / squared.sum() < 0.25


def test_parameters_speak_for_hardware_and_software_only():
    keys = fit_training.parameter_keys(used())
    assert len(keys) == len(set(keys)) < 0.2 * len(used().frame)
    assert {level for level, _, _ in keys} == {"generic", "family", "chip", "stack", "software"}
    assert not any(name in (software.REFERENCE_STACK, "other") for _, name, _ in keys)


def test_no_row_of_the_lock_box_is_fitted():
    aside = measured_training.lock_box()
    assert aside and not set(used().frame["source"]) & aside
    assert set(measured_training.put_aside().frame["source"]) <= aside


def test_a_step_on_the_way_to_a_run_is_no_run_of_its_own():
    """Nine ablation steps of one DeepSeek-V3 run on GB200: the last alone is used."""
    assert (used().frame["source"] == "mcore_gb200_dsv3").sum() == 1


def test_stored_constants_are_those_of_the_fit():
    keys = set(fit_training.parameter_keys(used()))
    stored = {
        key
        for key in STORED.values
        if key[0] not in ("interval", "scatter", "support")
        and not key[2].startswith(("reserve", "goodput", "expert_year"))
    } | {("generic", "all", "expert_yearly")}
    assert stored == keys


def test_every_generic_constant_has_a_prior_and_a_reason():
    for name, (median, width, why, *_) in priors.generic().items():
        assert median > 0 and 0 < width <= 1 and len(why) > 10
        # No constant was pulled further than four prior widths.
        assert abs(np.log(STORED.generic(name) / median)) < 4 * width


def test_a_fit_recovers_the_machine_that_made_the_data(monkeypatch):
    """Step times computed with known constants, fitted anew: predictions agree though no constant was shown."""
    keys = fit_training.parameter_keys(few())
    truth = dict(STORED.values)
    truth["generic", "all", "matmul_16"] *= 0.9
    made = fit_stage.predict_rows(few(), Constants(truth))
    frame = few().frame.assign(step_seconds=made)
    synthetic = type(few())(frame, few().model, few().plan)
    monkeypatch.setattr(fit_training, "NOISE", dict.fromkeys(fit_training.NOISE, 0.01))
    monkeypatch.setattr(fit_training, "SOURCE_NOISE", dict.fromkeys(fit_training.NOISE, 0.005))
    fitted = fit_training.fit(synthetic)
    errors = np.abs(fit_stage.predict_rows(synthetic, fitted.constants) / made - 1)
    assert errors.mean() < 0.01
    assert set(keys) <= set(fitted.keys)
    sixteen = few().frame["format"].isin(["fp16", "bf16"]).sum()
    assert (
        fitted.support["generic", "all", "matmul_16"][0]
        == sixteen
        < fitted.support["generic", "all", "memory"][0]
        == len(few().frame)
    )


def test_each_stage_speaks_of_its_own_rows():
    stage = fit_training.stages(used())
    assert set(stage) == {1, 2, 3}
    assert (used().frame.loc[stage == 3, "experts"] > 0).all() and (
        used().frame.loc[stage < 3, "experts"] == 0
    ).all()
    # Without experts nothing can be said of them: those constants stay at their priors.
    dense = fit_training.fit(few().take(fit_training.stages(few()) < 3)).constants
    assert dense.generic("expert") == pytest.approx(priors.generic()["expert"].median)


def test_dense_constants_do_not_move_with_experts():
    """Whatever the runs with experts took, the dense constants are the same."""
    mixed = used().take(used().frame["source"].isin(["dgxc_h100", "megascale_moe"]).to_numpy())
    slower = mixed.frame.assign(
        step_seconds=mixed.frame["step_seconds"] * np.where(mixed.frame["experts"] > 0, 2.0, 1.0)
    )
    one, two = (
        fit_training.fit(type(mixed)(frame, mixed.model, mixed.plan)).constants
        for frame in (mixed.frame, slower)
    )
    assert one.generic("matmul_16") == two.generic("matmul_16") and one.generic(
        "expert"
    ) != two.generic("expert")


def test_the_jacobian_is_that_of_one_constant_at_a_time():
    dense = few().take(fit_training.stages(few()) == 1)
    keys = fit_training.parameter_keys(dense)
    logs = np.log([STORED.values.get(key, 1.0) for key in keys])
    prepared = fit_stage.groups(dense)

    def errors(at):
        return np.log(
            fit_stage.predict_rows(
                dense,
                Constants({**STORED.values, **dict(zip(keys, np.exp(at), strict=True))}),
                prepared,
            )
        )

    fast = fit_stage._jacobian(errors, logs, fit_stage._owners(keys, dense))
    for index in range(0, len(keys), 4):
        moved = logs.copy()
        moved[index] += fit_stage.DIFFERENCE
        assert fast[:, index] == pytest.approx(
            (errors(moved) - errors(logs)) / fit_stage.DIFFERENCE, abs=1e-5
        )


def test_leaving_out_is_the_fit_without_the_left_out():
    """Steps that keep the slopes of the whole fit arrive where a fit without the source arrives, and no measured second of
    that source is looked at: doubling them changes nothing."""
    fitted = fit_training.fit(few())
    sources = few().frame["source"]
    seconds = leaving_out.leave_out(few(), sources, fitted)
    held = (sources == "korthikanti2022_t5").to_numpy()
    alone = fit_training.fit(few().take(~held)).constants
    exact = fit_stage.predict_rows(few().take(held), alone)
    assert np.abs(np.log(seconds[held] / exact)).max() < 0.02
    assert np.isfinite(seconds).all()


def test_constants_without_a_large_part_are_searched_anew(monkeypatch):
    """They explain the other rows better than the whole fit's do, and better than steps with its slopes."""
    stage = fit_training.fit(few()).stages[0]
    left = (stage.rows.frame["source"] == "korthikanti2022_t5").to_numpy()
    gone = np.bincount(stage.split.cluster, weights=left) > 0
    slopes = stage.slopes(stage.solution)

    def badness(values):
        logs = np.array([np.log(values[key]) for key in stage.keys])
        rows = random_effects.robust(stage.split(stage.errors(logs)))[
            np.concatenate([~left, ~gone])
        ]
        return (rows**2).sum() + (((logs - stage.middle) / stage.width) ** 2).sum()

    assert left.mean() > fit_stage.LARGE_PART
    anew = badness(stage.without(left, slopes, stage.given))
    monkeypatch.setattr(fit_stage, "LARGE_PART", 1.0)
    chord = badness(stage.without(left, slopes, stage.given))
    assert anew < chord < badness(stage.values(stage.solution))


def test_changes_are_told():
    before = pd.DataFrame(
        {
            "level": ["a", "a", "a"],
            "key": ["k"] * 3,
            "constant": ["x", "y", "z"],
            "value": [1.0, 2.0, 3.0],
        }
    )
    after = pd.DataFrame(
        {
            "level": ["a", "a", "a"],
            "key": ["k"] * 3,
            "constant": ["x", "y", "w"],
            "value": [1.0001, 2.1, 5.0],
        }
    )
    told = refit.changes(before, after, ["level", "key", "constant"])
    assert sorted(told["constant"]) == ["w", "y", "z"]
