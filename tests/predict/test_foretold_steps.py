"""The runs of `experiments/training_steps` are described in full, and every one has a prediction."""

import ast
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import scripts

from training_moat.catalog import models
from training_moat.predict import training

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "training_steps"
RUNS = pd.read_csv(FOLDER / "runs.csv")
PREDICTED = pd.read_csv(FOLDER / "predicted.csv")


@pytest.fixture(scope="module")
def script():
    return scripts.loaded(FOLDER / "predict.py")


def test_every_run_has_one_prediction_with_its_interval_around_it():
    assert list(PREDICTED["run_id"]) == list(RUNS["run_id"]) and RUNS["run_id"].is_unique
    assert (PREDICTED["p05_s"] < PREDICTED["predicted_s"]).all()
    assert (PREDICTED["predicted_s"] < PREDICTED["p95_s"]).all()
    assert (PREDICTED["allocated_gib"] < PREDICTED["reserved_gib"]).all()
    autocast = PREDICTED["allocated_autocast_gib"].notna()
    assert (autocast == RUNS["weights"].eq("fp32")).all()


def test_shapes_of_models_that_the_book_knows_are_the_books():
    known = RUNS[RUNS["model_id"].notna() & ~RUNS["model"].str.contains(" of ")]
    assert len(known) > 5
    for run in known.to_dict("records"):
        shape = models.model(run["model_id"])
        for name in ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab"):
            assert run[name] == getattr(shape, name), (run["run_id"], name)
        assert run["gated_ffn"] == shape.gated_ffn
        assert run["tied_embeddings"] == shape.tied_embeddings


def test_a_run_is_asked_as_it_is_measured(script):
    runs = script.runs()
    answers = training.predict([script.request(run) for run in runs])
    for run, answer in zip(runs, answers, strict=True):
        assert answer["ok"], (run["run_id"], answer.get("error"))
        plan = answer["plan"]
        for name in ("seq_len", "micro_batch", "global_batch"):
            assert plan[name] == int(run[name])
        assert (plan["recompute"], plan["software"]) == (run["recompute"], run["software"])
        assert plan.get("lora_rank", 0) == int(run["lora_rank"])


def test_the_table_it_writes_is_the_stored_one_in_form(tmp_path):
    out = tmp_path / "predicted.csv"
    subprocess.run([sys.executable, FOLDER / "predict.py", "--out", out], check=True)
    now = pd.read_csv(out)
    assert list(now.columns) == list(PREDICTED.columns)
    assert list(now["run_id"]) == list(PREDICTED["run_id"])


def test_what_measures_takes_no_column_that_the_runs_do_not_have():
    tree = ast.parse((FOLDER / "steps.py").read_text())
    asked = {
        node.slice.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "run"
        and isinstance(node.slice, ast.Constant)
    }
    assert len(asked) > 10 and asked <= set(RUNS.columns)
