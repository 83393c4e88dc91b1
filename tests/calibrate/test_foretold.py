"""Runs predicted before they were measured: how a measurement enters the tables, and what it is compared with."""

import io
import re
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
NEW_SOURCE = ("sources", "lock_box")
SLOWER = 1.1
"""Times the predicted seconds that the made-up measurement takes."""
LARGE = {
    "first": "qwen7b-bf16-full",
    "second": "qwen8b-bf16-full",
    "third": "mistral7b-window-16k-full",
}
CARDS = {"first": "NVIDIA H100 80GB HBM3", "second": "NVIDIA H200", "third": "NVIDIA H200"}
SOURCES = {
    "first": "book_h100_steps",
    "second": "book_h200_steps_second",
    "third": "book_h200_steps_third",
}


@pytest.fixture(scope="module")
def add_rows():
    return scripts.loaded(FOLDER / "add_rows.py")


def made_up(add_rows, which):
    """A measurement in which every run takes `SLOWER` times what was predicted, and the largest does not fit."""
    told = add_rows.read(FOLDER / add_rows.SETS[which][1])
    told = [
        row for row in told if row.get("chip_id", "h100-sxm") == add_rows.CHIPS[CARDS[which]][0]
    ]
    return [
        {
            "run_id": row["run_id"],
            "status": "out of memory" if row["run_id"] == LARGE[which] else "ok",
            "step_s": str(SLOWER * float(row["predicted_s"])),
            "allocated_gib": row["allocated_gib"],
            "reserved_gib": "" if row["run_id"].endswith("-jax") else row["reserved_gib"],
            "parameters": "30000000000" if "moe" in row["run_id"] else "1000000000",
            "device": CARDS[which],
            "software": "PyTorch 2.11.0",
            "date": "2026-11-27",
            "notes": "",
        }
        for row in told
    ]


@pytest.fixture(scope="module")
def measured(add_rows):
    return {which: made_up(add_rows, which) for which in SOURCES}


@pytest.fixture(scope="module")
def texts(add_rows, measured, tmp_path_factory):
    """The tables' new texts by name, both sets over tables that have no experiment of the book's yet."""
    folder = tmp_path_factory.mktemp("data")
    for name in CHANGED + NEW_SOURCE:
        lines = (ROOT / "data" / f"{name}.csv").read_text().splitlines(keepends=True)
        own = r"^book_h\d+_steps_(second|third)," if name in NEW_SOURCE else r"\bbook_h\d+_steps"
        kept = [line for line in lines if not re.search(own, line)]
        (folder / f"{name}.csv").write_text("".join(kept))
    for which, rows in measured.items():
        for path, text in add_rows.entered(rows, which, folder).items():
            path.write_text(text)
    return {name: (folder / f"{name}.csv").read_text() for name in CHANGED + NEW_SOURCE}


@pytest.fixture(scope="module")
def frames(texts):
    """The same as frames, with the columns' types of the tables."""
    found = {name: pd.read_csv(io.StringIO(text), low_memory=False) for name, text in texts.items()}
    for name, frame in found.items():
        kinds = tables.load(name).dtypes
        same = {c: kind for c, kind in kinds.items() if pd.api.types.is_float_dtype(kind)}
        found[name] = frame.astype(same)
    return found


@pytest.fixture(scope="module")
def told(frames):
    with tables.replaced(**frames):
        return unseen_runs.foretold()


@pytest.mark.parametrize("which", SOURCES)
def test_rows_are_numbered_on_and_what_stood_there_stands(texts, frames, measured, which):
    for name in CHANGED:
        assert texts[name].count("\n") > 10 and texts[name].endswith("\n")
        if "row_id" in frames[name]:
            assert frames[name]["row_id"].is_unique
    rows = frames["training_measurements"]
    own = rows[rows["source"] == SOURCES[which]]
    assert set(own["metric"]) == {"step_time", "peak_allocated", "peak_reserved"}
    assert own["config_id"].nunique() == len(measured[which]) - 1
    assert not own["table_ref"].str.startswith(LARGE[which]).any()
    assert set(own["chip_id"]) == {"h100-sxm" if which == "first" else "h200"}
    mixed = own[own["moe_experts"].notna()]
    assert (mixed["active_params_b"] < mixed["params_b"]).all()


def test_foretold_runs_stand_beside_what_was_stored_of_them(frames, measured, told):
    with tables.replaced(**frames):
        usable, aside = measured_training.usable().frame, measured_training.put_aside().frame
        blind = unseen_runs.blind()
    for number, (which, source) in enumerate(SOURCES.items(), 1):
        own = told[told["set"] == number]
        assert len(own) == len(measured[which]) - 1 and set(own["source"]) == {source}
        assert own["error"].to_numpy() == pytest.approx(1 / SLOWER - 1, abs=1e-4)
        assert own["inside"].all() and own["memory_error"].abs().max() < 0.001
        assert source not in set(blind["source"])
    assert told["run"].str.contains(" tokens").all()
    assert told["measured_gb"].max() < 80 * GIB / GB
    first = "book_h100_steps"
    assert first in set(usable["source"]) and first not in set(aside["source"])
    fitted = usable[usable["source"] == first]
    assert not fitted["table_ref"].str.contains("adapters|in a loop").any()


def test_a_new_set_judges_the_fit_until_the_next_one(frames):
    with tables.replaced(**frames):
        usable, aside = measured_training.usable().frame, measured_training.put_aside().frame
        drawn = unseen_runs.lock_box()
    new = SOURCES["second"]
    assert new in set(aside["source"]) and new not in set(usable["source"]) | set(drawn["source"])
    own = aside[aside["source"] == new]
    assert {"jax", "transformers-compiled-bf16"} < set(own["label"])
    assert {"fp8", "bf16"} == set(own["format"])


def test_sets_are_summed_up_by_what_was_asked_for(told):
    found = unseen_runs.by_set(told)
    assert found["runs"].sum() == len(told)
    assert list(found["set"]) == sorted(found["set"]) and set(found["set"]) == {1, 2, 3}
    first = found[found["set"] == 1]
    assert set(first["label"]) == {"pytorch-eager", "pytorch", "litgpt-eager"}
    assert found["level"].to_numpy() == pytest.approx(1 / SLOWER, abs=1e-4)
    assert (found["inside"] == 1).all()


def test_rows_of_a_card_that_no_table_has_are_refused(add_rows, measured):
    strange = [row | {"device": "NVIDIA A100"} for row in measured["second"]]
    with pytest.raises(SystemExit, match="NVIDIA H200"):
        add_rows.entered(strange)


def test_of_what_the_tables_cannot_tell_there_is_no_constant(told):
    """Adapters, experts without a width, other optimizers than AdamW, heads as wide as no column says."""
    tuned = told["run"].str.contains("adapters|SGD|Muon|Adafactor")
    tuned |= told["model"].str.contains("^OLMoE|^Mixture of|^Gemma 3 270M")
    assert tuned.any() and (told["constant_error"].isna() == tuned).all()


def test_no_fit_takes_what_the_tables_cannot_tell(frames):
    """Even once the third set has left the lock-box: SGD's, Muon's and Adafactor's steps would be read as AdamW's."""
    source = SOURCES["third"]
    box = frames["lock_box"]
    with tables.replaced(**frames | {"lock_box": box[box["source"] != source]}):
        fitted = measured_training.usable().frame
    own = fitted[fitted["source"] == source]
    named = own["table_ref"].str.partition(":")[0]
    assert not set(named) & {"qwen0.6b-sgd", "qwen0.6b-muon", "qwen7b-adafactor", "gemma3-270m"}
    assert not own["table_ref"].str.contains("adapters").any()
    assert {"tinyllama-tf32", "llama1b-fp16", "qwen1.5b-trainer"} < set(named)
    plain = own.set_index(named)
    assert plain.loc["llama1b-fp16", "autocast"] == 1
    assert (
        plain["autocast"].isna()["tinyllama-tf32"] and plain["format"]["tinyllama-tf32"] == "tf32"
    )


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
