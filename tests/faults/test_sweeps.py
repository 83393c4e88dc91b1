"""Sweeps that are killed: what was computed is used, nothing is lost or doubled, and no process stays behind."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pyarrow as pa
import pytest
import swept_here

from training_moat import cli
from training_moat.press import sweep_points, sweep_spec, sweeping
from training_moat.press.sweep_points import ERROR, LOST, POINT

pytestmark = pytest.mark.slow
SPEC = f"""
title: many small questions
level: training
base: {{model: llama3.1-8b, chip: h100-sxm, tp: 2, pp: 1, micro_batch: 1, chips: 8}}
grid:
  seq_len: {list(range(1024, 1024 + 2 * 600, 2))}
  global_batch: {list(range(32, 544, 32))}
  precision: [bf16, fp8]
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep's file, and its table from a run that nobody disturbed: block by block in this process."""
    folder = tmp_path_factory.mktemp("whole")
    spec = folder / "s.yaml"
    spec.write_text(SPEC)
    out = folder / "t.parquet"
    sweep_here(spec, out)
    return spec, pd.read_parquet(out)


def sweep_here(spec, out):
    with pytest.MonkeyPatch.context() as patch:
        swept_here.put_in_place(patch)
        assert cli.main(["sweep", str(spec), "--out", str(out)]) == 0


def begin(spec, out):
    """Start the command in a process of its own."""
    call = [sys.executable, "-m", "training_moat.cli", "sweep", spec, "--out", out, "--workers", 2]
    return subprocess.Popen(
        list(map(str, call)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    """Wait for the end; returns what the command said of its work."""
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def first_part(out, process):
    """Wait until the first block is stored."""
    until = time.monotonic() + 300
    while not list(sweeping._parts(out).glob("[0-9]*.parquet")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


def same(one, other):
    """Equal, and each point once."""
    assert one[POINT].is_unique
    pd.testing.assert_frame_equal(one, other)


def test_a_sweep_killed_half_way_computes_only_what_is_missing(whole, tmp_path, capsys):
    spec, table = whole
    out = tmp_path / "t.parquet"
    process = begin(spec, out)
    first_part(out, process)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not out.exists(), "no table before the sweep is whole"
    stored = sum(len(pd.read_parquet(f)) for f in sweeping._parts(out).glob("[0-9]*.parquet"))
    assert 0 < stored < len(table)
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == [], "its workers end with it"
    sweep_here(spec, out)
    assert f"{len(table) - stored:,} computed now" in capsys.readouterr().err
    same(pd.read_parquet(out), table)
    assert not sweeping._parts(out).exists()


def test_a_worker_that_is_killed_costs_nothing_but_its_time(whole, tmp_path):
    spec, table = whole
    out = tmp_path / "t.parquet"
    process = begin(spec, out)
    first_part(out, process)
    workers = [
        each
        for each in psutil.Process(process.pid).children(recursive=True)
        if "spawn_main" in " ".join(each.cmdline())
    ]
    os.kill(workers[0].pid, signal.SIGKILL)
    finish(process)
    same(pd.read_parquet(out), table)


def test_points_whose_process_died_are_computed_by_the_next_run(whole, tmp_path, capsys):
    spec, table = whole
    out = tmp_path / "t.parquet"
    sweep = sweep_spec.load(spec)
    damaged = table.copy()
    damaged.loc[:9, ERROR] = f"{LOST}KilledWorker"
    told = [name for name in table if name not in sweep.fields]
    made = sweeping._manifest(sweep, sweep_points.environment(), told, 10)
    sweeping._write(pa.Table.from_pandas(damaged, preserve_index=False), out, made)
    sweep_here(spec, out)
    assert " 10 computed now" in capsys.readouterr().err
    same(pd.read_parquet(out), table)
