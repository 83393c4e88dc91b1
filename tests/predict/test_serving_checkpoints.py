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


ONLY = "the only format its maker publishes"


@pytest.mark.parametrize(
    ("model", "chip", "taken"),
    [
        ("DeepSeek-R1", "h200", "fp8"),
        ("MiniMax-M2.7", "h100-sxm", "fp8"),
        ("openai/gpt-oss-120b", "h100-sxm", "mxfp4"),
        ("gpt-oss-20b", "rtx-4090", "mxfp4"),
        ("moonshotai/Kimi-K2-Instruct", "b300", "fp8"),
        ("moonshotai/Kimi-K2.5", "h200", "int4"),
        ("DeepSeek-V4-Flash", "b200", "mxfp4"),
    ],
)
def test_where_a_model_is_published_in_one_narrow_format_that_is_taken(model, chip, taken) -> None:
    """DeepSeek "only provide FP8 weights" (README of DeepSeek-V3, section 6); eight H200 hold them and not 16 bits."""
    chips = 8 if "DeepSeek" in model else 4
    (answer,) = serving.predict([{"model": model, "chip": chip, "chips": chips}])
    assert answer["fits"] and answer["plan"]["precision"] == taken
    assert any(ONLY in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("model", "chip"),
    [("deepseek-v3", "ascend-910b"), ("gpt-oss-120b", "wse-3"), ("qwen3-30b-a3b", "h100-sxm")],
)
def test_elsewhere_sixteen_bits_are_taken(model, chip) -> None:
    """Without FP8 units DeepSeek is widened, as Huawei's own recipe does; Cerebras keeps 16 bits; Qwen publishes both."""
    (answer,) = serving.predict([{"model": model, "chip": chip}])
    assert answer["plan"]["precision"] in ("bf16", "fp16")
    assert not any(ONLY in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("model", "taken"),
    [("Kimi-K2-Instruct", "fp8"), ("moonshotai/Kimi-K2.5", "int4"), ("Kimi-K2-Thinking", "int4")],
)
def test_a_release_may_be_published_in_another_format_than_its_model(
    model: str, taken: str
) -> None:
    """Sixteen bits had been taken of them all, which no eight cards hold."""
    (answer,) = serving.predict([{"model": model, "chip": "b200", "chips": 8, "batch": 1}])
    assert answer["ok"] and answer["fits"] and answer["plan"]["precision"] == taken
    assert any(
        note.startswith(f"precision not given; {taken} is taken") for note in answer["notes"]
    )
    (named,) = serving.predict([{"model": f"{model}-NVFP4", "chip": "b200", "chips": 8}])
    assert named["plan"]["precision"] == "nvfp4"


@pytest.mark.parametrize(
    ("said", "taken"),
    [("w4a16", "int4"), ("AWQ", "int4"), ("INT4 AWQ", "int4"), ("W8A8", "int8"), ("fp8_e4m3", "fp8"), ("FP8-dynamic", "fp8")],
)  # fmt: skip
def test_a_request_names_a_format_as_checkpoints_and_engines_do(said: str, taken: str) -> None:
    """`Qwen3-32B-w4a16` was answered, and `"precision": "w4a16"` beside Qwen3-32B was not."""
    asked = {"model": "qwen3-32b", "chip": "h100-sxm", "chips": 2, "batch": 8}
    spelt, plain = serving.predict([asked | {"precision": said}, asked | {"precision": taken}])
    assert spelt["ok"] and spelt == plain


@pytest.mark.parametrize(
    ("model", "chip", "taken"),
    [
        ("llama3.1-70b", "b200", "nvfp4"),
        ("llama3.1-70b", "mi355x", "mxfp4"),
        ("gpt-oss-120b", "b200", "mxfp4"),
        ("DeepSeek-R1-NVFP4", "b200", "nvfp4"),
        ("DeepSeek-R1-MXFP4", "mi355x", "mxfp4"),
    ],
)
def test_four_bits_are_those_of_the_model_or_the_chip(model: str, chip: str, taken: str) -> None:
    asked = {"model": model, "chip": chip, "chips": 8, "batch": 8, "precision": "FP4"}
    (answer,) = serving.predict([asked])
    assert answer["ok"] and answer["plan"]["precision"] == taken


def test_four_bits_are_no_name_of_eight() -> None:
    (answer,) = serving.predict([{"model": "Qwen3-32B-FP8", "chip": "b200", "precision": "fp4"}])
    assert not answer["ok"] and "is a checkpoint in fp8" in answer["error"]


def test_makers_services_keep_weights_as_their_makers_say() -> None:
    """Groq showed Llama 2 70B on 576 chips, which do not hold it in 16 bits; SambaNova's bundles of DeepSeek are in FP8, and
    what was taken had been read from DDR. Nobody says so of gpt-oss there."""
    cases = [
        ("llama2-70b", "groq-lpu-v1", 576, "int8"),
        ("llama2-70b", "groq-3-lpu", None, "fp8"),
        ("deepseek-r1", "sn40l", 16, "fp8"),
        ("gpt-oss-120b", "sn40l", 16, "bf16"),
        ("llama3.1-70b", "sn40l", 16, "bf16"),
    ]
    asked = [{"model": model, "chip": chip, "chips": count} for model, chip, count, _ in cases]
    for answer, (*_, taken) in zip(serving.predict(asked), cases, strict=True):
        assert answer["fits"] and answer["plan"]["precision"] == taken
        assert not any("DDR" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("chip", "said"), [("gb10", "fp8"), ("gb10", "bf16"), ("blackhole", "bf16")]
)
def test_units_whose_rate_nobody_published_are_used_where_the_maker_names_them(chip, said) -> None:
    """A desktop machine was refused in every format but four bits, the only one whose rate its maker tells."""
    asked = {"model": "llama3.1-8b", "chip": chip, "chips": 1, "batch": 1, "precision": said}
    (answer,) = serving.predict([asked])
    assert answer["ok"] and answer["plan"]["precision"] == said
    assert f"{chip} publishes no rate of its bf16 units" in " ".join(answer["notes"])
    (other,) = serving.predict([asked | {"chip": "corsair", "precision": "bf16"}])
    assert not other["ok"] and "peak only for" in other["error"]  # its maker names no such units
