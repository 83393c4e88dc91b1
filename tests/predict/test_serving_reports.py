"""Serving questions from public reports with the values that their reports give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training_moat.catalog import tables
from training_moat.predict import serving

REPORTS = json.loads((Path(__file__).parent / "fixtures" / "serving_reports.json").read_text())


@pytest.fixture(scope="module")
def answers():
    return serving.predict([report["case"] for report in REPORTS])


@pytest.mark.parametrize("index", range(len(REPORTS)), ids=lambda index: REPORTS[index]["report"])
def test_it_answers_what_the_report_says(answers, index: int) -> None:
    report, answer = REPORTS[index], answers[index]
    assert answer["ok"], answer
    values = answer["memory_gib"] | {"tpot_ms": 1e3 * answer["tpot_s"]}
    assert values[report["value"]] == pytest.approx(report["expected"], rel=report["tolerance"])


def test_what_was_assumed_about_a_model_is_said() -> None:
    """A head size that is not given decides the cache (https://github.com/LMCache/LMCache/issues/688)."""
    shape = {"name": "mine", "layers": 36, "hidden": 2560, "heads": 32, "kv_heads": 8, "ffn": 9728}
    shape |= {"vocab": 151936, "gated_ffn": True, "tied_embeddings": True, "params_b": 4.022}
    case = {"model": shape, "chip": "h100-sxm", "chips": 1, "software": "vllm"}
    (answer,) = serving.predict([case])
    assert any("head_dim" in note for note in answer["notes"])


def test_a_price_gives_dollars_per_million_output_tokens() -> None:
    """Price an hour over tokens an hour (https://github.com/kubernetes-sigs/inference-perf/issues/139)."""
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 2, "tp": 2, "batch": 16}
    priced, free = serving.predict([case | {"price_usd_per_chip_hour": 3.0}, case])
    hourly = priced["tokens_per_s"] * 3600
    assert priced["usd_per_m_output_tokens"] == pytest.approx(2 * 3.0 / hourly * 1e6)
    assert "usd_per_m_output_tokens" not in free
    (wrong,) = serving.predict([case | {"price_usd_per_chip_hour": -1}])
    assert not wrong["ok"] and "price_usd_per_chip_hour" in wrong["error"]


def test_a_hybrid_model_caches_only_where_it_attends():
    """Qwen3-Next, one layer in four attends: 12 x 2 x 2 x 256 values of two bytes for 262,144 tokens over tensor and pipeline
    parallelism of two each is 1.5 GiB a chip (LMCache, pull request 3080); the linear layers' states add two per cent."""
    shape = {
        "name": "qwen3-next-80b-a3b", "layers": 48, "hidden": 2048, "heads": 16, "kv_heads": 2, "head_dim": 256,
        "vocab": 151936, "gated_ffn": True, "experts": 512, "experts_per_token": 10, "shared_experts": 1,
        "expert_ffn": 512, "params_b": 80, "active_params_b": 3, "full_attention_interval": 4,
    }  # fmt: skip
    asked = {"chip": "h100-sxm", "chips": 4, "tp": 2, "pp": 2, "software": "vllm", "batch": 1,
             "input_len": 262143, "output_len": 1}  # fmt: skip
    hybrid, whole = serving.predict(
        [{**asked, "model": shape}, {**asked, "model": {**shape, "full_attention_interval": None}}]
    )
    assert hybrid["memory_gib"]["kv_cache"] == pytest.approx(1.5, rel=0.05)
    assert whole["memory_gib"]["kv_cache"] == pytest.approx(6.0, rel=0.05)
    assert hybrid["tpot_s"] < whole["tpot_s"]


def test_a_service_over_many_machines_is_slower_in_the_model_as_the_page_on_method_says() -> None:
    """DeepSeek's day (table disclosed_service) against the model's fastest service on as many chips as decode one group
    of experts there. Who mends the model tells the page anew."""
    day = tables.load("disclosed_service").set_index("service").loc["deepseek-2025-02"]
    seconds, chips = 3600 * day["hours"], day["mean_nodes"] * day["chips_per_node"]
    group = {"model": "deepseek-v3", "chip": "h800", "precision": "fp8", "chips": 128}
    lengths = {"input_len": int(day["mean_kv_tokens"]), "output_len": 1000}
    asked = [group | lengths | {"batch": 2**n} for n in range(6, 14)]
    fastest = max(one["tokens_per_s_per_chip"] for one in serving.predict(asked) if one["ok"])
    assert day["output_tokens"] / seconds / chips > 2.5 * fastest
