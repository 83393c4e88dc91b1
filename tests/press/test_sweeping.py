"""Sweeps: each point once, in the order of the file, whatever was computed before; bad files one sentence."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import swept_here
from calling import moat

from training_moat import cli
from training_moat.core.errors import InputError
from training_moat.predict import asking, training
from training_moat.press import caching, sweep_points, sweep_spec, sweeping
from training_moat.press.sweep_points import ERROR, POINT

SPEC = """
title: small
level: training
base: {model: llama3.1-8b, seq_len: 4096, global_batch: 256}
grid:
  chip: [h100-sxm, a100-80]
  chips: {from: 8, to: 32, steps: 3}
"""


def written(tmp_path, text, name="s.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def whole(text):
    return text.replace("{from: 8, to: 32, steps: 3}", "[8, 16, 32]")


def digest(point):
    """What identifies a point, made from its fields alone."""
    total = sum(np.array(sweep_spec._hashed(*field), np.uint32) for field in point.items())
    return str(sweep_spec._written(total[None])[0], "ascii")


@pytest.fixture
def here(monkeypatch):
    """Sweeps in this process."""
    swept_here.put_in_place(monkeypatch)


def test_points_cross_grid_list_and_draws(tmp_path):
    sweep = sweep_spec.load(
        written(
            tmp_path,
            """
level: serving
base: {model: llama3.1-8b}
grid: {chip: [h100-sxm, b200]}
list: [{batch: 1}, {batch: 8, input_len: 100}]
draw: {count: 3, seed: 1, values: {output_len: {p05: 10, median: 100, p95: 900}}}
""",
        )
    )
    points = sweep.points(np.arange(len(sweep)))
    assert len(sweep) == len(points) == 12
    assert len({digest(point) for point in points}) == 12
    assert [point["chip"] for point in points[::6]] == ["h100-sxm", "b200"]
    assert points[3]["input_len"] == 100 and "input_len" not in points[0]
    assert points[0]["output_len"] == points[6]["output_len"] > 0


def test_the_table_is_the_model_s_answers_and_a_bad_point_has_its_sentence(tmp_path, here):
    spec = written(tmp_path, whole(SPEC).replace("a100-80]", "a100-80, nochip]"))
    out = tmp_path / "t.parquet"
    done = sweeping.run(spec, str(out))
    table = pd.read_parquet(out)
    assert (done.points, done.computed, done.failed) == (9, 9, 3)
    assert table[table["chip"] == "nochip"][ERROR].str.contains("unknown chip 'nochip'").all()
    from training_moat.predict import training

    asked = sweep_spec.load(spec).point(1)
    assert table["step_time_s"][1] == training.predict([asked])[0]["step_time_s"]
    assert not sweeping._parts(out).exists()


def test_an_extended_sweep_computes_only_what_is_missing(tmp_path, here):
    out = str(tmp_path / "t.parquet")
    first = sweeping.run(written(tmp_path, whole(SPEC)), out)
    again = sweeping.run(written(tmp_path, whole(SPEC)), out)
    more = sweeping.run(
        written(tmp_path, whole(SPEC).replace("[8, 16, 32]", "[4, 8, 16, 32]")), out
    )
    assert (first.computed, again.computed, more.computed) == (6, 0, 2)
    table = pd.read_parquet(out)
    assert list(table["chips"]) == [4, 8, 16, 32] * 2 and table[POINT].is_unique


def test_finished_parts_of_an_interrupted_run_are_used(tmp_path, here, monkeypatch):
    out = tmp_path / "t.parquet"
    spec = written(tmp_path, whole(SPEC))
    sweep = sweep_spec.load(spec)
    part = sweeping._parts(out)
    part.mkdir()
    table = sweep_points.results(sweep, np.arange(4))
    environment = {"environment": sweep_points.environment()}
    sweeping._write(table, part / "00000000.parquet", environment)
    assert sweeping.run(spec, str(out)).computed == 2
    fresh = tmp_path / "fresh.parquet"
    sweeping.run(spec, str(fresh))
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(fresh))


def test_other_source_or_data_compute_everything_anew(tmp_path, here, monkeypatch):
    out = str(tmp_path / "t.parquet")
    spec = written(tmp_path, whole(SPEC))
    sweeping.run(spec, out)
    monkeypatch.setattr(sweep_points, "environment", lambda: "another")
    assert sweeping.run(spec, out).computed == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("level: [", "line 1, column"),
        ("- a", "expected a mapping"),
        ("levle: training", "did you mean 'level'?"),
        ("level: trainin", "did you mean 'training'?"),
        ("level: training\ngrid: {chip: []}", "grid.chip: expected a list"),
        ("level: training\ngrid: {chpi: [b200]}", "did you mean 'chip'?"),
        ("level: training\ngrid: {chips: {from: 1, to: 2}}", "expected from, to, steps"),
        ("level: training\ngrid: {chips: {from: 0, to: 2, steps: 2, log: true}}", "above 0"),
        ("level: training\ngrid: {chips: {from: 1, to: 2, steps: 2, log: 5}}", "true or false"),
        ("level: training\ngrid: {chips: {from: 1, to: 2, steps: 100000000}}", "2 to 1000000"),
        (
            "level: training\ngrid: {chips: {from: -1.0e+308, to: 1.0e+308, steps: 2}}",
            "as far apart",
        ),
        (
            f"level: training\ngrid: {{chips: {{from: 1{'0' * 400}, to: 1, steps: 2}}}}",
            "outside its range",
        ),
        ("level: training\nbase: {model: 2024-01-01}", "base.model: expected words and numbers"),
        ("level: training\nlist: [{chips: !!set {a}}]", "list.chips: expected words and numbers"),
        ("level: training\ndraw: {count: 3}", "draw.values: expected at least one name"),
        ("level: training\nlevel: serving", "'level' is there twice"),
        ("level: training\nlist: 3", "expected a list of mappings"),
        ("level: training\ndraw: {count: 0, values: {}}", "its range, 1 upwards"),
        ("level: training\ndraw: {values: {chips: {p05: 1}}}", "expected p05, median and p95"),
        ("level: memory\ngrid: {seq_len: [1.5]}", "expected a whole number"),
        ("level: memory\ngrid: {sequence: [4096]}", "is called 'seq_len' now"),
        ("level: claims", "nothing to vary"),
    ],
)
def test_a_bad_sweep_is_one_sentence_before_anything_runs(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        sweep_spec.load(written(tmp_path, text))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_sweep_s_table_is_left_alone(tmp_path, here):
    foreign = tmp_path / "mine.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(foreign)
    before = foreign.read_bytes()
    with pytest.raises(InputError, match="left as it is"):
        sweeping.run(written(tmp_path, whole(SPEC)), str(foreign))
    assert foreign.read_bytes() == before


@pytest.mark.slow
def test_a_cluster_started_elsewhere_gives_the_same_table(tmp_path, here):
    spec, alone = written(tmp_path, whole(SPEC)), tmp_path / "alone.parquet"
    sweeping.run(spec, str(alone))
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        out = tmp_path / "cluster.parquet"
        done = moat("sweep", spec, "--out", out, "--scheduler", cluster.scheduler_address)
        assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(pd.read_parquet(alone), pd.read_parquet(out))


def test_a_digest_tells_points_apart_by_names_values_and_kinds_and_by_nothing_else(tmp_path):
    points = [
        {"a": 1, "b": "x"}, {"b": 1.0, "a": True}, {"a": 1.0, "b": None}, {"a": [1, 2], "b": {"c": 1}},
        {"a": True, "b": "x"}, {"a": False, "b": 0}, {"a": 0, "b": -0.0}, {"a": "1", "b": 0.0},
        {"a": "x", "b": 1}, {"a": 1}, {"b": 1}, {"a": [2, 1], "b": {"c": 1}},
    ]  # fmt: skip
    found = [digest(point) for point in points]
    assert len(set(found)) == len(points) and {len(one) for one in found} == {24}
    turned = [dict(reversed(point.items())) for point in points]
    assert [digest(point) for point in turned] == found
    hashed = [hashlib.blake2b(one, digest_size=12).digest() for one in (b'"a": 1', b'"b": "x"')]
    high = sum(int.from_bytes(one[:8], "big") for one in hashed) % 2**64
    low = sum(int.from_bytes(one[8:], "big") for one in hashed) % 2**32
    assert found[0] == f"{high:016x}{low:08x}"


def test_digests_of_columns_are_those_of_the_points(tmp_path):
    sweep = sweep_spec.load(written(tmp_path, MIXED))
    every = [digest(point) for point in sweep.points(np.arange(len(sweep)))]
    assert sweep.digests().astype(str).tolist() == every and len(set(every)) == len(sweep)
    assert sweep.digests(np.array([7, 2])).astype(str).tolist() == [every[7], every[2]]


MIXED = """
level: training
base: {model: llama3.1-8b, global_batch: 256}
grid: {chip: [h100-sxm, a100-80, nochip], chips: [8, 24, 0, 64], micro_batch: [1, 1000000000]}
list: [{seq_len: 4096}, {precision: fp8, tp: 2}, {model: mixtral-8x7b, recompute: full}, {model: [1]}]
draw: {count: 2, seed: 3, values: {matmul_tflops: {p05: 100, median: 300, p95: 900}}}
"""


FEWER = MIXED.replace("[8, 24, 0, 64]", "[8, 0]").replace("count: 2", "count: 1")
"""A quarter of these points, for what one other field or chip changes."""
STREAMED = FEWER.replace("a100-80", "wse-2")
"""With a chip whose weights lie in a store outside."""


@pytest.mark.parametrize(
    "text", [MIXED, whole(SPEC), FEWER.replace("micro_batch", "tokens_b"), STREAMED]
)
def test_points_of_a_sweep_get_what_each_gets_alone(tmp_path, text):
    sweep = sweep_spec.load(written(tmp_path, text))
    every = np.arange(len(sweep))
    table = sweep_points.results(sweep, every).to_pandas()
    asked = [training.predict([point])[0] for point in sweep.points(every)]
    alone = pd.DataFrame(asking.columns(asked))
    assert alone["error"].ne("").any() == ("nochip" in text) and alone["error"].eq("").any()
    assert set(table) == {sweep_points.POINT, *alone}
    blank = [one.astype(object).where(one.notna(), None) for one in (table[list(alone)], alone)]
    pd.testing.assert_frame_equal(*blank, check_exact=True)


def test_values_of_mixed_kinds_become_text_and_a_shared_name_keeps_the_result(tmp_path, here):
    spec = written(tmp_path, MIXED.replace("micro_batch: [1, 1000000000]", "goodput: [0.5, half]"))
    out = tmp_path / "t.parquet"
    for _ in range(2):
        sweeping.run(spec, str(out))
        table = pd.read_parquet(out)
        assert set(table["model"]) == {"llama3.1-8b", "mixtral-8x7b", "1"}
        assert set(table["goodput"].dropna()) == {"0.5", "half"}


class Later:
    """A future of a client that works at once."""

    def __init__(self, key, value):
        self.key, self.value = key, value

    def exception(self):
        return None

    def result(self):
        return self.value

    def release(self):
        pass


class Held:
    """What a client has handed to its workers."""

    def __init__(self, value):
        self.value, self.status = value, "finished"


class Worker:
    """A client that computes in this process."""

    loop = None

    def scheduler_info(self):
        return {"workers": {"one": {}}}

    def scatter(self, value, broadcast):
        return Held(value)

    def submit(self, call, shared, *arguments, **_):
        return Later(id(arguments[0]), call(shared.value, *arguments))


class Queue(list):
    """Futures in the order in which they were handed out, with those that come while one looks."""

    def __init__(self, loop):
        super().__init__()

    def add(self, future):
        self.append(future)


def test_results_that_went_with_a_worker_are_computed_again(tmp_path, monkeypatch):
    import distributed
    from distributed.client import FutureCancelledError

    class Forgetful(Worker):
        """The first block's results are gone when they are fetched."""

        lost = 0

        def submit(self, *arguments, **options):
            future = super().submit(*arguments, **options)
            if not self.lost:
                self.lost += 1
                future.result = lambda: (_ for _ in ()).throw(FutureCancelledError("k", "gone"))
            return future

    monkeypatch.setattr(distributed, "as_completed", Queue)
    monkeypatch.setitem(sweeping.BLOCK, "training", 1)
    sweep, worker = sweep_spec.load(written(tmp_path, whole(SPEC))), Forgetful()
    out = tmp_path / "t.parquet"
    sweeping._compute(sweep, np.arange(2), out, "e", worker)
    assert worker.lost == 1
    assert [part.name for part in sorted(sweeping._parts(out).iterdir())] == [
        "00000000.parquet", "00000001.parquet",
    ]  # fmt: skip


def test_a_block_is_not_kept_when_a_table_was_written_meanwhile(tmp_path, monkeypatch):
    import distributed

    monkeypatch.setattr(distributed, "as_completed", Queue)
    sweep = sweep_spec.load(written(tmp_path, whole(SPEC)))
    out = tmp_path / "t.parquet"
    sweeping._compute(sweep, np.arange(2), out, "e", Worker())
    assert len(list(sweeping._parts(out).iterdir())) == 1
    states = iter("ab")
    monkeypatch.setattr(caching, "run_state", lambda: next(states))
    with pytest.raises(sweeping.WorkFailed, match="written meanwhile"):
        sweeping._compute(sweep, np.arange(2, 4), out, "e", Worker())
    assert len(list(sweeping._parts(out).iterdir())) == 1


def test_the_command_says_why_the_first_point_failed(tmp_path, here, capsys):
    spec = written(tmp_path, whole(SPEC) + "  precision: [bf16, fp7]\n")
    assert cli.main(["sweep", spec, "--out", str(tmp_path / "t.parquet")]) == 0
    told = capsys.readouterr().err
    assert "6 failed, the first: unknown precision 'fp7'; did you mean 'fp8'?" in told


def test_a_sweep_that_went_with_its_worker_is_handed_out_again(tmp_path, monkeypatch):
    """Else each block would be cancelled for want of it, and handed out, without end."""
    import distributed
    from distributed.client import FutureCancelledError

    class Bereft(Worker):
        """What was handed out first is gone when the first block asks for it."""

        handed, asked = 0, 0

        def scatter(self, value, broadcast):
            self.handed += 1
            return super().scatter(value, broadcast)

        def submit(self, call, shared, *arguments, **options):
            self.asked += 1
            assert self.asked < 10, "handed out without end"
            if self.handed > 1:
                return super().submit(call, shared, *arguments, **options)
            shared.status = "lost"
            future = Later(id(arguments[0]), None)
            future.exception = lambda: (_ for _ in ()).throw(FutureCancelledError("k", "gone"))
            return future

    monkeypatch.setattr(distributed, "as_completed", Queue)
    monkeypatch.setitem(sweeping.BLOCK, "training", 1)
    sweep, worker = sweep_spec.load(written(tmp_path, whole(SPEC))), Bereft()
    sweeping._compute(sweep, np.arange(2), tmp_path / "t.parquet", "e", worker)
    assert worker.handed == 2
