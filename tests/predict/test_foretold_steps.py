"""The runs of `experiments/training_steps` are described in full, and every one has a prediction."""

import ast
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import scripts

from training_moat.catalog import models
from training_moat.predict import training

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "training_steps"
FIRST, SECOND, THIRD = (
    pd.read_csv(FOLDER / name) for name in ("runs.csv", "runs_second.csv", "runs_third.csv")
)
SETS = {"first": FIRST, "second": SECOND, "third": THIRD}
PREDICTED = {
    "first": pd.read_csv(FOLDER / "predicted.csv"),
    "second": pd.read_csv(FOLDER / "predicted_second.csv"),
    "third": pd.read_csv(FOLDER / "predicted_third.csv"),
}
CASES = [
    ("first", PREDICTED["first"]),
    *(
        (which, rows)
        for which in ("second", "third")
        for _, rows in PREDICTED[which].groupby("chip_id")
    ),
]


@pytest.fixture(scope="module")
def script():
    return scripts.loaded(FOLDER / "predict.py")


@pytest.mark.parametrize(("which", "told"), CASES)
def test_every_run_has_one_prediction_with_its_interval_around_it(which, told):
    runs = SETS[which]
    assert list(told["run_id"]) == list(runs["run_id"]) and runs["run_id"].is_unique
    assert (told["p05_s"] < told["predicted_s"]).all()
    assert (told["predicted_s"] < told["p95_s"]).all()
    assert (told["allocated_gib"] < told["reserved_gib"]).all()
    cast = runs["weights"].eq("fp32") & runs["framework"].eq("pytorch")
    cast &= runs["precision"].ne("tf32")
    if "optimizer" in runs:
        cast &= runs["optimizer"].eq("adamw")
    assert (told["allocated_autocast_gib"].notna().to_numpy() == cast).all()


def test_the_second_set_repeats_no_run_of_the_first_and_goes_where_it_did_not():
    sizes = ["model", "seq_len", "micro_batch", "recompute", "software"]
    assert SECOND.merge(FIRST, on=sizes).empty
    assert set(SECOND["framework"]) == {"pytorch", "jax"} and set(FIRST["framework"]) == {"pytorch"}
    assert {"fp8", "bf16"} == set(SECOND["precision"]) and set(FIRST["precision"]) == {"bf16"}
    told = PREDICTED["second"]
    assert set(told["chip_id"]) == {"h100-sxm", "h200"}
    tuned = told["run_id"].isin(SECOND.loc[SECOND["lora_rank"] > 0, "run_id"])
    assert (told["constant_s"].isna() == tuned).all()


def test_the_third_set_repeats_none_and_goes_where_the_others_did_not():
    sizes = ["model", "seq_len", "micro_batch", "recompute", "software"]
    assert THIRD.merge(pd.concat([FIRST, SECOND]), on=sizes).empty
    assert {"sgd", "muon", "adafactor", "adamw"} == set(THIRD["optimizer"])
    assert {"bf16", "fp16", "tf32"} == set(THIRD["precision"])
    assert "selective" in set(THIRD["recompute"]) and THIRD["seq_len"].max() == 65536
    told = PREDICTED["third"]
    assert set(told["chip_id"]) == {"h100-sxm", "h200"}
    tuned = told["run_id"].isin(THIRD.loc[THIRD["lora_rank"] > 0, "run_id"])
    assert (told["constant_s"].isna() == tuned).all()


def test_shapes_of_models_that_the_book_knows_are_the_books():
    runs = pd.concat(SETS.values())
    known = runs[runs["model_id"].notna() & ~runs["model"].str.contains(" of ")]
    assert len(known) > 20
    for run in known.to_dict("records"):
        shape = models.model(run["model_id"])
        for name in ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab"):
            assert run[name] == getattr(shape, name), (run["run_id"], name)
        assert run["gated_ffn"] == shape.gated_ffn
        assert run["tied_embeddings"] == shape.tied_embeddings


@pytest.mark.parametrize("which", SETS)
def test_a_run_is_asked_as_it_is_measured(script, which):
    runs = script.runs(which)
    answers = training.predict([script.request(run, "h200") for run in runs])
    for run, answer in zip(runs, answers, strict=True):
        assert answer["ok"], (run["run_id"], answer.get("error"))
        plan = answer["plan"]
        for name in ("seq_len", "micro_batch", "global_batch"):
            assert plan[name] == int(run[name])
        assert plan["software"] == run["software"]
        # PyTorch's selective recomputation redoes half of the layers in full, and the answer says so.
        halved = plan["recompute"] == "full" and plan.get("recompute_share") == 0.5
        assert ("selective" if halved else plan["recompute"]) == run["recompute"]
        assert plan.get("lora_rank", 0) == int(run["lora_rank"])
        assert plan["precision"] == run["precision"]
        assert plan.get("optimizer", "adamw") == run.get("optimizer", "adamw")


def test_the_table_it_writes_is_the_stored_one_in_form(script, tmp_path, monkeypatch):
    out = tmp_path / "predicted.csv"
    monkeypatch.setattr(sys, "argv", ["predict.py", "--out", str(out)])
    script.main()
    now, stored = pd.read_csv(out), PREDICTED["third"]
    assert list(now.columns) == list(stored.columns)
    assert list(now["run_id"]) == list(stored["run_id"])


@pytest.mark.parametrize("name", ["steps.py", "jax_steps.py"])
def test_what_measures_takes_no_column_that_the_runs_do_not_have(name):
    tree = ast.parse((FOLDER / name).read_text())
    asked = {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "run"
        and isinstance(node.slice, ast.Constant)
    }
    assert len(asked) > 8 and asked <= set(FIRST.columns)
    assert list(FIRST.columns) == list(SECOND.columns)
    assert list(THIRD.columns[: len(FIRST.columns)]) == list(FIRST.columns)


@pytest.fixture(scope="module")
def on_disk():
    return scripts.loaded(FOLDER / "rows_on_disk.py")


def test_every_run_is_measured_by_its_framework_and_every_kind_is_tried_small(on_disk):
    for which, whole in SETS.items():
        told = [run for one in ("pytorch", "jax") for run in on_disk.runs(which, one, False)]
        assert sorted(run["run_id"] for run in told) == sorted(whole["run_id"])
    for which in ("second", "third"):
        small = on_disk.runs(which, "pytorch", True) + on_disk.runs(which, "jax", True)
        for column in (*on_disk.KINDS[:5], "compiled", "optimizer"):
            if column in SETS[which]:
                kinds = {run[column] for run in small}
                assert kinds == set(SETS[which][column].astype(str)), (which, column)
        assert max(int(run["hidden"]) for run in small) < 500
        assert any(int(run["global_batch"]) > int(run["micro_batch"]) for run in small)


def test_long_steps_are_warmed_and_timed_fewer_times(on_disk):
    assert on_disk.warm(3, 0.5) and not on_disk.warm(2, 0.5)
    assert on_disk.warm(2, 4.0) and not on_disk.warm(1, 60.0) and not on_disk.warm(0, 0.0)
    assert [on_disk.timed_steps(seconds, False) for seconds in (0.01, 0.1, 1.0, 4.0)] == [
        20,
        10,
        5,
        3,
    ]


def test_rows_are_on_disk_at_once_and_are_not_measured_again(on_disk, tmp_path, capsys):
    path, runs = tmp_path / "steps.csv", on_disk.runs("second", "pytorch", False)
    table = on_disk.Table(path, on_disk.COLUMNS, "run_id")
    table.add({"run_id": runs[0]["run_id"], "status": "ok"})
    again = on_disk.Table(path, on_disk.COLUMNS, "run_id")
    later = time.time() + 100
    assert [run["run_id"] for run in on_disk.waiting(runs, again, later)] == [
        run["run_id"] for run in runs[1:]
    ]
    assert list(on_disk.waiting(runs, again, time.time())) == []
    assert f"no time for {runs[-1]['run_id']}" in capsys.readouterr().err


def test_a_run_that_takes_too_long_is_given_up(on_disk):
    with pytest.raises(TimeoutError, match="1 s"), on_disk.at_most(1):
        time.sleep(5)
