"""Runs predicted before they were measured: how a measurement enters the tables, and what it is compared with."""

import io
from pathlib import Path

import pandas as pd
import pytest
import scripts

from training_moat.calibrate import measured_training, unseen_runs
from training_moat.catalog import tables
from training_moat.core.units import GB, GIB

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "experiments" / "training_steps"
CHANGED = ("training_measurements", "memory_measurements", "training_blind", "training_stacks")
SLOWER = 1.1
"""Times the predicted seconds that the made-up measurement takes."""
LARGE = "qwen7b-bf16-full"


@pytest.fixture(scope="module")
def add_rows():
    return scripts.loaded(FOLDER / "add_rows.py")


@pytest.fixture(scope="module")
def measured(add_rows):
    """A measurement in which every run takes `SLOWER` times what was predicted, and the largest does not fit."""
    told = add_rows.read(FOLDER / "predicted.csv")
    return [
        {
            "run_id": row["run_id"],
            "status": "out of memory" if row["run_id"] == LARGE else "ok",
            "step_s": str(SLOWER * float(row["predicted_s"])),
            "allocated_gib": row["allocated_gib"],
            "reserved_gib": row["reserved_gib"],
            "parameters": "1000000000",
            "date": "2026-11-27",
            "notes": "",
        }
        for row in told
    ]


@pytest.fixture(scope="module")
def texts(add_rows, measured, tmp_path_factory):
    """The tables' new texts by name, over tables that do not have the source yet."""
    folder = tmp_path_factory.mktemp("data")
    for name in CHANGED:
        lines = (ROOT / "data" / f"{name}.csv").read_text().splitlines(keepends=True)
        kept = [line for line in lines if add_rows.SOURCE not in line]
        (folder / f"{name}.csv").write_text("".join(kept))
    return {path.stem: text for path, text in add_rows.entered(measured, folder).items()}


@pytest.fixture(scope="module")
def frames(texts):
    """The same as frames, with the columns' types of the tables."""
    found = {name: pd.read_csv(io.StringIO(text), low_memory=False) for name, text in texts.items()}
    for name, frame in found.items():
        kinds = tables.load(name).dtypes
        same = {c: kind for c, kind in kinds.items() if pd.api.types.is_float_dtype(kind)}
        found[name] = frame.astype(same)
    return found


def test_rows_are_numbered_on_and_what_stood_there_stands(texts, frames):
    for name, text in texts.items():
        assert text.count("\n") > 10 and text.endswith("\n")
        if "row_id" in frames[name]:
            assert frames[name]["row_id"].is_unique
    rows = frames["training_measurements"]
    own = rows[rows["source"] == "book_h100_steps"]
    assert set(own["metric"]) == {"step_time", "peak_allocated", "peak_reserved"}
    assert own["config_id"].nunique() == len(pd.read_csv(FOLDER / "runs.csv")) - 1
    assert not own["table_ref"].str.startswith(LARGE).any()


def test_foretold_runs_stand_beside_what_was_stored_of_them(frames, measured):
    with tables.replaced(**frames):
        told = unseen_runs.foretold()
        usable, aside = measured_training.usable().frame, measured_training.put_aside().frame
        blind = unseen_runs.blind()
    assert len(told) == len(measured) - 1
    assert told["error"].to_numpy() == pytest.approx(1 / SLOWER - 1, abs=1e-4)
    assert told["inside"].all() and told["memory_error"].abs().max() < 0.001
    assert told["run"].str.contains(" tokens").all()
    assert set(told["label"]) == {"pytorch-eager", "pytorch", "litgpt-eager"}
    assert told["measured_gb"].max() < 80 * GIB / GB
    source = "book_h100_steps"
    assert source in set(usable["source"]) and source not in set(aside["source"])
    assert source not in set(blind["source"])
    fitted = usable[usable["source"] == source]
    assert not fitted["table_ref"].str.contains("adapters|in a loop").any()


def test_of_adapters_and_experts_without_a_width_there_is_no_constant(frames):
    with tables.replaced(**frames):
        told = unseen_runs.foretold()
    tuned = told["run"].str.contains("adapters") | told["model"].str.startswith("OLMoE")
    assert tuned.any() and (told["constant_error"].isna() == tuned).all()


def test_every_kind_of_run_has_its_stack(frames):
    with tables.replaced(**frames):
        every = measured_training.configurations()
    own = every[every["source"] == "book_h100_steps"].set_index("table_ref")
    assert own["label"].notna().all()
    compiled, looped, grouped = (
        set(own.loc[own.index.str.contains(word), "label"])
        for word in ("compiled", "in a loop", "grouped")
    )
    assert not compiled & (looped | grouped) and not looped & grouped
    assert (own["tied_embeddings"] == own.index.str.endswith(", tied")).all()
    cut = own[own["model"].str.startswith("Qwen3 30B")]
    assert (cut["layers"] == 4).all() and (cut["expert_ffn"] == 768).all()
