"""Serving questions from public reports with the values that their reports give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
