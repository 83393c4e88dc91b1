"""What the constants say of a new source is stored before it is fitted to, by a command that anybody can run."""

import pandas as pd
import pytest

from training_moat import cli
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


def test_a_source_that_no_fit_has_met_has_its_line_beside_the_others(capsys):
    """CONTRIBUTING sends who adds a row to `moat validate --by source`, which had told of fitted sources alone."""
    (row,) = tables.load("training_measurements").query("row_id == 'T06061'").to_dict("records")
    new = row | {"row_id": "N1", "config_id": "new-0001", "source": "nobody_yet"}
    stack = tables.load("training_stacks").query("training_source == 'modded_llama2'").iloc[:1]
    more = {
        "training_measurements": pd.DataFrame([new]),
        "training_stacks": stack.assign(training_source="nobody_yet"),
    }
    with tables.replaced(
        **{k: pd.concat([tables.load(k), own], ignore_index=True) for k, own in more.items()}
    ):
        found = unseen_runs.not_met(["source", "kind"]).set_index("source")
    assert found.loc["nobody_yet", "rows"] == 1
    assert found.loc["nobody_yet", "error"] == pytest.approx(_off("modded_llama2-0002"), rel=1e-3)
    assert "nobody_yet" not in set(unseen_runs.not_met(["source"])["source"])
    assert cli.main(["validate"]) == 0
    assert "that no fit has met" in capsys.readouterr().out


def _off(config):
    known = unseen_runs.to_store("modded_llama2", "2026-11-27").set_index("config_id").loc[config]
    return abs(known["predicted_s"] / known["measured_s"] - 1)
