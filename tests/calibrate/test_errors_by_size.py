"""Errors by size of the model: every run is in one class, every source counts once, and large models are missed less."""

import pytest

from training_moat.calibrate import training_errors, unseen_runs


def test_every_run_is_in_one_class_and_every_source_counts_once():
    runs = training_errors.rows()
    told = training_errors.by_size(runs)
    assert told["rows"].sum() == len(runs) and told["inside"].dropna().between(0, 1).all()
    own = runs[(runs["interval_kind"] == "dense") & (runs["weights_b"] >= 70)]
    largest = told[(told["interval_kind"] == "dense") & (told["weights_b"] == "70 and more")]
    by_source = own["unseen_source_error"].abs().groupby(own["source"]).mean()
    assert largest["error"].item() == pytest.approx(by_source.mean())
    assert (largest["rows"].item(), largest["sources"].item()) == (len(own), len(by_source))


def test_large_dense_models_are_missed_by_half_as_much_as_small_ones():
    told = training_errors.by_size(training_errors.dense_nvidia()).set_index("weights_b")
    assert told.loc["70 and more", "error"] < 0.09
    assert told.loc["70 and more", "error"] < 0.6 * told.loc["under 3", "error"]


def test_some_runs_alone_have_the_classes_they_fall_into():
    told = training_errors.by_size(training_errors.chosen(["korthikanti2022_t5"], []))
    assert list(told["weights_b"]) == ["13 to 70", "70 and more"] and list(told["rows"]) == [2, 6]


def test_two_own_runs_bring_large_dense_models_below_the_target():
    worth = unseen_runs.worth_of_own_runs()
    large = worth[(worth["interval_kind"] == "dense") & (worth["weights_b"] >= 13)]
    assert len(large) > 15 and worth["weights_b"].gt(0).all()
    assert large["with_two"].mean() < min(0.08, large["without"].mean())


def test_none_given_is_every_source_and_chip():
    """`-p sources=none` is allowed, and had ended in a TypeError."""
    assert len(training_errors.chosen(None, None)) == len(training_errors.chosen([], []))
