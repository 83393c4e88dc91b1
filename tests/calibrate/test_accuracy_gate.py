"""The accuracy of the model may not get worse unnoticed: recorded errors, a small margin, the targets.

`accuracy_record.json` holds the errors at the last deliberate change of the model or its constants, in
percent. Recording new figures is a decision: run this file as a program and commit the difference.
"""

import json
from pathlib import Path

import pytest

from training_moat.calibrate import training_errors

RECORD = Path(__file__).with_name("accuracy_record.json")
MARGIN = 0.3
"""Percentage points by which an error may exceed its record."""


def figures():
    """Current errors in percent, by what they are about."""
    table = training_errors.accuracy(["source", "kind"])
    found = {f"{row.source}, {row.kind}": row for row in table.itertuples()}
    errors = {
        name: 100 * row[table.columns.get_loc("all sources fitted") + 1]
        for name, row in found.items()
    }
    unseen = training_errors.dense_nvidia()["unseen_source_error"].abs().mean()
    return errors | {
        "dense runs on Nvidia chips, source left out": 100 * unseen,
        **memory_figures(),
    }


def memory_figures():
    """Errors of peak memory in percent, by what was read."""
    rows = training_errors.memory_rows()
    errors = 100 * rows["error"].abs().groupby(rows["reading"]).mean()
    return {"peak memory": errors["peak"], "allocated memory": errors["allocated"]}


@pytest.fixture(scope="module")
def current():
    return figures()


def test_no_error_is_worse_than_recorded(current):
    recorded = json.loads(RECORD.read_text())
    assert set(current) == set(recorded), "a source came or went: record the errors anew"
    worse = {
        name: (recorded[name], round(current[name], 2))
        for name in recorded
        if current[name] > recorded[name] + MARGIN
    }
    assert not worse, f"worse than recorded (percent, before and now): {worse}"


def test_the_two_classic_tables_are_met_with_the_same_constants(current):
    # Best published tools on the same rows: llm-analysis patched 5.65% and the constant's leave-one-out median 6.1%
    # on Narayanan 2021 table 1; calculon 3.65% on Korthikanti 2022 table 5, and 11.7% on the first.
    assert current["narayanan2021_t1, dense"] < 5.3
    # Of calculon's figure the second misses by two thirds of a point: a third since products are described as they were
    # measured alone, a third since eager tensor parallelism has a constant of its own.
    assert current["korthikanti2022_t5, dense"] < 4.4


def test_peak_memory_is_within_five_percent(current):
    # 5.2 since two trials of an 18B model are read, whose stated size agrees with its shape once its head is tied.
    assert current["peak memory"] < 5.3


def test_tensors_are_counted_within_six_percent_and_in_the_middle_within_five(current):
    # 5.5 and 2.7 before eighteen readings of Qwen3 on H100, which its model and loss make larger than is counted.
    rows = training_errors.memory_rows()
    # The second set of foretold steps is told apart: its memory was read after the model was last changed.
    own = (rows["reading"] == "allocated") & (rows["source"] != "book_h200_steps_second")
    error = rows.loc[own, "error"].abs()
    assert error.mean() < 0.06 and error.median() < 0.05
    assert current["allocated memory"] < 6.6


def test_unseen_sources_are_predicted_better_than_by_the_fair_constant():
    dense = training_errors.dense_nvidia()
    assert dense["unseen_source_error"].abs().mean() < 0.5 * dense["constant_error"].abs().mean()


def test_intervals_hold_about_nine_in_ten_runs_of_a_source_nobody_saw():
    covered = training_errors.coverage(by_support=False).set_index("interval_kind")
    # 94.0% since eager tensor parallelism, whose runs had widened the interval, is met.
    assert 0.86 <= covered["coverage_by_source"]["dense"] <= 0.945
    # Other makers' sources are few and scatter widely: their interval errs on the wide side.
    assert 0.86 <= covered["coverage_by_source"]["dense_other"] <= 0.96
    assert covered["coverage_by_source"]["moe"] >= 0.86
    assert training_errors.coverage()["coverage_by_source"].min() >= 0.85


if __name__ == "__main__":
    RECORD.write_text(
        json.dumps({name: round(value, 2) for name, value in figures().items()}, indent=1) + "\n"
    )
