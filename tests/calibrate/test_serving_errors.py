"""Measured serving rows: what they become, what is left out, how well the stored constants do on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training_moat.calibrate import (
    fit_serving,
    fit_serving_unseen,
    measured_serving,
    serving_errors,
)
from training_moat.catalog import tables
from training_moat.predict.serving_constants import START, Constants


@pytest.fixture(scope="module")
def rows():
    return measured_serving.usable_rows()


def test_every_row_is_usable_or_says_why(rows) -> None:
    everything = measured_serving.all_rows()
    assert len(rows) + measured_serving.left_out()["rows"].sum() == len(everything)
    assert rows[["model", "chip", "precision", "software", "batch", "tp"]].notna().all().all()
    assert (rows["seconds_per_token"] > 0).all() and (
        rows["tp"] * rows["pp"] * rows["dp"] >= 1
    ).all()


def test_layouts_written_as_products_are_read_as_nodes_of_eight(rows) -> None:
    served = rows[rows["source"].isin(["inferencex", "aiconfigurator_runs"])]
    assert (served["tp"] * served["dp"]).max() <= 8
    spread = served[served["dp"] > 1]
    assert (spread["ep"] * spread["expert_tp"] <= spread["tp"] * spread["dp"]).all()


def test_no_run_is_counted_twice(rows) -> None:
    keys = [name for name in rows.columns if name not in ("source", "ttft_s")]
    assert not rows.duplicated(keys).any()


def test_errors_meet_the_targets_and_beat_the_baselines() -> None:
    """Below 41% from the data sheet, below 20% calibrated."""
    found = serving_errors.overall()
    assert found["predicted"] < 0.20
    assert found["data_sheet"] < 0.41
    assert found["predicted"] < min(found["half_bandwidth"], found["other_sources_median"])


def test_errors_by_chip_and_engine_hold_all_rows() -> None:
    table = serving_errors.accuracy(["chip", "software"])
    assert table["rows"].sum() == serving_errors.overall()["rows"]


def test_a_fit_recovers_the_constants_that_made_the_data(rows) -> None:
    few = (
        rows[(rows["chip"] == "h100-sxm") & (rows["software"] == "trt-llm")]
        .iloc[::8]
        .reset_index(drop=True)
    )
    truth = Constants(
        {("generic", "all", name): value for name, value in START.items()}
        | {("family", "nvidia-hopper", "bandwidth_efficiency"): 1.2}
    )
    few["seconds_per_token"], few["ttft_s"] = fit_serving.predict_both(few, truth)
    found = fit_serving.fit(few)
    again, _ = fit_serving.predict_both(few, found)
    assert np.abs(again / few["seconds_per_token"] - 1).mean() < 0.02


def test_formats_and_releases_of_the_sources_are_read(rows) -> None:
    served = rows[rows["source"] == "rocm_vllm_dev_docker_0_8_3"]
    assert set(served["software"]) == {"vllm-early-2025"}
    assert set(served["kv_precision"]) == {"fp8"} and set(served["attention"]) == {"fp8"}
    known = rows[~rows["source"].isin(["dstack_deepseek_r1_2025"])]
    lost = fit_serving_unseen.support(known, rows[rows["source"] == "dstack_deepseek_r1_2025"])
    assert "generic" in lost and "family" in lost and "measured" not in lost


def test_every_source_has_the_same_say_in_an_interval() -> None:
    """One source of many slow rows and nineteen of one right row each: the upper end lies among the many only."""
    many = pd.DataFrame({"source": "many", "seconds_per_token": np.full(500, 3.0)})
    single = pd.DataFrame({"source": [f"s{i}" for i in range(39)], "seconds_per_token": 1.0})
    tested = pd.concat([many, single], ignore_index=True).assign(
        predicted=1.0, level="family", batch=1.0
    )
    assert fit_serving_unseen.intervals(tested).loc["family", "p95"] == 1.0


def test_what_was_left_out_is_weighed_by_rows() -> None:
    table = serving_errors.unseen()
    assert set(table.index) == {"source", "chip", "family", "model"}
    assert (table["error"] > serving_errors.overall()["predicted"]).all()
    assert table["coverage"].between(0.5, 1).all()


def test_lengths_are_the_mean_ones_of_the_runs(rows) -> None:
    """InferenceX draws lengths between 0.8 and 1 times the nominal ones."""
    served = rows[rows["source"] == "inferencex"]
    assert set(served["input_len"].round(1)) == {921.6, 7372.8}
    cached = served[served["kv_precision"] == "fp8"]
    assert "trt-llm" in set(cached["software"]) and "kimi-k2" not in set(cached["model"])


def test_runs_with_a_draft_are_told_apart(rows) -> None:
    """At one load a run that drafts puts a token out in less time than one that does not, and most where few are served."""
    told = tables.load("serving_drafting")
    assert set(told["measurement"]) <= set(tables.load("serving_inferencex")["row_id"])
    load = [
        "model",
        "chip",
        "software",
        "precision",
        "batch",
        "input_len",
        "output_len",
        "tp",
        "dp",
    ]
    seconds = rows.assign(drafts=rows["drafted"] > 0).pivot_table(
        index=load, columns="drafts", values="seconds_per_token", aggfunc="min"
    )
    gain = (seconds[False] / seconds[True]).dropna()
    assert len(gain) > 50 and gain.min() > 0.95
    by_load = gain.groupby("batch").median()
    assert by_load[4] > 1.5 > by_load[256] > 1.1


def test_a_deployment_that_serves_more_in_less_time_is_no_evidence() -> None:
    everything = measured_serving.all_rows()
    falling = everything["unusable"] == "tokens take less time the more are served"
    found = everything.loc[falling, ["source", "model", "chip", "software"]].drop_duplicates()
    assert found.values.tolist() == [["aiconfigurator_runs", "qwen3-235b-a22b", "h200", "vllm"]]
    few = everything[falling].query("batch <= 8 and tp == 4")["seconds_per_token"].median()
    many = everything[falling].query("batch >= 24 and tp == 4")["seconds_per_token"].median()
    assert many < 0.9 * few


def test_sources_are_kept_as_they_were_first_met(rows) -> None:
    """Each has that many rows in the fit today; a source met badly stays in the list."""
    table, found = serving_errors.first_seen()
    counted = rows.groupby("source").size()
    assert (table.set_index("source")["rows"] <= counted.reindex(table["source"])).all()
    assert table["error"].is_monotonic_increasing and table["error"].iloc[-1] > 1
    assert found["sources"] == len(table) and found["median"] < found["mean"]


def test_a_chunk_of_one_prompt_token_is_no_answer_timed_alone() -> None:
    """llama-bench times prompt and answer apart; only runs whose prompt is read token by token say nothing of serving."""
    everything = measured_serving.all_rows()
    layered = everything[everything["software"] == "llama.cpp"]
    alone = layered[layered["source"] == "xiongjiedai_gpu_benchmarks"]
    assert (alone["unusable"] == "").all() and set(alone["kind"]) == {"tpot"}
    spoiled = layered["unusable"] == "prompt read token by token"
    assert set(layered[spoiled]["source"]) == {"argonne_llm_inference_bench"}
