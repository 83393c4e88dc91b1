"""`moat predict serving`: the contract's fields, one sentence per fault, plans, honest intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training_moat.catalog import chips, models
from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.serving_memory import ServingPlan
from training_moat.core.units import GIB
from training_moat.predict import serving, serving_batch, serving_formats
from training_moat.predict.engines import engine, usual_engine
from training_moat.predict.serving_constants import LEVELS, Constants, generic, stored
from training_moat.predict.serving_software import lineage, spellings

CASE = {
    "id": "a",
    "model": "llama3.1-70b",
    "chip": "h100-sxm",
    "chips": 4,
    "tp": 4,
    "precision": "fp8",
    "software": "vllm",
    "batch": 16,
    "input_len": 1024,
    "output_len": 512,
}
FIELDS = {
    "id",
    "ok",
    "ttft_s",
    "tpot_s",
    "tpot_s_p05",
    "tpot_s_p95",
    "tokens_per_s",
    "tokens_per_s_per_chip",
    "memory_gib",
    "fits",
    "plan",
    "calibration",
    "notes",
}


def answer(**changes):
    return serving.predict([CASE | changes])[0]


def test_the_answer_has_the_contracts_fields() -> None:
    found = answer()
    assert (
        set(found) >= FIELDS
        and found["ok"]
        and found["fits"]
        and found["calibration"] == "measured"
    )
    assert set(found["memory_gib"]) == {"weights", "kv_cache", "activations", "total"}
    assert found["tpot_s_p05"] < found["tpot_s"] < found["tpot_s_p95"]
    assert found["tokens_per_s_per_chip"] == pytest.approx(found["tokens_per_s"] / 4)
    assert sum(found["seconds"].values()) == pytest.approx(found["tpot_s"])


@pytest.mark.parametrize(
    ("change", "words"),
    [({"batch": 0}, "batch is 0"), ({"input_len": -5}, "input_len is -5"), ({"output_len": 1.5}, "output_len is 1.5"),
     ({"tp": 3, "chips": 3}, "does not divide the 64 attention heads"), ({"precision": "fp7"}, "unknown precision 'fp7'"),
     ({"chip": "h100sxm5x"}, "unknown chip"), ({"model": "lama3.1-70b"}, "did you mean"), ({"ep": 4}, "has no experts"),
     ({"chips": 6}, "not a multiple of tp 4"), ({"batchsize": 3}, "unknown field 'batchsize'"), ({"prompt_tokens": 3}, "did you mean 'input_len'?"), ({"cp": 2}, "cp is not modelled"),
     ({"software": "vlllm"}, "did you mean 'vllm'"), ({"chip": None}, "chip is missing"), ({"pp": 200, "chips": 800}, "only 80 layers"),
     ({"chip": "mythic-m1076"}, "mythic-m1076"), ({"batch": float("nan")}, "batch is nan"), ({"kv_precision": "fp3"}, "kv_precision")],
)  # fmt: skip
def test_each_fault_is_one_sentence_and_the_others_still_run(change, words) -> None:
    first, bad, last = serving.predict([CASE, CASE | change, CASE])
    assert first["ok"] and last["ok"] and not bad["ok"]
    assert words in bad["error"] and "\n" not in bad["error"] and bad["id"] == "a"


def test_a_request_that_is_no_object_is_answered() -> None:
    assert not serving.predict([7])[0]["ok"]


def test_many_questions_answer_as_each_alone() -> None:
    changes = [
        {},
        {"batch": 64},
        {"chip": "mi300x"},
        {"model": "deepseek-v3", "chip": "b200", "chips": 8, "tp": None},
        {"chip": "tpu-v5p", "tp": None},
    ]
    together = serving.predict([CASE | change for change in changes])
    for change, found in zip(changes, together, strict=True):
        assert found["tpot_s"] == pytest.approx(answer(**change)["tpot_s"])


def test_open_settings_take_the_fastest_plan_that_fits() -> None:
    best = answer(tp=None, pp=None)
    for tp in (1, 2, 4):
        other = answer(tp=tp)
        assert not other["fits"] or best["tokens_per_s"] >= other["tokens_per_s"] * (1 - 1e-9)


@pytest.mark.parametrize(("engine", "gain"), [("llama.cpp", 1.5), ("Transformers", 1.0)])
def test_an_engine_that_cuts_by_layers_does_so_unless_told_otherwise(
    engine: str, gain: float
) -> None:
    """llama.cpp and transformers read the layers of one chip after those of the other (llama_cpp_multi_gpu,
    accelerate_big_model): four chips are no faster than one."""
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "software": engine, "batch": 1}
    case |= {"input_len": 128, "output_len": 128}
    asked = [{"chips": 1}, {"chips": 4}, {"chips": 4, "tp": 4}, {"model": "llama3.1-70b"}]
    alone, open_, cut, fewest = serving.predict([case | sizes for sizes in asked])
    assert [open_["plan"][name] for name in ("tp", "pp", "dp")] == [1, 4, 1]
    assert open_["tpot_s"] >= alone["tpot_s"] >= gain * cut["tpot_s"]
    assert any("successive layers" in note for note in open_["notes"])
    assert not any("successive layers" in note for note in (*alone["notes"], *cut["notes"]))
    assert fewest["plan"]["pp"] == fewest["plan"]["chips"] > 1 and fewest["fits"]
    more_than_layers, other = serving.predict(
        [case | {"chips": 128}, case | {"chips": 4, "software": "vllm"}]
    )
    assert more_than_layers["ok"] and more_than_layers["plan"]["tp"] == 1
    assert other["plan"]["pp"] == 1


def test_without_a_count_the_fewest_chips_that_fit_are_taken() -> None:
    found = answer(chips=None, tp=None, precision="bf16")
    assert found["fits"] and found["plan"]["chips"] == 2
    assert not answer(chips=1, tp=None, precision="bf16")["fits"]


def test_what_does_not_fit_says_so_and_what_queues_too() -> None:
    full = answer(chips=1, tp=1, precision="bf16")
    assert not full["fits"] and any("hypothetical" in note for note in full["notes"])
    assert not any("precision not given" in note for note in full["notes"])
    open_ = answer(chips=1, tp=1, precision=None)
    assert "precision not given; bf16 weights assumed" in open_["notes"]
    crowded = answer(batch=4000)
    assert crowded["fits"] and any("queue" in note for note in crowded["notes"])
    assert crowded["memory_gib"]["total"] < 80


def test_reading_from_the_slow_tier_is_said() -> None:
    common = {"chip": "sn40l", "tp": None, "precision": None, "software": None}
    found = answer(**common, chips=1)
    assert found["fits"] and any("DDR" in note for note in found["notes"])
    assert found["tpot_s"] > 5 * answer(**common, chips=4)["tpot_s"]


def test_a_count_of_chips_that_layers_do_not_divide_is_cut_by_heads_too() -> None:
    """576 Groq chips hold 32 layers of 32 heads as 18 stages of 32 chips, not as 32 stages of 18."""
    case = {"model": "llama3.1-8b", "chip": "groq-lpu-v1", "chips": 576}
    plan = serving.predict([case])[0]
    assert plan["fits"] and (plan["plan"]["pp"], plan["plan"]["tp"]) == (18, 32)


def test_a_makers_service_says_what_it_drafts_and_whose_chips_it_serves() -> None:
    """Five tokens a pass are read faster than an H100's memory could read the weights for each."""
    case = {"model": "llama3.1-8b", "chips": 1, "software": "sambanova"}
    own, other = serving.predict([case | {"chip": "sn40l"}, case | {"chip": "h100-sxm"}])
    assert all(
        any("tokens, drafted and checked" in note for note in one["notes"]) for one in (own, other)
    )
    assert [
        any("its maker's own chips" in note for note in one["notes"]) for one in (own, other)
    ] == [False, True]


@pytest.mark.parametrize(("chip", "most"), [("bow-ipu", 288), ("corsair", 96)])
def test_passes_of_a_prompt_fit_the_memory_at_work(chip, most) -> None:
    """Their size went by the large slow memory beside the SRAM, so that a pass filled two thirds of an IPU's."""
    case = {"model": "llama3.1-70b", "chip": chip, "batch": 32, "input_len": 8191, "output_len": 1}
    (found,) = serving.predict([case])
    known = chips.chip(chip)
    room = tiers.room(tiers.faster_tiers(known), "serving") / GIB
    assert found["memory_gib"]["activations"] < 0.1 * room
    assert found["memory_gib"]["total"] <= room and found["plan"]["chips"] <= most


def test_wafers_serve_from_their_own_memory_alone() -> None:
    one, many = (
        answer(chip="wse-3", chips=n, tp=None, software=None, precision=None) for n in (1, 4)
    )
    assert not one["fits"] and many["fits"] and many["plan"]["pp"] == 4


def test_more_precision_bytes_more_batch_and_longer_prompts_are_slower() -> None:
    base = answer()["tpot_s"]
    assert answer(precision="bf16")["tpot_s"] > base
    assert answer(batch=64)["tpot_s"] > base
    assert answer(input_len=8192)["tpot_s"] > base


def test_weights_lie_in_the_makers_format_where_none_is_named() -> None:
    """Tenstorrent's software keeps them in blocks of eight bits or fewer."""
    plain = {"model": "llama3.1-8b", "chip": "wormhole", "chips": 1, "batch": 1}
    told, narrow, wide = serving.predict(
        [plain, plain | {"precision": "fp8"}, plain | {"precision": "bf16"}]
    )
    assert told["tpot_s"] == narrow["tpot_s"] < 0.75 * wide["tpot_s"]
    assert told["notes"][0].startswith("Tenstorrent's software keeps weights in fp8")
    assert not any("keeps weights" in note for note in narrow["notes"])
    assert told["plan"]["precision"] == "fp8"


def test_engine_names_and_versions() -> None:
    chip, known = chips.chip("h100-sxm"), stored()
    assert engine("vLLM 0.4.2", chip, known)[0] == "vllm-2024"
    assert engine("vllm-0.11.0", chip, known)[0] == "vllm"
    assert engine("TensorRT-LLM", chip, known)[0] == "trt-llm"
    assert engine("vllm", chips.chip("mi300x"), known)[0] == "vllm"
    assert engine("vllm", chips.chip("mi250x"), known)[0] == "vllm-2024"
    assert engine("vllm 0.8.3", chip, known)[0] == "vllm-early-2025"
    assert engine("vllm-early-2025", chip, known)[0] == "vllm-early-2025"
    assert engine("vllm-2026", chip, known)[0] == engine("vllm-2025", chip, known)[0] == "vllm"
    assert (
        engine("sglang:v0.5.9", chip, known)[0]
        == engine("lmsysorg/sglang", chip, known)[0]
        == "sglang"
    )
    assert engine("Transformers NeuronX 2.18.0", chips.chip("trainium1"), known)[0] == "neuronx"
    assert engine("TensorRT-LLM v1.0", chip, known)[0] == "trt-llm"
    assert (
        engine("vllm", chip, known, "2023-07")[0] == "vllm-2024"
        and engine("vllm", chip, known, "2025-01")[0] == "vllm"
    )
    # Nobody timed a release of 2024 on Wormhole, whose port is of 2025.
    assert engine("vllm", chips.chip("wormhole"), known, "2023-07") == ("vllm", [])
    assert engine("tgi", chip, known)[0] == "generic"
    with pytest.raises(InputError, match="did you mean 'sglang'"):
        engine("sglag", chip, known)


def test_unmeasured_chips_have_wider_intervals() -> None:
    known = stored()
    widths = [math.log(high / low) for low, high in (known.interval(level) for level in LEVELS)]
    assert widths == sorted(widths) and widths[0] < widths[-1]
    assert answer(chip="tpu-v5p", software=None)["calibration"] == "generic"
    cousin = answer(chip="h20", software=None)
    assert cousin["calibration"] == "family" and cousin["plan"]["software"] != "generic"


def test_a_chip_given_as_an_object_counts() -> None:
    wider = {"base": "h100-sxm", "id": "mine", "hbm_tb_per_s": 6.7}
    assert answer(chip=wider)["tpot_s"] < answer()["tpot_s"]


def test_attention_copies_inside_the_tensor_parallel_group() -> None:
    case = {
        "model": "deepseek-v3",
        "chip": "b200",
        "chips": 8,
        "precision": "nvfp4",
        "batch": 64,
        "ep": 8,
    }
    inside, apart = serving.predict([case | {"tp": 8, "dp": 8}, case | {"tp": 1, "dp": 8}])
    assert inside["plan"] == apart["plan"] and inside["tpot_s"] == apart["tpot_s"]


def test_an_old_release_shares_its_engines_and_its_eras_factors() -> None:
    values = {
        ("generic", "all", "step_s"): 1e-3,
        ("software", "vllm", "step_s"): 2.0,
        ("era", "2024", "step_s"): 3.0,
        ("software", "vllm-2024", "step_s"): 5.0,
        ("port", "amd-cdna3/vllm", "host"): 7.0,
        ("port", "amd-cdna3/vllm-2024", "host"): 11.0,
    }
    found = Constants(values).resolve(["amd-cdna3"] * 3, ["vllm", "vllm-2024", "sglang-2024"])
    assert found["step_s"] == pytest.approx([2e-3 * 7, 2e-3 * 3 * 5 * 7 * 11, 1e-3 * 3])
    assert lineage("trt-llm-early-2025") == ("trt-llm", "early-2025")
    assert lineage("cerebras-2024") == ("cerebras-2024", "")


def test_the_table_of_engines_says_which_the_constants_know() -> None:
    assert set(spellings().values()) == {
        lineage(name)[0] for name in stored().keys("software") - {"cerebras-2024"}
    }
    assert not set(spellings(measured=False)) & set(spellings())


def test_what_a_makers_families_share_speaks_for_its_next_one() -> None:
    values = {("maker", "nvidia", "host"): 0.5, ("family", "nvidia-hopper", "host"): 3.0}
    told = Constants(values).resolve(["nvidia-rubin", "nvidia-hopper", "amd-cdna4"], ["vllm"] * 3)
    assert told["layer_s"] == pytest.approx(generic()["layer_s"].start * np.array([0.5, 1.5, 1.0]))
    # A maker's factor alone is no family that was timed.
    assert Constants(values).level("rubin", "nvidia-rubin", "vllm") == "generic"


def test_a_chip_timed_with_old_releases_only_is_not_condemned_by_them() -> None:
    """Who names no engine means its current release; what only the old one showed on the chip counts in part."""
    timed = {("pair", "mi250x/vllm-2024", "rows"): 217, ("pair", "mi250x/llama.cpp", "rows"): 161}
    timed |= {("pair", "mi300x/vllm-2024", "rows"): 288, ("pair", "mi300x/sglang", "rows"): 10}
    known = Constants(timed)
    assert usual_engine(chips.chip("mi250x"), known) == "vllm"
    assert usual_engine(chips.chip("mi300x"), known) == "sglang"
    old, new = (answer(chip="mi250x", software=name) for name in ("vllm 0.5", None))
    assert new["plan"]["software"] == "vllm-2026" and new["tpot_s"] < old["tpot_s"]
    assert new["calibration"] == "family"


def test_batches_that_start_and_end_together_are_nobodys_usual_service() -> None:
    """Gaudi's own software is answered where it is asked for; who names none gets an engine that serves."""
    for name in ("gaudi2", "gaudi3"):
        assert usual_engine(chips.chip(name), stored()) == "vllm"
        told = answer(chip=name, software="Gaudi software")
        assert told["plan"]["software"].startswith("gaudi-software")
        assert told["tpot_s"] < answer(chip=name)["tpot_s"]


@pytest.mark.parametrize(("better", "other"), [("gb300", "gb200"), ("mi325x", "mi300x")])
def test_a_chip_that_is_more_of_another_is_not_slower_for_the_engine_that_two_rows_name(
    better, other
) -> None:
    case = {"model": "llama3.1-70b", "chips": 8, "batch": 32, "input_len": 1000}
    first, second = serving.predict([case | {"chip": name} for name in (better, other)])
    assert first["plan"]["software"] == second["plan"]["software"]
    assert first["tpot_s"] <= second["tpot_s"] * 1.001


def test_four_bit_weights_without_four_bit_units_are_widened_and_not_cast() -> None:
    used = {name: serving_formats.multiplied_in(chips.chip(name), "mxfp4") for name in
            ("b200", "mi355x", "h100-sxm", "mi300x")}  # fmt: skip
    assert used == {"b200": "fp4", "mi355x": "fp4", "h100-sxm": "bf16", "mi300x": "bf16"}
    model = models.model("gpt-oss-120b")
    plan = ServingPlan()
    casts = [
        serving_batch.job_of(
            serving_batch.Question(model, chips.chip(name), "vllm", form, "bf16", 1, 8, 8, plan)
        ).casts
        for name, form in (("b200", "nvfp4"), ("h100-sxm", "nvfp4"), ("h100-sxm", "fp8"))
    ]
    assert casts == [1.0, 0.0, 1.0]


def test_products_of_one_byte_reach_less_of_their_peak() -> None:
    """A long prompt in FP8 gains less than the data sheet's two over BF16; one chip keeps the exchange out of it."""
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 1, "software": "vllm"}
    case |= {"batch": 1, "input_len": 32768, "output_len": 1}
    wide, narrow = serving.predict([case | {"precision": name} for name in ("bf16", "fp8")])
    assert 1.0 < wide["ttft_s"] / narrow["ttft_s"] < 1.9


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("global_batch", "batch"),
        ("seq_len", "input_len"),
        ("users", "batch"),
        ("prompt_len", "input_len"),
        ("version", "software"),
        ("kv_cache_dtype", "kv_precision"),
    ],
)
def test_a_field_of_training_or_of_another_tool_is_told_its_name_in_serving(field, meant) -> None:
    (told,) = serving.predict([{"model": "llama3.1-8b", "chip": "h100-sxm", field: 8}])
    assert told["error"] == f"unknown field '{field}'; did you mean '{meant}'?"


def test_what_a_request_leaves_out_of_its_load_is_told():
    bare = {key: CASE[key] for key in ("model", "chip", "chips")}
    (told,) = serving.predict([bare])
    assert told["notes"] == [
        "batch not given; 1 sequence at a time assumed",
        "input_len not given; 1024 tokens assumed",
        "output_len not given; 1024 tokens assumed",
    ]
    assert serving.predict([CASE])[0]["notes"] == []


def test_a_chip_without_a_measured_engine_says_so_whatever_else_is_told():
    """The sentence had been left out wherever a model or chip had given rise to another."""
    own = {"name": "X1", "hbm_gb": 96, "hbm_tb_per_s": 3, "bf16_tflops": 900}
    (told,) = serving.predict([{"model": {"params_b": 8}, "chip": own, "chips": 1}])
    assert "no serving engine has been measured on x1; typical overheads stand in" in told["notes"]
    assert any("head_dim" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch": 10**9}, "batch is 1,000,000,000; expected 1 to 100,000,000"),
        (
            {"chip": {"name": "X1", "bf16_tflops": 900}},
            "chip x1: memory size not published (column hbm_gb, or ddr_gb or sram_mb)",
        ),
    ],
)
def test_a_refusal_reads_as_people_write_numbers_and_names_the_column(changes, sentence):
    assert serving.predict([CASE | changes])[0]["error"] == sentence
