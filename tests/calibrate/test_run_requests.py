"""Measured runs as requests: the two ways to a step time are one model, and what a source leaves open is a request's."""

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import (
    asked_plainly,
    fit_stage,
    measured_training,
    open_settings,
    run_requests,
    training_errors,
)
from training_moat.predict import training, training_answers, training_constants


@pytest.fixture(scope="module")
def measured():
    return measured_training.usable()


def unsayable(frame):
    """Heads that do not divide the width, and a batch of no whole rounds."""
    rounds = frame["global_batch"] / (frame["dp"] * frame["micro_batch"])
    return frame["head_dim"].mod(1).gt(0) | rounds.mod(1).gt(0)


def test_a_run_told_in_full_is_predicted_as_its_row(measured):
    # What no request can say: whose network it was, what autocast and a key-value cache kept, which outputs recomputed layers
    # keep, which 16-bit copy travels.
    frame = measured.frame
    silent = (frame["network_bytes_per_s"] > 0) | (frame["attention_kept"] > 0)
    silent |= frame["flash_attention"].eq(0) & frame["experts"].gt(0)
    silent |= unsayable(frame) | frame["outputs_kept"].gt(0)
    silent |= frame["params_given"].gt(0) | frame["chip_id"].isin(["wse-2", "wse-3"])
    own = np.flatnonzero(~silent)
    constants = training_constants.load()
    rows = measured.take(~silent.to_numpy())
    # A date would choose the version of a name that is told; without one experts' layers are of the middle of the releases.
    rows.frame["released"] = constants.generic("expert_year")
    row = fit_stage.predict_rows(rows, constants)
    asked = [run_requests.full(one) for one in frame.iloc[own].to_dict("records")]
    for request, batch, stages, level, share in zip(
        asked,
        measured.plan.micro_batch[own],
        measured.plan.virtual_stages[own],
        measured.plan.recompute[own],
        measured.plan.recompute_share[own],
        strict=True,
    ):
        request |= {"micro_batch": int(batch), "virtual_stages": int(stages)}
        request["recompute"] = training_answers.LEVEL_NAMES[int(level)]
        request["recompute_share"] = float(share) if level == 2 else None
    told = pd.Series([one.get("step_time_s") for one in training.predict(asked)], dtype=float)
    apart = pd.Series(np.abs(told.to_numpy() / row - 1), rows.frame["config_id"])
    assert apart.isna().sum() == 0
    assert apart.max() < 1e-6, apart.sort_values().tail(5)


def test_what_a_source_leaves_open_is_the_plan_that_a_search_takes(measured):
    left = measured_training.configurations()
    left = left[left["micro_batch_blank"] & (left["reason"] == "") & left["accumulates"].eq(1)]
    left = left.reset_index(drop=True)
    assert len(left) > 50
    settled = open_settings.settle(left)
    assert (settled["micro_batch"] >= 1).all() and settled["micro_batch"].gt(1).sum() > 20
    assert settled["recompute_level"].notna().sum() > left["recompute_level"].notna().sum()
    told = left["recompute_level"].notna()
    assert (settled.loc[told, "recompute_level"] == left.loc[told, "recompute_level"]).all()
    stated = ~left["interleaving_blank"]
    assert (settled.loc[stated, "virtual_stages"] == left.loc[stated, "virtual_stages"]).all()
    # Whatever was measured decides nothing of it.
    slower = open_settings.settle(left.assign(step_seconds=left["step_seconds"] * 3))
    pd.testing.assert_frame_equal(
        slower.drop(columns="step_seconds"), settled.drop(columns="step_seconds")
    )


def test_stated_micro_batches_stay(measured):
    table = measured_training.configurations().set_index("config_id")["micro_batch"]
    own = measured.frame[~measured.frame["micro_batch_blank"]].set_index("config_id")["micro_batch"]
    assert (own == table[own.index]).all()


def test_less_said_is_further_off(measured):
    off = asked_plainly.errors().set_index("interval_kind")
    assert off["runs"].sum() == (~unsayable(training_errors.rows())).sum()
    assert (off["everything"] < off["described"]).sum() >= 2
    assert (off["no_software"] > off["described"] + 0.02).all()
