"""What the constants say of a new source is stored before it is fitted to, by a command that anybody can run."""

import pytest

from training_moat.calibrate import measured_training, unseen_runs
from training_moat.catalog import tables
from training_moat.core.errors import InputError


def test_the_lines_of_a_source_that_no_fit_has_seen_are_those_of_the_table():
    aside = measured_training.put_aside().frame
    source = aside["source"].iloc[0]
    rows = unseen_runs.to_store(source, "2026-11-27")
    assert list(rows) == list(tables.load("training_blind"))
    assert rows["config_id"].tolist() == aside.loc[aside["source"] == source, "config_id"].tolist()
    assert (rows["p05_s"] < rows["predicted_s"]).all()
    assert (rows["predicted_s"] < rows["p95_s"]).all()


def test_a_source_without_runs_in_the_lock_box_is_refused():
    with pytest.raises(InputError, match=r"no comparable run of the source 'nobody'"):
        unseen_runs.to_store("nobody", "2026-11-27")
