"""Formats that a checkpoint's name tells."""

from __future__ import annotations

import pytest

from training_moat.predict import serving

NAMED = [
    ("Llama-3.1-405B-Instruct-FP8", "fp8"),
    ("Qwen/Qwen3-235B-A22B-FP8", "fp8"),
    ("Qwen/Qwen3-14B-AWQ", "int4"),
    ("nvidia/DeepSeek-R1-0528-FP4", "nvfp4"),
    ("nvidia/DeepSeek-R1-NVFP4", "nvfp4"),
]


@pytest.mark.parametrize(("name", "told"), NAMED)
def test_a_format_in_the_models_name_is_the_precision(name: str, told: str) -> None:
    asked = {"model": name, "chip": "b200", "software": "vllm"}
    by_name, by_both = serving.predict([asked, asked | {"precision": told}])
    assert by_name["ok"] and by_name["plan"]["precision"] == told
    assert by_name["tpot_s"] == by_both["tpot_s"]
    assert f"{told} weights, as the model's name tells" in by_name["notes"]
    assert not any("name tells" in note for note in by_both["notes"])


def test_a_name_and_a_precision_that_contradict_each_other_are_refused() -> None:
    asked = {"model": "Qwen/Qwen3-14B-AWQ", "chip": "b200", "precision": "fp8"}
    (answer,) = serving.predict([asked])
    assert answer["error"] == "precision is fp8, but 'Qwen/Qwen3-14B-AWQ' is a checkpoint in int4"


def test_a_four_bit_name_may_mean_either_format() -> None:
    asked = {"model": "DeepSeek-R1-FP4", "chip": "mi355x", "precision": "mxfp4"}
    (answer,) = serving.predict([asked])
    assert answer["ok"] and answer["plan"]["precision"] == "mxfp4"


def test_an_unknown_model_stays_unknown_with_a_format_behind_it() -> None:
    (answer,) = serving.predict([{"model": "nobodys-9b-FP8", "chip": "b200"}])
    assert not answer["ok"] and "nobodys-9b-FP8" in answer["error"]
