"""Adapters, offload, 16-bit states, costs."""

import pytest

from training_moat.catalog import models
from training_moat.core.adapters import lora_params
from training_moat.core.units import GIB
from training_moat.core.workload import params
from training_moat.predict import request_fields, requests, training

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


def test_litgpt_trains_adapters_with_nothing_compiled():
    """LitGPT, litgpt/finetune/lora.py and config_hub/finetune: no torch.compile, bf16-true; its table of runs on one A10G of
    24 GB has Llama 3.1 8B at 512 tokens."""
    run = {
        "chips": 1,
        "dp": 1,
        "zero_stage": None,
        "seq_len": 512,
        "global_batch": 8,
        "chip": "a10",
    }
    adapted = ask(**run, lora_rank=32, software="lit-gpt", recompute=None)
    assert adapted["fits"] and adapted["plan"]["software"] == "litgpt-eager"
    assert "adapters are taken to be on every dense product of every layer" in adapted["notes"]
    whole = ask(software="litgpt")
    assert whole["plan"]["software"] == "litgpt"
    assert not any("adapters" in note for note in whole["notes"])


def test_adapters_may_be_on_some_products():
    """Hu et al. 2021, section 4.2: on queries and values alone, say. Inputs of products without them are not kept."""
    alone = {"chips": 1, "dp": 1, "zero_stage": 0, "lora_rank": 16, "global_batch": 8}
    every, some = ask(**alone), ask(**alone, lora_targets=["q_proj", "v_proj"])
    weights = 32 * 16 * (4096 + 4096 + 4096 + 1024)
    assert some["memory_gib"]["optimizer"] * GIB == pytest.approx(12 * weights)
    assert some["plan"]["lora_targets"] == ["q_proj", "v_proj"]
    assert "lora_targets" not in every["plan"]
    assert not any("adapters are taken" in note for note in some["notes"])
    assert some["step_time_s"] < every["step_time_s"]
    freed = (every["memory_gib"]["activations"] - some["memory_gib"]["activations"]) * GIB
    # Of 32 layers, and the one that Megatron-Core holds beyond those: what goes into the block and into its last product.
    assert freed == pytest.approx(33 * 4096 * 2 * (4096 + 14336))
    flops = [one["model_tflops_per_chip"] * one["step_time_s"] for one in (every, some)]
    assert flops[0] - flops[1] == pytest.approx(
        6 * 8 * 4096 / 1e12 * (lora_params(models.model("llama3.1-8b"), 16) - weights)
    )
    same = [
        ["q_proj", "v_proj"], "q_proj,v_proj", ("wq", "wv"), ["V_proj", "q_proj"], "linear_q+linear_v",
    ]  # fmt: skip
    assert len({ask(**alone, lora_targets=one)["step_time_s"] for one in same}) == 1
    for words in ("all-linear", ["attention", "mlp"], ["linear_qkv", "o_proj", "linear_fc1", "w2"]):
        assert ask(**alone, lora_targets=words)["plan"] == every["plan"]


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (["lm_head"], "unknown lora_targets 'lm_head'"),
        ([], "expected a list of q_proj"),
        (7, "expected a list of q_proj"),
        ([7], "lora_targets has 7"),
        (["q_porj"], "did you mean 'q_proj'"),
    ],
)
def test_no_adapter_is_on_what_is_no_product(targets, told):
    refused = training.predict([CASE | {"lora_rank": 8, "lora_targets": targets}])[0]
    assert not refused["ok"] and told in refused["error"]
    refused = training.predict([CASE | {"lora_targets": ["q_proj"]}])[0]
    assert not refused["ok"] and "lora_rank" in refused["error"]
    mixture = {**CASE, "model": "mixtral-8x7b", "lora_rank": 8, "lora_targets": "mlp"}
    refused = training.predict([mixture])[0]
    assert not refused["ok"] and "names no product of the model" in refused["error"]


def test_memory_of_litgpts_adapters_as_published():
    """LitGPT's resource tables (memory_measurements): adapters of rank 8 on queries and values, Alpaca's longest sample of 1,304
    tokens, one A100; in four bits with a bitsandbytes that kept the inputs of all frozen products."""
    run = {
        "model": "llama2-7b", "chip": "a100-40", "chips": 1, "dp": 1, "zero_stage": 0, "seq_len": 1304, "global_batch": 1,
        "software": "litgpt", "lora_rank": 8, "lora_targets": ["q_proj", "v_proj"], "released": "2023-10",
    }  # fmt: skip
    for model, base, gigabytes in (
        ("llama2-7b", None, 21.3),
        ("llama2-7b", "nf4", 13.84),
        ("llama2-13b", None, 38.12),
        ("llama2-13b", "nf4", 22.55),
    ):
        asked = run | {"model": model, "base_precision": base}
        told = ask(**asked)["memory_gib"]["allocated"] * GIB / 1e9
        assert told == pytest.approx(gigabytes, rel=0.02)
    kept = ask(**run, base_precision="nf4")
    assert any("bitsandbytes before 0.43.2" in note for note in kept["notes"])
    freed = ask(**{**run, "released": "2025-01"}, base_precision="nf4")
    assert freed["memory_gib"]["activations"] < 0.85 * kept["memory_gib"]["activations"]


def test_replicas_may_share_out_in_groups():
    """PyTorch FSDP's hybrid sharding (Zhao et al. 2023, section 3.2.2)."""
    run = {"chips": 32, "dp": 32, "zero_stage": 3, "software": "torchtitan"}
    whole, halves = ask(**run), ask(**run, shard_group=8)
    ratio = halves["memory_gib"]["weights"] / whole["memory_gib"]["weights"]
    assert ratio == pytest.approx(4)
    assert halves["plan"]["shard_group"] == 8 and "shard_group" not in whole["plan"]
    assert halves["seconds"]["data_parallel"] != whole["seconds"]["data_parallel"]
    assert ask(**run, shard_group=32)["step_time_s"] == whole["step_time_s"]
    free = {"chips": 32, "dp": None, "tp": None, "pp": None, "zero_stage": None, "software": "torchtitan"}  # fmt: skip
    assert ask(**free, shard_group=8)["plan"]["zero_stage"] >= 1
    refused = training.predict([CASE | run | {"shard_group": 5}])[0]
    assert not refused["ok"] and "shard_group does not divide" in refused["error"]
    states, grouped = ask(zero_stage=1), ask(zero_stage=1, shard_group=2)
    ratio = grouped["memory_gib"]["optimizer"] / states["memory_gib"]["optimizer"]
    assert ratio == pytest.approx(4) and grouped["memory_gib"]["weights"] == pytest.approx(
        states["memory_gib"]["weights"]
    )
    streamed = training.predict(
        [{"model": "llama3.1-8b", "chip": "wse-3", "chips": 4, "shard_group": 2}]
    )[0]
    assert "shard_group 2 changes nothing: the store has all states" in streamed["notes"]
    refused = training.predict([CASE | {"zero_stage": 0, "shard_group": 4}])[0]
    assert not refused["ok"] and "needs a zero_stage above 0" in refused["error"]


def test_frozen_layers_may_be_kept_in_four_bits():
    """Dettmers et al. 2023: 4.127 bits a weight, written out in 16 bits for every product; embeddings stay as they are."""
    alone = {"chips": 1, "dp": 1, "zero_stage": 0, "lora_rank": 16, "global_batch": 8}
    wide, narrow = (ask(**alone, base_precision=word) for word in (None, "nf4"))
    llama = models.model("llama3.1-8b")
    layers = params(llama) - 2 * 128256 * 4096
    saved = (wide["memory_gib"]["weights"] - narrow["memory_gib"]["weights"]) * GIB
    assert saved == pytest.approx((2 - 4.127 / 8) * layers)
    assert wide["memory_gib"]["optimizer"] == narrow["memory_gib"]["optimizer"]
    more = narrow["step_time_s"] - wide["step_time_s"]
    traffic = 8 * 2 * (2 + 4.127 / 8) * layers
    assert traffic / 3.35e12 < more < 2 * traffic / 3.35e12
    assert narrow["plan"]["base_precision"] == "nf4" and "base_precision" not in wide["plan"]
    for word in ("nf4-plain", "bnb.nf4"):  # a constant of 32 bits for 64 weights
        plain = ask(**alone, base_precision=word)
        more = (plain["memory_gib"]["weights"] - narrow["memory_gib"]["weights"]) * GIB
        assert more == pytest.approx((4.5 - 4.127) / 8 * layers)
        assert plain["plan"]["base_precision"] == "nf4-plain"
    assert ask(**alone, base_precision="bnb.nf4-dq")["memory_gib"] == narrow["memory_gib"]
    big = {**alone, "model": "llama3.1-70b", "chip": "h100-sxm", "recompute": "full"}
    assert ask(**big, base_precision="nf4")["fits"] and not ask(**big)["fits"]
    refused = training.predict([CASE | {"base_precision": "nf4"}])[0]
    assert not refused["ok"] and "lora_rank" in refused["error"]
    refused = training.predict([CASE | alone | {"base_precision": "nf5"}])[0]
    assert not refused["ok"] and "nf4" in refused["error"]


def test_offloaded_states_take_no_room_but_time():
    here, there, everything = ask(), ask(offload="optimizer"), ask(offload="all")
    assert there["memory_gib"]["optimizer"] == 0 < here["memory_gib"]["optimizer"]
    assert everything["memory_gib"]["weights"] == everything["memory_gib"]["gradients"] == 0
    assert here["step_time_s"] < there["step_time_s"] < everything["step_time_s"]
    assert any("host" in note for note in there["notes"])


def test_activations_in_the_hosts_memory_make_room_for_longer_sequences():
    long = {"seq_len": 131072, "zero_stage": 3, "recompute": "full", "global_batch": 8}
    here, inputs, there = (
        ask(**long, activation_offload=word) for word in ("none", "outputs", "all")
    )
    assert "activation_offload" not in here["plan"] and there["plan"]["activation_offload"] == "all"
    held = [one["memory_gib"]["activations"] * GIB for one in (here, inputs, there)]
    assert held[0] == held[1]
    assert held[0] - held[2] == pytest.approx(30 * 2 * 131072 * 4096)
    assert (
        any("host" in note for note in there["notes"])
        and there["step_time_s"] >= here["step_time_s"]
    )
    found = training.predict([CASE | {"activation_offload": "disk"}])[0]
    assert not found["ok"] and "activation_offload" in found["error"]


def test_some_layers_activations_go_to_the_hosts_memory_over_the_chips_own_link():
    run = {"chips": 64, "dp": 64, "zero_stage": 3, "model": "llama3.1-70b", "seq_len": 8192}
    run |= {
        "precision": "fp8",
        "software": "megatron-bridge",
        "micro_batch": 2,
        "global_batch": 256,
    }
    here, half, there = (
        ask(**run, chip="gb200", activation_offload_share=share) for share in (None, 0.5, 1)
    )
    assert half["plan"]["activation_offload_share"] == 0.5
    assert half["plan"]["activation_offload"] == there["plan"]["activation_offload"] == "all"
    assert "activation_offload_share" not in there["plan"] | here["plan"]
    held = [one["memory_gib"]["activations"] for one in (here, half, there)]
    assert held[0] > held[1] > held[2] and half["step_time_s"] == here["step_time_s"]
    assert any("own processor" in note for note in half["notes"])
    # Behind PCI Express the same traffic shows.
    h100 = [ask(**run, chip="h100-sxm", activation_offload_share=share) for share in (0, 1)]
    assert h100[1]["step_time_s"] > 1.5 * h100[0]["step_time_s"]
    assert any("PCIe" in note for note in h100[1]["notes"])


def test_a_chunked_loss_is_asked_for_or_the_softwares():
    """TRL's loss is in chunks unless it is told otherwise, Accelerate's is whole."""
    long = {"seq_len": 65536, "zero_stage": 3, "recompute": "full", "global_batch": 8}

    def held(**said):
        return ask(**long, **said)["memory_gib"]["activations"]

    whole, chunked = (held(software="accelerate", chunked_loss=said) for said in (False, True))
    assert whole == held(software="accelerate") > 2 * chunked
    assert held(software="trl") == chunked == held(software="trl", chunked_loss=True)
    assert held(software="trl", chunked_loss=False) == whole
    assert ask(chunked_loss=True)["plan"]["chunked_loss"] is True
    assert "chunked_loss" not in ask()["plan"]


def test_weights_of_eight_bit_runs_may_be_gathered_in_eight_bits():
    run = {"chips": 64, "dp": 64, "zero_stage": 3, "precision": "fp8", "software": "torchtitan"}
    wide, narrow = (ask(**run, narrow_gather=said) for said in (False, True))
    assert ask(**run)["seconds"] == wide["seconds"]
    assert narrow["seconds"]["data_parallel"] < wide["seconds"]["data_parallel"]
    assert narrow["plan"]["narrow_gather"] is True and "narrow_gather" not in ask(**run)["plan"]
    same = [ask(**run | {"precision": "bf16"}, narrow_gather=said) for said in (False, True)]
    assert same[0]["seconds"] == same[1]["seconds"]
    # Megatron Bridge's recipes gather so unless they are told otherwise.
    bridge = run | {"software": "megatron-bridge"}
    usual, other = ask(**bridge), ask(**bridge, narrow_gather=False)
    assert usual["seconds"]["data_parallel"] < other["seconds"]["data_parallel"]


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


TORCHTUNE = {
    "chips": 1,
    "micro_batch": 2,
    "global_batch": 2,
    "software": "torchtune",
    "recompute": "full",
}
MANY_H100 = {
    "model": "llama3.1-70b", "chip": "h100-sxm", "chips": 256, "seq_len": 8192, "global_batch": 512,
}  # fmt: skip


def plainly(**request):
    (found,) = training.predict([request])
    assert found["ok"], found.get("error")
    return found


def test_eight_bit_states_stay_on_a_chip_that_has_room_for_them():
    """torchtune's README (December 2024): Llama 3.2 3B under 8-bit AdamW on one A100 at 6,960 tokens a second, where
    states that went to the host made it 2,801."""
    run = TORCHTUNE | {"model": "llama3.2-3b", "chip": "a100-80", "seq_len": 4096}
    with_room = plainly(**run, optimizer="adam8bit")
    assert with_room["fits"] and "offload" not in with_room["plan"]
    assert with_room["tokens_per_s_per_chip"] == pytest.approx(6960, rel=0.05)
    assert with_room["step_time_s"] == pytest.approx(plainly(**run)["step_time_s"], rel=0.05)


def test_eight_bit_states_without_room_come_and_go_and_the_chip_steps_them():
    """The same README: Llama 3.1 8B with every weight trained on one 4090 at 1,650 tokens a second."""
    run = TORCHTUNE | {"model": "llama3.1-8b", "chip": "rtx-4090", "seq_len": 2048}
    run["optimizer"] = "adam8bit"
    paged = plainly(**run)
    assert paged["plan"]["offload"] == "optimizer"
    assert any("paged" in note for note in paged["notes"])
    assert plainly(**run, offload="optimizer")["step_time_s"] > 1.9 * paged["step_time_s"]
    assert paged["step_time_s_p05"] < 4096 / 1650 < paged["step_time_s_p95"]
    moved = 2 * 2 * 8.03e9 / 25e9
    here = plainly(**run, offload="none")
    assert paged["step_time_s"] - here["step_time_s"] == pytest.approx(moved, rel=0.06)


@pytest.mark.parametrize(
    "software", ["levanter", "torchtune", "trl", "fsdp", "composer", "fms-fsdp"]
)
def test_software_without_pipelines_is_given_none_unless_asked(software):
    found = plainly(**MANY_H100, software=software)
    many = training.predict([MANY_H100 | {"software": name} for name in (software, "maxtext")])
    assert found["plan"]["pp"] == many[0]["plan"]["pp"] == 1 < many[1]["plan"]["pp"]
    assert found["plan"]["zero_stage"] == 3 and found["fits"]
    assert plainly(**MANY_H100, software=software, pp=2)["plan"]["pp"] == 2


MANY_TOKENS = MANY_H100 | {"seq_len": 32768, "global_batch": 256}


@pytest.mark.parametrize(
    ("software", "sizes"),
    [
        ("fsdp", ("tp", "pp", "cp")),
        ("fms-fsdp", ("tp", "pp", "cp")),
        ("litgpt", ("tp", "pp", "cp")),
        ("thunder", ("tp", "pp", "cp")),
        ("llm.c", ("tp", "pp", "cp")),
        ("llm.q", ("tp", "pp", "cp")),
        ("nmoe", ("tp", "pp", "cp")),
        ("composer", ("pp", "cp")),
        ("easylm", ("pp", "cp")),
    ],
)
def test_software_splits_no_model_in_a_way_it_does_not_have_unless_asked(software, sizes):
    """Each stack's own code or documentation (`software_stacks`)."""
    several = [MANY_TOKENS | {"software": software}, MANY_TOKENS | {"software": "megatron-core"}]
    alone, (read, other) = plainly(**several[0]), training.predict(several)
    assert {alone["plan"][size] for size in sizes} == {1}
    assert read == alone and other["ok"]
    assert any(other["plan"][size] > 1 for size in ("tp", "pp", "cp"))
    for size in sizes:
        assert plainly(**several[0], **{size: 2})["plan"][size] == 2


def test_what_divides_in_no_other_way_is_split_all_the_same():
    """Eight sequences are no work for 64 replicas: refused, runs that somebody had would get no answer."""
    few = MANY_TOKENS | {"chips": 64, "global_batch": 8, "software": "fsdp"}
    (found,) = training.predict([few])
    assert found["ok"] and found["plan"]["dp"] <= 8
    lacking = "fsdp has no tensor parallelism nor pipelines nor context parallelism"
    assert f"{lacking}; no plan without is possible" in found["notes"]
    told = plainly(**few, tp=8, pp=1, cp=1)
    assert not any(lacking in note for note in told["notes"])


def test_software_that_splits_no_model_is_told_where_nothing_fits():
    big = MANY_TOKENS | {
        "model": "llama3.1-405b",
        "chips": 8,
        "global_batch": 8,
        "software": "fsdp",
    }
    (short,) = training.predict([big])
    assert not short["fits"] and any("has no tensor parallelism" in note for note in short["notes"])
    (other,) = training.predict([big | {"software": "torchtitan"}])
    assert not other["fits"] and not any("has no" in note for note in other["notes"])


@pytest.mark.parametrize("software", ["peft", "TRL", "axolotl", "Unsloth", "transformers-liger"])
def test_layers_kept_in_few_bits_are_done_again_where_peft_prepares_the_model(software):
    run = {
        "chips": 1, "dp": 1, "zero_stage": 0, "global_batch": 1, "lora_rank": 8, "base_precision": "nf4", "software": software,
    }  # fmt: skip
    kept, told, off = (ask(**run, recompute=said) for said in (None, "full", "none"))
    assert kept["plan"] == told["plan"] and kept["step_time_s"] == told["step_time_s"]
    assert set(kept["notes"]) - set(told["notes"]) == {
        "recompute not given; full assumed, as PEFT has it for layers kept in few bits"
    }
    assert off["plan"]["recompute"] == "none"
    own = ask(**run | {"software": "torchtune", "recompute": None})
    assert own["plan"]["recompute"] == "none"


@pytest.mark.parametrize(
    ("software", "usual"),
    [("MaxText", "maxtext does all layers"), ("torchtitan", "torchtitan does every other layer"), ("LLaMA-Factory", "llama-factory does all layers")],
)  # fmt: skip
def test_who_leaves_recomputation_open_is_told_what_the_software_does_unasked(software, usual):
    note = f"recompute not given; the fastest that fits is taken, where {usual} again unless told otherwise"
    assert note in ask(software=software, recompute=None)["notes"]
    assert note not in ask(software=software)["notes"]
    assert not any("unless told otherwise" in each for each in ask(recompute=None)["notes"])


SPELT = [
    ("precision", "bfloat16", "bf16"),
    ("precision", "float8", "fp8"),
    ("precision", "Half", "fp16"),
    ("optimizer", "adamw_torch_fused", "adamw"),
    ("optimizer", "PagedAdamW8bit", "adam8bit"),
    ("optimizer", "paged_adamw_8bit", "adam8bit"),
    ("optimizer", "DistributedFusedAdam", "adam"),
    ("optimizer", "AdamW4bit", "adam4bit"),
    ("optimizer", "MuonClip", "muon"),
    ("precision", "FP8-CS", "fp8"),
    ("precision", "fp8_mx", "mxfp8"),
    ("precision", "float8 rowwise", "fp8"),
    ("precision", "BF16 mixed precision", "bf16"),
    ("precision", "FP8 (delayed scaling)", "fp8"),
    ("precision", "BF16/FP32", "bf16"),
    ("recompute", "selective activation checkpointing", "selective"),
    ("recompute", "Full AC", "full"),
    ("recompute", "gradient checkpointing", "full"),
    ("recompute", "disabled", "none"),
    ("optimizer", "8-bit AdamW", "adam8bit"),
    ("optimizer", "AdamW (fused)", "adamw"),
    ("optimizer", "paged_adamw_32bit", "adamw"),
    ("offload", "optimizer states to CPU", "optimizer"),
    ("software", "DeepSpeed ZeRO Stage 3", "deepspeed"),
    ("software", "TRL SFTTrainer", "trl"),
    ("software", "ROCm Megatron", "megatron-lm"),
    ("recompute", True, "full"),
    ("recompute", False, "none"),
    ("recompute", "core_attn", "selective"),
    ("offload", "offload_params", "all"),
    ("offload", "optimizer states", "optimizer"),
    ("activation_offload", "CPU", "all"),
    ("software", "mcore", "megatron-core"),
    ("software", "torch", "pytorch"),
    ("software", "DeepSpeed ZeRO3", "deepspeed"),
    ("software", "HF Trainer", "transformers"),
    ("software", "fsdp_qlora", "transformers"),
    ("software", "torchtitan (eager)", "pytorch-eager"),
    ("software", "FSDP2, not compiled", "pytorch-eager"),
]


@pytest.mark.parametrize(("field", "elsewhere", "here"), SPELT)
def test_words_are_taken_as_other_tools_spell_them(field, elsewhere, here):
    run = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8}
    assert ask(**run, **{field: elsewhere}) == ask(**run, **{field: here})


@pytest.mark.parametrize(
    ("elsewhere", "here"),
    [("alltoall", "all-to-all"), ("all_to_all", "all-to-all"), ("a2a", "all-to-all"), ("Deep-EP", "deepep"), ("one_hot", "one-hot")],
)  # fmt: skip
def test_a_dispatcher_is_known_whatever_stands_between_its_words(elsewhere, here):
    """Megatron says alltoall (moe-token-dispatcher-type)."""
    run = {"model": "mixtral-8x7b", "chip": "h100-sxm", "chips": 8}
    assert ask(**run, dispatcher=elsewhere) == ask(**run, dispatcher=here)


def test_every_word_of_other_tools_leads_to_one_of_ours():
    """Each is written as it is looked up: in small letters, with nothing between its parts."""
    run = {"model": "mixtral-8x7b", "chip": "h100-sxm", "chips": 8}
    for field, spelt in request_fields.SPELT.items():
        assert all(said == requests.plain(said) for said in spelt), field
        adapters = {"lora_rank": 8} if field == "base_precision" else {}
        asked = [run | adapters | {field: word} for word in spelt if field != "kv_precision"]
        assert all(answer["ok"] for answer in training.predict(asked)), field


def test_words_that_tell_nothing_are_no_answer():
    run = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8}
    asked = [{"precision": "mixed precision"}, {"precision": "amp"}, {"optimizer": "distributed optimizer"}, {"recompute": "op"}]  # fmt: skip
    assert not any(answer["ok"] for answer in training.predict([run | one for one in asked]))


def test_frozen_layers_in_sixteen_bits_are_what_they_are_unless_told():
    assert ask(lora_rank=8, base_precision="bf16") == ask(lora_rank=8)


@pytest.mark.parametrize("word", ["nf4", "INT4", "4bit"])
def test_a_format_of_frozen_weights_is_not_taken_for_one_of_products(word):
    (answer,) = training.predict(
        [{"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8, "precision": word}]
    )
    assert answer["error"].startswith(f"precision {word} is a format of frozen weights (QLoRA)")


@pytest.mark.parametrize("word", ["outputs", "all"])
def test_layers_whose_activations_wait_in_the_host_are_done_again_where_that_is_faster(word):
    """A plan without recomputation fits as well, but all that it keeps has to pass the host's link twice."""
    case = {"model": "qwen3-235b-a22b", "chip": "tpu-v7", "chips": 64, "dp": 64, "tp": 1, "pp": 1}
    case |= {"ep": 1, "zero_stage": 3, "software": "maxtext", "seq_len": 4096}
    case |= {"global_batch": 832, "micro_batch": 13, "activation_offload": word}
    free, full, none = (ask(**case, recompute=level) for level in (None, "full", "none"))
    fastest = min(one["step_time_s"] for one in (full, none) if one["fits"])
    assert free["fits"] and free["step_time_s"] <= fastest * (1 + 1e-9)


@pytest.mark.parametrize("precision", ["tf32", "fp32"])
def test_formats_wider_than_16_bits_have_one_copy_of_the_weights_and_a_wide_stream(precision):
    """PyTorch, CUDA semantics: TF32 is a way to multiply FP32 values, which stay so."""
    plan = {"tp": 1, "pp": 1, "dp": 8, "zero_stage": 0, "micro_batch": 1, "recompute": "none"}
    case = {**MANY_H100, "chips": 8, "model": "llama3.2-1b"} | plan
    narrow, wide = plainly(**case, precision="bf16"), plainly(**case, precision=precision)
    held = models.model("llama3.2-1b")
    for part, size in (("weights", 4), ("gradients", 4), ("optimizer", 8)):
        assert wide["memory_gib"][part] * GIB == pytest.approx(size * params(held))
    assert wide["plan"]["master_weights"]
    kept = wide["memory_gib"]["activations"] / narrow["memory_gib"]["activations"]
    assert 1.5 < kept <= 2
    assert wide["seconds"]["memory_bound"] > 1.5 * narrow["seconds"]["memory_bound"]
    assert wide["calibration"] != "measured" == narrow["calibration"]
    cut = {**case, "tp": 2, "dp": 4}
    sent = [
        plainly(**cut, precision=each)["seconds"]["tensor_parallel"] for each in ("bf16", precision)
    ]
    assert sent[1] > 1.5 * sent[0]
