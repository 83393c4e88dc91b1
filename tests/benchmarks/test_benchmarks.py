"""The benchmark runs at its smallest, and what it stores is what the tables say."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import accuracy, report, speed
from benchmarks.ours import GPT3, Search
from benchmarks.peers import environment
from benchmarks.timing import rate
from training_moat.calibrate import measured_training
from training_moat.catalog import tables


def cells(markdown):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]


def test_tiny_run_prints_every_table(capsys):
    assert command.main(["--tiny", "--no-peers"]) == 0
    printed = capsys.readouterr().out
    for columns in (report.SPEED_COLUMNS, report.SEARCH_COLUMNS, report.ERROR_COLUMNS):
        assert "| " + " | ".join(columns) + " |" in printed


def test_an_incomplete_run_is_not_stored(capsys):
    with pytest.raises(SystemExit):
        command.main(["--tiny", "--store"])
    assert "only a full run" in capsys.readouterr().err


def test_batch_and_single_time_the_same_plans():
    search = Search(GPT3)
    count = len(search.case.plans) + 3
    batch = search.batch(count)()
    assert batch == pytest.approx(search.singles(count)(), rel=1e-12)
    assert batch[:3] == pytest.approx(batch[-3:])


def test_command_line_requests_are_the_plans_that_were_searched():
    search = Search(GPT3)
    seconds = search.batch(4)()
    answers = speed.training.predict(search.requests(4))
    assert [answer["step_time_s"] for answer in answers] == pytest.approx(list(seconds))


def test_every_table_has_its_columns():
    timed = [
        speed.Timed("one plan a call", speed.OURS, rate(10, [1, 2, 4])),
        speed.Timed("one plan a call", "mlsysim", rate(1, [1])),
    ]
    found = [
        speed.Found(speed.OURS, "search", 1234, rate(1, [0.5]), {"tp": 8, "recompute": 2}, 1.5)
    ]
    table = cells(report.speed(timed))
    assert table[0] == list(report.SPEED_COLUMNS)
    assert table[2][2:4] == ["5", "-50% +100%"]
    assert table[3][4].startswith("5 one by one")
    assert cells(report.search(found))[2] == [
        speed.OURS,
        "search",
        "1,234",
        "0.5",
        "",
        "tp 8 recompute full",
        "1.50",
    ]


def test_errors_without_peers_hold_us_and_the_baselines():
    frame = accuracy.errors({}, "2026-11-25", with_left_out=False)
    assert list(frame.groupby("rows")["n"].first()[["T1", "K5"]]) == [10, 8]
    assert set(frame["system"]) == {speed.OURS, "constant", "median"}
    assert (frame["max_error"] >= frame["mape"]).all()
    assert (frame["mape"] >= frame["mean_error"].abs()).all()


def test_baselines_are_what_they_say():
    usable = measured_training.usable()
    rows = usable.take((usable.frame["source"] == accuracy.TABLES["T1"]).to_numpy())
    ideal = accuracy._ideal_seconds(rows)
    share = ideal / rows.measured_seconds
    # The source prints shares of peak, with recomputation, of 43 to 52%.
    assert share.min() > 0.42 and share.max() < 0.53
    median = accuracy._left_out_median(rows, ideal)
    assert median[0] == pytest.approx(ideal[0] / np.median(share[1:]))


def test_a_row_is_described_to_the_peers_as_it_ran():
    usable = measured_training.usable()
    rows = usable.take((usable.frame["source"] == accuracy.TABLES["K5"]).to_numpy())
    case = accuracy.cases(rows)[2]
    assert (case["layers"], case["hidden"], case["chips"], case["tp"], case["pp"], case["dp"]) == (
        96,
        12288,
        64,
        8,
        8,
        1,
    )
    assert (case["virtual_stages"], case["recompute"], case["global_batch"]) == (3, 2, 64)
    assert case["params"] == pytest.approx(175e9, rel=0.01)


def test_stored_errors_cover_every_peer_in_its_pinned_version():
    stored = tables.load("peer_errors")
    pinned = dict(
        line.split("==")
        for line in environment.REQUIREMENTS.read_text().splitlines()
        if "==" in line
    )
    for name in environment.NAMES:
        rows = stored[stored["system"] == name]
        assert set(rows["rows"]) == set(accuracy.TABLES)
        assert set(rows["version"]) == {pinned[name]}


def test_a_peer_that_cannot_start_says_why(monkeypatch, tmp_path):
    (tmp_path / "worker.py").write_text("raise SystemExit('no such module')")
    monkeypatch.setattr(environment, "HERE", tmp_path)
    monkeypatch.setattr(environment, "python", lambda: __import__("sys").executable)
    monkeypatch.setitem(environment.NAMES, "broken", "worker.py")
    with environment.opened(["broken"]) as (running, failed):
        assert running == {}
        assert failed == {"broken": "no such module"}


def test_stored_errors_are_those_of_the_stored_constants():
    stored = tables.load("peer_errors").set_index(["system", "setting", "rows"])["mape"]
    now = accuracy.errors({}, "2026-11-25", with_left_out=False).set_index(
        ["system", "setting", "rows"]
    )["mape"]
    # Half a point: a refit that moves it further calls for `make bench`.
    assert stored[now.index].to_numpy() == pytest.approx(now.to_numpy(), abs=0.005)


def test_to_import_a_benchmark_sets_no_variable_of_the_importing_process():
    """Tests of the experiment read there how many threads they multiply with."""
    code = "import os; from benchmarks import __main__, costs; print(os.environ['OPENBLAS_NUM_THREADS'])"
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(command.__file__).parents[1],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["2"]
