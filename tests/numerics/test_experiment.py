"""The experiment's quick form: invariants of its results, its manifest, and what an interruption leaves."""

import dataclasses
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import corpus
import numpy_runs
import pandas as pd
import pytest
from numpy_loop import train

from training_moat.core import file_locks
from training_moat.core.errors import InputError
from training_moat.core.whole_files import write_text
from training_moat.numerics.design import FULL, LOW_RATE_RECIPES, Design
from training_moat.numerics.recipes import RECIPES

TINY = Design(
    seeds=(1, 2),
    steps=2,
    transfer_recipes=("fp32",),
    ported_recipes=("fp8_fnuz_ported",),
    log2_rates=(-8.0,),
    low_log2_rates=(-13.0,),
    log2_loss_scales=(0.0,),
    range_seeds=1,
)
"""A design of seconds; what the recipes cost is judged on the stored runs, of which `test_results` makes some again."""


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The tiny design run as the quick form, in processes of its own."""
    out = tmp_path_factory.mktemp("quick")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_runs, "QUICK", TINY)
        numpy_runs.run(quick=True, out=out)
    return out


ONE_THREAD = os.environ["OPENBLAS_NUM_THREADS"] == "1"
"""Whether this process multiplies with one thread: read before any test sets the variable for processes of its own."""


def assert_same_runs(one, other):
    """To the last digit where this process has one thread, as the workers have. A product shared among more may end in another,
    which becomes a thousandth where it decides how a number of few bits is rounded."""
    apart = 0.0 if ONE_THREAD else 0.01
    pd.testing.assert_frame_equal(pd.read_csv(one), pd.read_csv(other), rtol=0, atol=apart)


def test_manifest_says_how_to_run_it_again(quick):
    manifest = json.loads((quick / numpy_runs.MANIFEST).read_text())
    assert manifest["form"] == "quick" and "--seeds 1,2" in manifest["command"]
    assert manifest["runs"] == len(TINY.runs()) and manifest["design"]["steps"] == TINY.steps
    assert {"python", "numpy", "training_moat"} <= set(manifest["versions"])
    assert len(manifest["probe_sha256"]) == 64
    assert len(manifest["fingerprint_sha256"]) == len(manifest["corpus_sha256"]) == 64
    assert len(manifest["table_sha256"]) == 64


def test_no_partial_file_is_left(quick):
    assert sorted(path.name for path in quick.iterdir()) == [numpy_runs.TABLE, numpy_runs.MANIFEST]


trained = cache(lambda *run: train(*run, corpus.load()))
"""What a run gives, worked out once for all tests of this process: what they ask is what becomes of it."""


@pytest.fixture
def tiny(monkeypatch):
    """The tiny design, its runs in a thread: `quick` starts the processes."""
    monkeypatch.setattr(numpy_runs, "QUICK", TINY)
    monkeypatch.setattr(numpy_runs, "_pool", lambda workers: ThreadPoolExecutor(1))
    monkeypatch.setattr(numpy_runs, "train", lambda *run: trained(*run[:-1]))
    return TINY


@pytest.fixture
def whole(tiny, tmp_path):
    """The table of the tiny design run in one go, by this process as what it is held against: the workers of `quick` may have
    fewer threads, and a product shared among threads another last digit."""
    return numpy_runs.run(quick=True, out=tmp_path / "whole")


def test_an_interrupted_run_continues_where_it_stopped(tiny, whole, tmp_path, monkeypatch):
    finished = numpy_runs._results

    def stop_after_five(missing, *rest):
        for count, result in enumerate(finished(missing, *rest)):
            if count == 5:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(numpy_runs, "_results", stop_after_five)
    with pytest.raises(KeyboardInterrupt):
        numpy_runs.run(quick=True, out=tmp_path / "cut")
    (partial,) = (tmp_path / "cut").iterdir()  # and no lock
    with partial.open("a") as file:
        file.write("transfer,fp3")  # a line the interruption cut short
    asked = []
    monkeypatch.setattr(
        numpy_runs,
        "_results",
        lambda missing, *rest: asked.extend(missing) or finished(missing, *rest),
    )
    again = numpy_runs.run(quick=True, out=tmp_path / "cut")
    assert len(asked) == len(tiny.runs()) - 5
    assert again.read_text() == whole.read_text()
    assert not partial.exists()


def test_a_call_that_is_killed_while_it_writes_its_results_is_followed_by_another(
    tiny, whole, tmp_path, monkeypatch
):
    """Of the two files the table comes last: alone it would be taken for another design's."""
    for written in (0, 1):
        out = tmp_path / str(written)
        left = iter(range(written))

        def killed(target, text, left=left):
            next(left)
            write_text(target, text)

        with monkeypatch.context() as patch, pytest.raises(StopIteration):
            patch.setattr(numpy_runs, "write_text", killed)
            numpy_runs.run(quick=True, out=out)
        with monkeypatch.context() as patch:
            patch.setattr(numpy_runs, "_one", None)  # nothing is run twice
            again = numpy_runs.run(quick=True, out=out)
        assert again.read_bytes() == whole.read_bytes()
        assert sorted(path.name for path in out.iterdir()) == [
            numpy_runs.TABLE,
            numpy_runs.MANIFEST,
        ]


def test_two_calls_do_not_work_in_one_folder_at_once(tiny, tmp_path):
    with (
        file_locks.alone(tmp_path / f".{numpy_runs.SOURCE}.lock"),
        pytest.raises(InputError, match="another call runs its experiment there"),
    ):
        numpy_runs.run(quick=True, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_interruption_does_not_wait_for_runs_that_have_not_begun(tiny, monkeypatch):
    begun, interrupted = [], threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            interrupted.set()
            super().shutdown()

    def one(run):
        begun.append(run)
        return len(begun) > 1 and interrupted.wait()

    monkeypatch.setattr(numpy_runs, "_pool", Pool)
    monkeypatch.setattr(numpy_runs, "_one", one)
    results = numpy_runs._results(tiny.runs(), 1, 0)
    next(results)
    results.close()
    assert len(begun) <= 2 < len(tiny.runs()), "the run at work, and none that waited"


def test_partial_results_of_another_design_are_not_used(tiny):
    longer = dataclasses.replace(tiny, steps=3)
    assert numpy_runs._fingerprint(tiny) != numpy_runs._fingerprint(longer)


def test_fingerprint_follows_what_a_recipe_computes(tiny, monkeypatch):
    """Of every recipe of the design, and not the letters of the code."""
    first = numpy_runs._fingerprint(tiny)
    for name in {run.recipe for run in tiny.runs()}:
        with monkeypatch.context() as patch:
            patch.setattr(numpy_runs, "_probe_of_workers", numpy_runs.probe)
            own = numpy_runs._fingerprint(tiny)
            changed = dataclasses.replace(RECIPES[name], held="fp16", weights="bf16")
            patch.setitem(RECIPES, name, changed)
            assert numpy_runs._fingerprint(tiny) != own
    assert numpy_runs._fingerprint(tiny) == first


def test_full_design_pairs_every_recipe_with_every_seed():
    transfer = [run for run in FULL.runs() if run.study == "transfer"]
    assert len(transfer) == len(FULL.seeds) * len(FULL.transfer_recipes) * len(FULL.log2_rates)
    assert len({run.key for run in FULL.runs()}) == len(FULL.runs())
    assert set(LOW_RATE_RECIPES) <= {run.recipe for run in FULL.runs()}


def test_a_manifest_runs_again_to_the_same_table_and_with_other_seeds(tiny, quick, whole, tmp_path):
    first, manifest = quick / numpy_runs.TABLE, quick / numpy_runs.MANIFEST
    assert numpy_runs.stored_design(manifest) == ("quick", tiny)
    again = numpy_runs.run(quick=False, out=tmp_path / "again", manifest=manifest)
    assert again.read_text() == whole.read_text()
    assert_same_runs(again, first)
    other = numpy_runs.run(quick=False, out=tmp_path / "other", seeds=(5, 6), manifest=manifest)
    assert set(pd.read_csv(other)["seed"]) == {5, 6}


def test_what_is_no_manifest_is_said(tmp_path):
    (tmp_path / "wrong.json").write_text('{"form": "full"}')
    for name in ("wrong.json", "missing.json"):
        with pytest.raises(InputError, match="expected a manifest"):
            numpy_runs.stored_design(tmp_path / name)


@pytest.mark.parametrize(
    ("seeds", "says"),
    [
        ((1,), "at least two"),
        ((1, 1), "different"),
        ((-1, 2), "none negative"),
        ((901, 2), "cannot test it"),
    ],
)
def test_bad_seeds(seeds, says, tmp_path):
    with pytest.raises(InputError, match=says):
        numpy_runs.run(quick=True, out=tmp_path, seeds=seeds)
    with pytest.raises(InputError, match="cannot test it"):
        numpy_runs.run(quick=False, out=tmp_path, seeds=(24, 999))
    assert not list(tmp_path.iterdir())
