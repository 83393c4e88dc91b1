"""The scatters by which own runs are weighed, from errors whose scatters are known."""

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import own_machines
from training_moat.predict.training_constants import relative_scatter

MACHINES, RUNS = 60, 12
PAIRS = RUNS // 2


def drawn(between, setting, run):
    """Errors of machines on which every two runs have the same setting, far from all others (by source and chip)."""
    draw = np.random.default_rng(7)
    machine = np.repeat(draw.normal(0, between, MACHINES), RUNS)
    place = np.repeat(draw.normal(0, setting, MACHINES * PAIRS), 2)
    errors = pd.Series(machine + place + draw.normal(0, run, MACHINES * RUNS))
    of_machine = np.repeat(np.arange(MACHINES), RUNS)
    frame = pd.DataFrame({"source": of_machine // 2, "chip_id": of_machine % 2})
    points = np.repeat(np.arange(MACHINES * PAIRS), 2)[None, :] * 10.0
    return errors, frame, points


@pytest.mark.parametrize("known", [(0.3, 0.1, 0.03), (0.05, 0.3, 0.1), (0.1, 0.05, 0.3)])
def test_the_scatters_that_made_the_errors_are_found(known):
    found = own_machines.scatter(*drawn(*known))
    # A t distribution takes the scale of errors that have no odd machine among them a little smaller.
    assert np.argsort(found).tolist() == np.argsort(known).tolist()
    largest = int(np.argmax(known))
    assert found[largest] == pytest.approx(known[largest], rel=0.25)


def test_one_odd_machine_hardly_moves_them():
    errors, frame, points = drawn(0.1, 0.05, 0.03)
    plain = own_machines.scatter(errors, frame, points)
    odd = own_machines.scatter(errors.where(errors.index >= RUNS, errors + 3.0), frame, points)
    assert plain.between < odd.between < 1.3 * plain.between


def test_rows_of_the_table_name_each_scatter_of_each_kind():
    errors, frame, points = drawn(0.1, 0.05, 0.03)
    kinds = pd.Series(np.where(frame["source"] < 10, "dense", "moe"))
    rows = own_machines.records(errors, kinds, frame, points)
    assert [(row["constant"], row["key"]) for row in rows] == [
        (kind, part) for kind in ("dense", "moe") for part in ("between", "setting", "run")
    ]
    assert {row["sources"] for row in rows} == {10, 20} and rows[0]["rows"] == 20 * RUNS


@pytest.mark.parametrize("power", [0.0, 0.3, 0.6])
def test_the_power_by_which_wide_models_scatter_less_is_found(power):
    errors, frame, points = drawn(0.2, 0.1, 0.05)
    frame["hidden"] = np.random.default_rng(3).choice([1024, 2048, 8192, 16384], len(frame))
    kinds = pd.Series(np.where(frame["source"] < 10, "dense", "moe"))
    scattered = errors * relative_scatter(frame["hidden"], power)
    found = own_machines.hidden_power(scattered, kinds, frame, points)
    assert found == pytest.approx(power, abs=0.05)
    row = own_machines.power_record(found, frame)
    assert (row["level"], row["constant"], row["rows"]) == ("scatter", "hidden_power", len(frame))
