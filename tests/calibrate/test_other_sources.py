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


def test_sources_described_alike_differ_by_what_they_measured_each_pair_counting_once():
    """By hand: a and b differ twofold in two pairs of runs; c is expected at half the speed and is nobody's pair."""
    found = other_sources.described_alike(
        runs(
            source=["a", "b", "b", "c"],
            measured_s=[1.0, 2.0, 2.0, 9.0],
            predicted_s=[1.0, 1.0, 1.02, 2.0],
            unseen_source_error=[-0.1, 0.3, 0.3, 0.9],
        )
    )
    assert found["pairs"].tolist() == [1]
    assert found["differ"].tolist() == pytest.approx([np.log(2)])
    assert found["at_best"].tolist() == pytest.approx([np.log(2) / np.sqrt(2)])
    assert found["model"].tolist() == pytest.approx([0.2])


@pytest.mark.parametrize("other", [{"chip_id": "h200"}, {"interval_kind": "moe"}, {"source": "a"}])
def test_another_training_or_the_same_source_is_no_pair(other):
    frame = runs(source=["a", "b"], measured_s=[1.0, 1.0])
    for name, value in other.items():
        frame.loc[1, name] = value
    assert other_sources.described_alike(frame).empty


def test_no_model_could_do_much_better_where_sources_describe_their_runs_alike():
    """The best model of such descriptions is not worse than the stored one, and not far better for dense runs."""
    found = other_sources.described_alike(training_errors.rows()).set_index("interval_kind")
    assert found.loc["dense", "pairs"] > 40
    assert (found["at_best"] < found["model"]).all()
    assert found.loc["dense", "model"] < 1.5 * found.loc["dense", "at_best"]


def test_the_model_comes_closer_than_what_others_published_of_the_same_training():
    found = other_sources.by_kind(other_sources.beside_others(training_errors.rows()))
    assert found["runs"].sum() > 600 and found["sources"].min() > 10
    assert (found["model"] < found["looked_up"]).all()
    assert np.isfinite(found[["model", "looked_up", "moved"]]).all(axis=None)
