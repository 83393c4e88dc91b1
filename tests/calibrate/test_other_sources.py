"""Runs predicted by what other sources published of the same training."""

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import other_sources, training_errors


def runs(**columns):
    plain = {
        "chip_id": "h100-sxm", "format": "bf16", "layers": 32, "hidden": 4096, "experts": 0, "seq_len": 4096,
        "global_batch": 64, "chips": 8, "predicted_s": 1.0, "unseen_source_error": 0.0, "interval_kind": "dense",
    }  # fmt: skip
    return pd.DataFrame(plain | columns)


def test_a_run_is_predicted_by_the_others_speed_each_source_counting_once():
    """By hand: b measures 2 and 8 s, in the mean of logarithms 4; c 1 s; together 2, twice what a's run took."""
    found = other_sources.beside_others(
        runs(source=["a", "b", "b", "c"], measured_s=[1.0, 2.0, 8.0, 1.0])
    )
    assert found.loc[0, "looked_up"] == pytest.approx(1.0)
    assert found.loc[0, "moved"] == pytest.approx(1.0)


def test_what_differs_in_settings_is_moved_by_the_model_alone():
    """Twice the chips at nine tenths of the speed each, as the model says of both: moved it is right, looked up a ninth off."""
    seconds = [1.0, 1.0 / (2 * 0.9)]
    found = other_sources.beside_others(
        runs(source=["a", "b"], chips=[8, 16], measured_s=seconds, predicted_s=seconds)
    )
    assert found["moved"].tolist() == pytest.approx([0.0, 0.0])
    assert found.loc[0, "looked_up"] == pytest.approx(1 / 0.9 - 1)
    assert found.loc[1, "looked_up"] == pytest.approx(0.9 - 1)


@pytest.mark.parametrize("other", [{"chip_id": "h200"}, {"seq_len": 8192}, {"format": "fp8"}])
def test_another_training_says_nothing(other):
    frame = runs(source=["a", "b"], measured_s=[1.0, 1.0])
    for name, value in other.items():
        frame.loc[1, name] = value
    assert other_sources.beside_others(frame).empty
    assert other_sources.by_kind(other_sources.beside_others(frame)).empty


def test_every_source_counts_alike_in_the_mean():
    beside = pd.DataFrame(
        {"source": ["a", "a", "a", "b"], "interval_kind": "dense", "model": [0.1, -0.1, 0.1, -0.3]}
    )
    found = other_sources.by_kind(beside.assign(looked_up=0.0, moved=0.0))
    assert found["model"].tolist() == pytest.approx([0.2])
    assert found[["runs", "sources"]].values.tolist() == [[4, 2]]


def test_the_model_comes_closer_than_what_others_published_of_the_same_training():
    found = other_sources.by_kind(other_sources.beside_others(training_errors.rows()))
    assert found["runs"].sum() > 600 and found["sources"].min() > 10
    assert (found["model"] < found["looked_up"]).all()
    assert np.isfinite(found[["model", "looked_up", "moved"]]).all(axis=None)
