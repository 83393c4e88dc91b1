"""What a request says of its software: its date chooses the version, its dispatcher how tokens travel."""

import pytest

from training_moat.catalog import tables
from training_moat.predict import serving, software, training

MIXTURE = {
    "model": "deepseek-v3", "chip": "h100-sxm", "chips": 1024, "tp": 2, "pp": 8, "dp": 64, "ep": 64,
    "micro_batch": 1, "seq_len": 4096, "global_batch": 8192, "precision": "bf16", "software": "megatron",
}  # fmt: skip


stacks = software.all_software()


def step(**said):
    answer = training.predict([MIXTURE | said])[0]
    assert answer["ok"], answer.get("error")
    return answer["step_time_s"]


@pytest.mark.parametrize(
    ("name", "released", "version"),
    [
        ("nemo", "2026-07", "nemo-2026"),
        ("megatron-bridge", "2026-06", "nemo-2026"),
        ("megatron-bridge", "2026-05", "megatron-bridge"),
        ("nemo", "2025", "nemo"),
        ("nemo", "2023-11", "nemo-2023"),
        ("nemo", None, "nemo"),
        ("megatron", "2021-08", "megatron-2021"),
        ("maxtext", "2023-01", "maxtext"),
    ],
)
def test_the_date_of_the_software_chooses_its_version(name, released, version):
    case = MIXTURE | {"model": "llama2-7b", "ep": 1, "software": name, "released": released}
    assert training.predict([case])[0]["plan"]["software"] == version


def test_every_version_goes_by_the_name_that_people_use():
    for reach, own in software._versions():
        assert {own, *reach.names} <= set(software.all_software())
        assert reach.begin < reach.end
        assert software.common_name(own) in reach.names
    assert software.common_name("maxtext") == "maxtext"


def test_nothing_of_before_flash_attention_is_fused():
    old = MIXTURE | {"model": "llama2-7b", "ep": 1, "precision": "bf16", "released": "2022-02"}
    assert training.predict([old])[0]["plan"]["flash_attention"] is False
    assert training.predict([old | {"released": "2022-06"}])[0]["plan"]["flash_attention"] is True


def test_a_dispatcher_that_sends_less_and_hides_more_is_no_slower():
    assert step(dispatcher="hybridep") <= step(dispatcher="deepep") < step(dispatcher="all-to-all")
    assert step(dispatcher="deepep") == step()
    assert step(overlapped_exchange=True) < step(overlapped_exchange=False) == step()
    assert step(balanced_routing=False) > step(balanced_routing=True) == step()


def test_graphs_take_launches_away_and_software_that_has_them_needs_no_word():
    assert step(graphs="none") == step() > step(graphs="partial") > step(graphs="whole")
    assert step(graphs="compiled") <= step(graphs="whole")
    assert step(software="nemo-2026") == step(software="nemo-2026", graphs="whole")
    refused = training.predict([MIXTURE | {"graphs": "some"}])[0]
    assert not refused["ok"] and "graphs" in refused["error"]


@pytest.mark.parametrize(
    ("name", "chip", "released", "dispatcher"),
    [
        ("megatron", "h100-sxm", "2025-03", "all-to-all"),
        ("megatron", "h100-sxm", "2025-08", "deepep"),
        ("megatron-core", "gb200", "2025-08", "all-to-all"),
        ("megatron", "gb200", "2026-03", "hybridep"),
        ("megatron", "b200", None, "deepep"),
        ("megatron", "gb300", None, "hybridep"),
        ("megatron", "a100-80", None, "all-to-all"),
        ("nemo", "h100-sxm", "2025-02", "all-to-all"),
        ("nemo", "h100-sxm", "2025-09", "deepep"),
        ("megatron-bridge", "gb200", "2025-09", "all-to-all"),
        ("megatron-bridge", "gb300", "2026-03", "hybridep"),
        ("megatron-bridge", "b200", "2026-03", "deepep"),
        ("torchtitan", "h100-sxm", "2026-03", "all-to-all"),
    ],
)
def test_who_names_no_dispatcher_gets_what_the_makers_advised_by_then(
    name, chip, released, dispatcher
):
    said = {"software": name, "chip": chip, "released": released}
    assert step(**said) == step(**said, dispatcher=dispatcher)
    others = {"all-to-all", "deepep", "hybridep"} - {dispatcher}
    assert all(step(**said) != step(**said, dispatcher=other) for other in others)


def test_only_who_compiles_nothing_waits_for_operations_on_split_tensors():
    eager, compiled, own = (stacks[name] for name in ("pytorch-eager", "torchtitan", "nanotron"))
    assert (eager.eager_tensors, compiled.eager_tensors, own.eager_tensors) == (1, 0, 0)
    small = {
        "model": "llama3.1-8b", "chip": "h200", "chips": 2, "dp": 1, "tp": 2, "pp": 1, "ep": 1, "seq_len": 2048,
        "global_batch": 1, "software": "pytorch-eager", "recompute": "none", "zero_stage": 3,
    }  # fmt: skip
    split, whole = step(**small), step(**small | {"tp": 1, "dp": 2, "global_batch": 2})
    assert split > 1.5 * whole
    assert step(**small | {"software": "torchtitan"}) < split / 2


def test_a_chip_made_from_another_has_its_dispatcher():
    own = {"base": "gb200", "hbm_gb": 300}
    assert step(chip=own, dispatcher="hybridep") == step(chip=own)


def test_routing_is_as_even_as_the_published_runs_of_the_software_have_it():
    jax = {"software": "maxtext", "chip": "tpu-v5p", "tp": 1, "pp": 1, "dp": 1024}
    assert step(**jax) == step(**jax, balanced_routing=False) > step(**jax, balanced_routing=True)


def test_padding_to_a_capacity_is_work_and_masks_are_more():
    assert step(capacity_factor=2) > step(capacity_factor=1) == step(balanced_routing=True)
    assert step(capacity_factor=1, balanced_routing=False) == step(capacity_factor=1)
    jax = {"software": "maxtext", "chip": "tpu-v5p", "tp": 1, "pp": 1, "dp": 1024}
    padded = step(**jax, capacity_factor=1.25)
    assert padded == step(**jax, capacity_factor=1.25, dispatcher="one-hot")
    assert padded > step(**jax, capacity_factor=1.0, dispatcher="one-hot")


def test_notes_say_how_even_the_routing_is_taken_to_be():
    for balanced, words in ((True, "equal shares"), (False, "unevenly")):
        answer = training.predict([MIXTURE | {"balanced_routing": balanced}])[0]
        assert any(words in note for note in answer["notes"])
    assert (
        training.predict([MIXTURE | {"dispatcher": "deepep"}])[0]["plan"]["dispatcher"] == "deepep"
    )


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"dispatcher": "deepp"}, "unknown dispatcher 'deepp'; did you mean 'deepep'?"),
        ({"capacity_factor": 0}, "capacity_factor is 0; expected a number above 0"),
        ({"balanced_routing": "mostly"}, "balanced_routing is 'mostly'; expected true or false"),
    ],
)
def test_a_bad_word_on_the_exchange_is_one_sentence(said, sentence):
    assert training.predict([MIXTURE | said])[0]["error"] == sentence


@pytest.mark.parametrize(
    ("software", "chip", "released", "fused"),
    [
        ("megatron", "a100-80", None, False),
        ("megatron", "a100-80", "2024-05", True),
        ("megatron-deepspeed", "a100-80", "2022-02", False),
        ("deepspeed", "a100-80", "2023-12", True),
        ("megatron-deepspeed", "mi250x", "2024-04", False),
        ("paxml", "h100-sxm", "2023-10", False),
        ("torchtitan", "ponte-vecchio", "2026-04", False),
        ("torchtitan", "ponte-vecchio", "2026-06", True),
        ("torchtitan", "h100-sxm", None, True),
        ("fsdp", "v100", None, False),
    ],
)
def test_attention_is_fused_where_the_software_had_kernels_for_the_chip(
    software, chip, released, fused
):
    case = {"model": "llama2-7b", "chips": 64, "precision": "fp16", "seq_len": 4096}
    case |= {"chip": chip, "software": software, "released": released}
    assert training.predict([case])[0]["plan"]["flash_attention"] is fused


def notes(kind, **said):
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8} | said
    return " ".join(kind.predict([case])[0]["notes"])


@pytest.mark.parametrize(
    ("chip", "name", "others"),
    [
        ("h100-sxm", "neuron", True),
        ("h100-sxm", "csoft", True),
        ("ascend-910b", "modellink", False),
        ("trn2", "neuron", False),
        ("trn2", None, False),
        ("wse-3", "csoft", False),
        ("mi300x", "megatron", False),
    ],
)
def test_a_makers_own_stack_on_another_makers_chip_is_told(chip, name, others):
    told = notes(training, chip=chip, software=name)
    assert (f"{name} is written for its maker's own chips; {chip} is taken" in told) == others


@pytest.mark.parametrize("said", ["2026-02-00", "2026-04-99", "2206-04"])
def test_a_date_that_is_none_is_refused_with_the_years_that_are(said):
    case = MIXTURE | {"released": said}
    told = training.predict([case])[0]["error"]
    assert told == f"released is '{said}'; expected a date of 2000 to 2099, such as 2026-04"


@pytest.mark.parametrize(
    ("chip", "name", "elsewhere"),
    [
        ("mi300x", "trt-llm", True),
        ("gaudi2", "TensorRT-LLM 0.12", True),
        ("mi300x", "vllm", False),
        ("h100-sxm", "vllm 0.5.4", False),
        ({"base": "h100-sxm", "hbm_gb": 100}, "trt-llm", False),
        ({"bf16_tflops": 900, "hbm_gb": 100, "hbm_tb_per_s": 3}, "vllm", True),
        ("h100-sxm", "groq", False),  # a maker's service has a sentence of its own
    ],
)
def test_an_engine_that_was_timed_on_other_makers_chips_alone_is_told(chip, name, elsewhere):
    told = notes(serving, chip=chip, software=name)
    assert ("has been measured on other makers' chips alone" in told) == elsewhere


@pytest.mark.parametrize(
    ("name", "chip", "told"),
    [
        ("nemo", "tpu-v5p", True),
        ("unsloth", "trainium2", True),
        ("nemo", "h100-sxm", False),
        ("primus", "mi300x", False),
        ("maxtext", "tpu-v5p", False),
        ("fsdp", "gaudi3", False),
    ],
)
def test_software_for_gpus_on_another_kind_of_chip_is_told(name, chip, told):
    case = {"model": "llama3.1-8b", "chip": chip, "chips": 8, "software": name, "seq_len": 4096}
    notes = training.predict([case | {"global_batch": 64}])[0]["notes"]
    assert any(note.startswith(f"{name} is written for GPUs") for note in notes) == told
    assert any("no measurements of this software" in note for note in notes) == (name == "unsloth")


@pytest.mark.parametrize(
    ("name", "level"), [("BMTrain", "family"), ("unsloth", "family"), ("megatron-core", "measured")]
)
def test_what_nobody_timed_is_not_called_measured(name, level):
    """Two sources of other unnamed programs had made every unknown one "measured", beside the note that nobody measured it."""
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8, "software": name}
    answer = training.predict([case | {"seq_len": 4096, "global_batch": 64}])[0]
    assert answer["calibration"] == level


def test_olmos_trainers_are_two():
    """allenai/OLMo, olmo/config.py: FSDP and nothing that splits a model; OLMo-core has all three."""
    assert set(stacks["olmo"].lacks) == {"tp", "pp", "cp"} and not stacks["olmo-core"].lacks
    # Nor has LLM Foundry more than a strategy for feed-forward blocks (llmfoundry/models/utils/tp_strategy.py).
    assert "tp" in stacks["llm-foundry"].lacks and "tp" not in stacks["composer"].lacks


def test_lightnings_words_for_a_format_say_whether_a_wide_copy_is_kept():
    """LitGPT, `precision`: bf16-true has weights, gradients and moments in 16 bits, bf16-mixed the weights in 32."""
    run = {"model": "llama3.1-8b", "chip": "h200", "chips": 1, "software": "litgpt", "seq_len": 512, "recompute": "none"}  # fmt: skip
    true, mixed, told, plain = (
        training.predict([run | {"global_batch": 4, "micro_batch": 1} | said])[0]
        for said in (
            {"precision": "bf16-true"},
            {"precision": "bf16-mixed"},
            {"precision": "bf16", "master_weights": False},
            {"precision": "bf16"},
        )
    )
    assert true["memory_gib"] == told["memory_gib"] and mixed["memory_gib"] == plain["memory_gib"]
    assert true["plan"]["precision"] == "bf16" and not true["plan"]["master_weights"]
    weights = true["memory_gib"]["weights"]
    held = [true["memory_gib"][kind] for kind in ("gradients", "optimizer")]
    assert held == pytest.approx([weights, 2 * weights])
    assert mixed["memory_gib"]["weights"] == pytest.approx(2 * weights)


def test_gradients_of_bare_weights_have_their_type_but_in_megatrons_buffers():
    for name, size in (("torchtitan", 2.0), ("accelerate", 2.0), ("megatron-core", 4.0)):
        assert software.gradient_bytes(stacks[name], "bf16", 3, master_weights=False) == size
        assert software.gradient_bytes(stacks[name], "bf16", 3) == 4.0


def test_what_is_known_of_a_program_stands_in_its_row():
    """Each column moved to another row moves what is said; the table has no other place."""
    columns = (
        "trains_by_peft",
        "redone_unasked",
        "own_four_bits",
        "written_for",
        "unfused",
        "untimed",
    )
    frame = tables.load(software.TABLE).set_index("name")
    assert frame.loc["composer", list(columns)].isna().all()
    frame.loc["composer", "trains_by_peft"] = frame.loc["composer", "untimed"] = 1
    frame.loc["composer", "redone_unasked"] = "every other layer"
    frame.loc["composer", "written_for"] = "nvidia;amd"
    run = {"model": "llama3.1-8b", "chips": 8, "software": "composer", "seq_len": 4096, "global_batch": 64}  # fmt: skip
    cases = (
        (run | {"chip": "h100-sxm"}, "composer does every other layer again unless told otherwise"),
        (run | {"chip": "h100-sxm"}, "no measurements of this software"),
        (run | {"chip": "tpu-v5p"}, "composer is written for GPUs"),
        (run | {"chip": "h100-sxm", "lora_rank": 16, "base_precision": "nf4"}, "as PEFT has it"),
    )

    def told() -> list[bool]:
        answers = training.predict([case for case, _ in cases])
        pairs = zip(answers, cases, strict=True)
        return [any(note in said for said in answer["notes"]) for answer, (_, note) in pairs]

    assert not any(told())
    with tables.replaced(software_stacks=frame.reset_index()):
        assert all(told())


def test_weights_of_four_bits_and_stacks_of_before_fused_attention_are_told_by_their_rows():
    nf4 = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 1, "seq_len": 4096, "global_batch": 8}  # fmt: skip
    nf4 |= {"lora_rank": 16, "base_precision": "nf4", "released": "2024-03"}
    for name, kept in (("torchtune", False), ("transformers", True)):
        notes = training.predict([nf4 | {"software": name}])[0]["notes"]
        assert any("keeps the inputs of all frozen products" in note for note in notes) == kept
    assert {name for name, one in stacks.items() if one.unfused} == {
        name for name, one in stacks.items() if one.stack in ("megatron-2021", "deepspeed")
    }


def test_software_that_nobody_timed_has_no_line_of_a_measured_source():
    timed = set(tables.load("training_stacks")["software"])
    untimed = {name for name, one in stacks.items() if one.untimed}
    assert untimed & timed == {"other"}
    assert {name for name in set(stacks) - timed if stacks[name].stack == "other"} <= untimed
