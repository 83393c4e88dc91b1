"""Sweeps that something else could disturb: another sweep, blocks that are gone, source written meanwhile."""

import contextlib
import socket

import pytest
import swept_here

from training_moat.core import file_locks
from training_moat.core.errors import InputError
from training_moat.press import caching, sweep_points, sweeping, workspace

SPEC = """
title: small
level: training
base: {model: llama3.1-8b, chip: h100-sxm, seq_len: 4096, global_batch: 256}
grid: {chips: [8, 16, 32]}
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A sweep's file; it is computed in this process."""
    swept_here.put_in_place(monkeypatch)
    (tmp_path / "s.yaml").write_text(SPEC)
    return str(tmp_path / "s.yaml")


def test_two_sweeps_do_not_write_one_table_at_once(spec, tmp_path):
    """Their blocks would have the same names, and the first to end would remove those of the other."""
    out = tmp_path / "t.parquet"
    with (
        file_locks.alone(tmp_path / ".t.parquet.lock"),
        pytest.raises(InputError, match="another sweep is writing this table"),
    ):
        sweeping.run(spec, str(out))
    assert not out.exists() and not sweeping._parts(out).exists()
    assert sweeping.run(spec, str(out)).computed == 3
    assert {path.name for path in tmp_path.iterdir()} == {"s.yaml", "t.parquet"}


def test_a_table_without_some_of_its_points_is_not_written(spec, tmp_path, monkeypatch):
    out = tmp_path / "t.parquet"
    plain = sweeping._compute
    monkeypatch.setattr(sweeping, "_compute", lambda s, missing, *a: plain(s, missing[1:], *a))
    with pytest.raises(sweeping.WorkFailed, match="blocks were removed meanwhile"):
        sweeping.run(spec, str(out))
    assert not out.exists()


def test_what_a_killed_worker_leaves_lies_where_the_next_one_sweeps(monkeypatch):
    seen = []

    def killed(chapter, point, target):
        seen.append(target)
        raise SystemExit

    monkeypatch.setattr(sweep_points.kitchen, "run", killed)
    with pytest.raises(SystemExit):
        sweep_points._chapter("two_chips", {"chips": ["h100-sxm"]})
    assert seen[0].is_relative_to(workspace.WORK)


def test_a_worker_that_may_know_an_older_edition_of_the_source_is_refused(monkeypatch):
    """Its files are those of this process, what it imported of them long ago need not be."""

    class Client:
        def run(self, asked, on_error):
            try:
                return {"tcp://one": asked()}
            except InputError as error:
                return {"tcp://one": error}

    sweeping._same_everywhere(Client(), sweep_points.environment())
    monkeypatch.setattr(caching, "code_is_older", lambda: True)
    with pytest.raises(InputError, match="worker tcp://one .*was written since it began"):
        sweeping._same_everywhere(Client(), sweep_points.environment())


def test_source_written_while_the_workers_start_is_not_taken_for_the_older(
    spec, tmp_path, monkeypatch
):
    states = iter("ab")
    monkeypatch.setattr(caching, "run_state", lambda: next(states))
    with pytest.raises(sweeping.WorkFailed, match="written meanwhile"):
        sweeping.run(spec, str(tmp_path / "t.parquet"))
    assert not sweeping._parts(tmp_path / "t.parquet").exists()


@pytest.mark.slow
def test_a_second_sweep_at_once_is_told_nothing_of_ports(recwarn):
    """Dask's own port, taken by another sweep or by anybody else."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # it is taken already
            held.enter_context(socket.create_server(("127.0.0.1", 8787)))
        with sweeping._client(1, None, "e") as client:
            assert client.scheduler_info()["workers"]
    assert not [str(one.message) for one in recwarn if "Port" in str(one.message)]
