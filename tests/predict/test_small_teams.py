"""Adapters, offload, 16-bit states, costs."""

import pytest

from training_moat.catalog import models
from training_moat.core.units import GIB
from training_moat.core.workload import lora_params
from training_moat.predict import training

CASE = {
    "model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8, "tp": 1, "pp": 1, "dp": 8, "seq_len": 4096,
    "micro_batch": 1, "global_batch": 64, "zero_stage": 1, "recompute": "none",
}  # fmt: skip


def ask(**changes):
    answer = training.predict([CASE | changes])[0]
    assert answer["ok"], answer.get("error")
    return answer


def test_adapters_alone_have_gradients_and_states():
    """Hu et al. 2021, section 4.1: rank r on a product from a to b values trains r (a + b) weights."""
    whole, adapted = ask(), ask(lora_rank=16)
    llama = models.model("llama3.1-8b")
    per_layer = 4 * 4096 + 4096 + 4096 + 2 * 1024 + 3 * (4096 + 14336)
    assert lora_params(llama, 16) == 16 * 32 * per_layer
    held = adapted["memory_gib"]
    assert held["gradients"] * GIB == pytest.approx(4 * lora_params(llama, 16))
    assert held["weights"] == whole["memory_gib"]["weights"]
    assert adapted["step_time_s"] < whole["step_time_s"]
    assert adapted["model_tflops_per_chip"] * adapted["step_time_s"] < 0.72 * (
        whole["model_tflops_per_chip"] * whole["step_time_s"]
    )
    assert adapted["plan"]["lora_rank"] == 16


def test_offloaded_states_take_no_room_but_time():
    here, there, everything = ask(), ask(offload="optimizer"), ask(offload="all")
    assert there["memory_gib"]["optimizer"] == 0 < here["memory_gib"]["optimizer"]
    assert everything["memory_gib"]["weights"] == everything["memory_gib"]["gradients"] == 0
    assert here["step_time_s"] < there["step_time_s"] < everything["step_time_s"]
    assert any("host" in note for note in there["notes"])


def test_states_without_an_fp32_copy():
    """Adam in 8 bits keeps two bytes a weight (Dettmers et al. 2022), six with an FP32 copy of the weight."""
    with_copy = ask(optimizer="adam8bit")["memory_gib"]["optimizer"]
    without = ask(optimizer="adam8bit", master_weights=False)["memory_gib"]["optimizer"]
    assert without == pytest.approx(with_copy / 3)


def test_a_whole_run_costs_its_hours():
    answer = ask(tokens_b=2000, price_usd_per_chip_hour=2.5, goodput=0.8)
    hours = 2000e9 / answer["tokens_per_s"] / 0.8 * 8 / 3600
    assert answer["chip_hours"] == pytest.approx(hours)
    assert answer["cost_usd"] == pytest.approx(2.5 * hours)
    assert answer["run_days"] == pytest.approx(hours / 8 / 24)
    assumed = ask(tokens_b=2000)
    assert 0.5 < assumed["goodput"] <= 1 and any("goodput" in note for note in assumed["notes"])
    step = ask(price_usd_per_chip_hour=2.5)
    assert step["cost_usd"] == pytest.approx(2.5 * 8 * step["step_time_s"] / 3600)


@pytest.mark.parametrize(
    ("field", "value"),
    [("goodput", 0), ("goodput", 1.5), ("tokens_b", -1), ("tokens_b", 15_000_000_000_000), ("price_usd_per_chip_hour", "x"), ("lora_rank", -1),
     ("offload", "disk"), ("released", "soon"), ("matmul_tflops", 0), ("expert_tp", 2)],
)  # fmt: skip
def test_wrong_values_are_one_sentence(field, value):
    answer = training.predict([CASE | {field: value}])[0]
    assert not answer["ok"] and field in answer["error"] and "\n" not in answer["error"]


def test_uneven_stages_are_answered_with_a_note():
    """80 layers on 32 stages: three on the fullest."""
    case = CASE | {"model": "llama3.1-70b", "chips": 32, "pp": 32, "dp": 1}
    notes = training.predict([case])[0]["notes"]
    assert any("the fullest has 3" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"model": {"base": "deepseek-v3", "params_b": 100}},
            "hold as many weights as params_b says",
        ),
        ({"model": {"base": "llama3.1-8b", "params_b": 800}}, "params_b is more than"),
        ({"chip": {"base": "h100-sxm", "bf16_tflops": 1e9}}, "from 0 to 1,000,000"),
        ({"chip": {"base": "h100-sxm", "hbm_tb_per_s": 1e9}}, "from 0 to 1,000,000"),
        ({"model": ["x"]}, "model is ['x']"),
        ({"chip": {"base": ["h100-sxm"]}}, "'base' is ['h100-sxm']"),
        ({"software": {"a": 1}}, "software is {'a': 1}"),
        ({"precision": ["fp8"]}, "precision is ['fp8']"),
        ({"chips": 10**400}, "chips is"),
        ({"seq_len": float("inf")}, "seq_len is inf"),
        ({"model": {"layers": 10**400, "hidden": 8, "heads": 1}}, "'layers' is"),
        ({"model": "\n"}, "unknown model"),
    ],
)
def test_absurd_input_is_one_sentence(change, sentence):
    answer = training.predict([CASE | change])[0]
    assert not answer["ok"] and sentence in answer["error"], answer
    assert "\n" not in answer["error"] and len(answer["error"]) <= 400


def test_a_mixture_repeated_without_its_dense_layers_keeps_its_count():
    """DeepSeek-V3's sizes with params_b alone: three dense layers make 671 billion, none 704."""
    shape = {
        "layers": 61, "hidden": 7168, "heads": 128, "vocab": 129280, "ffn": 18432, "experts": 256,
        "experts_per_token": 8, "shared_experts": 1, "expert_ffn": 2048, "q_lora_rank": 1536, "kv_lora_rank": 512,
        "gated_ffn": True, "tied_embeddings": False, "params_b": 671,
    }  # fmt: skip
    assert models.from_record(shape).dense_layers == 3
