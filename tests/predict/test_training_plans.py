"""From a request to a case: every fault one clear sentence, every gap filled and said."""

import pytest

from training_moat.catalog import models
from training_moat.core import workload
from training_moat.core.errors import InputError
from training_moat.core.plan import Plan, impossible
from training_moat.predict import request_fields, training, training_plans
from training_moat.predict.training_plans import parse

CASE = {
    "model": "llama3.1-8b",
    "chip": "h100-sxm",
    "chips": 8,
    "seq_len": 8192,
    "global_batch": 128,
}
GPT3 = {"model": "gpt3-175b"}
MIXTRAL = {"model": "mixtral-8x7b"}
NAN, INFINITY = float("nan"), float("inf")

FAULTS = [
    # Impossible plans, one sentence each.
    ({"tp": 2, "pp": 2, "dp": 4}, "tp=2 x pp=2 x dp=4 makes 16 chips, but chips is 8"),
    (
        {"tp": 2, "pp": 2, "dp": 2, "cp": 2},
        "tp=2 x pp=2 x dp=2 x cp=2 makes 16 chips, but chips is 8",
    ),
    # Data parallelism is open: that three is not eight is not what is wrong.
    ({"tp": 3}, "chips is 8, which is not a multiple of tp=3"),
    ({"cp": 3}, "chips is 8, which is not a multiple of cp=3"),
    ({"tp": 4, "pp": 4}, "chips is 8, which is not a multiple of tp=4 x pp=4"),
    (
        GPT3 | {"pp": 97, "chips": 97, "global_batch": 97},
        "no plan is possible: pp x virtual_stages is above the number of layers",
    ),
    (
        GPT3 | {"pp": 8, "virtual_stages": 13, "chips": 64},
        "pp x virtual_stages is above the number of layers",
    ),
    (
        GPT3 | {"tp": 5, "chips": 40},
        "no plan is possible: the attention heads do not divide over tp",
    ),
    (
        {"dp": 8, "global_batch": 4},
        "no plan is possible: global_batch is too small for dp x micro_batch",
    ),
    (
        {"dp": 8, "global_batch": 12},
        "no plan is possible: global_batch is not a multiple of dp x micro_batch",
    ),
    (
        {"micro_batch": 3, "global_batch": 8},
        "8 sequences in micro-batches of 3; chips must be tp x pp x dp x cp, pp at most the layers"
        " and global_batch a multiple of dp x micro_batch",
    ),
    ({"lora_rank": 4097}, "lora_rank is above the model's hidden size"),
    ({"micro_batch": 7}, "128 sequences in micro-batches of 7; chips must be"),
    ({"chips": 11, "global_batch": 12}, "no plan divides 11 chips, 32 layers and 12 sequences"),
    ({"chips": 24, "seq_len": 8192, "cp": 3, "dp": 8}, "seq_len is not a multiple of cp"),
    ({"virtual_stages": 2, "pp": 1}, "virtual_stages above 1 needs pp above 1"),
    ({"ep": 2}, "ep above 1 needs a model with experts"),
    (MIXTRAL | {"ep": 3}, "the experts do not divide over ep"),
    (MIXTRAL | {"ep": 8, "tp": 1, "pp": 2, "dp": 4}, "ep does not divide tp x cp x dp"),
    # Sizes.
    ({"chips": None}, "chips is missing; expected the number of chips"),
    ({"chips": 0}, "chips is 0; expected 1 or more"),
    ({"chips": -8}, "chips is -8; expected 1 or more"),
    ({"chips": 8.5}, "chips is 8.5; expected a whole number"),
    ({"chips": "8"}, "chips is '8'; expected a whole number"),
    ({"chips": True}, "chips is true; expected a whole number"),
    ({"chips": NAN}, "chips is nan; expected a whole number"),
    ({"chips": INFINITY}, "chips is inf; expected a whole number"),
    ({"chips": 10**18}, "chips is 1e+18; expected 1 or more, at most"),
    ({"seq_len": 0}, "seq_len is 0; expected 1 or more"),
    ({"global_batch": -1}, "global_batch is -1; expected 1 or more"),
    ({"micro_batch": 0}, "micro_batch is 0; expected 1 or more"),
    ({"zero_stage": 4}, "zero_stage is 4; expected 0 to 3"),
    ({"sequence_parallel": "yes"}, "sequence_parallel is 'yes'; expected true or false"),
    ({"flash_attention": 2}, "flash_attention is 2; expected true or false"),
    # Names.
    ({"foo": 1, "chips": 8}, "unknown field 'foo'"),
    ({"chps": 8}, "unknown field 'chps'; did you mean 'chips'?"),
    ({"n_gpus": 8}, "unknown field 'n_gpus'"),
    ({"gpus": 8}, "unknown field 'gpus'; did you mean 'chips'?"),
    ({"dtype": "bf16"}, "unknown field 'dtype'; did you mean 'precision'?"),
    ({"model": "lama3.1-8b"}, "unknown model 'lama3.1-8b'; did you mean 'llama3.1-8b'?"),
    ({"model": None}, "model is missing; expected a name from `moat models`"),
    ({"model": 3}, "model is 3; expected a name or an object"),
    ({"chip": "h100-smx"}, "unknown chip 'h100-smx'; did you mean 'h100-sxm'?"),
    ({"chip": None}, "chip is missing; expected an id from `moat chips`"),
    ({"chip": []}, "chip is []; expected an id or an object"),
    ({"precision": "fp7"}, "unknown precision 'fp7'; did you mean"),
    ({"precision": 8}, "precision is 8; expected one of"),
    ({"software": "megatrn"}, "unknown software 'megatrn'; did you mean 'megatron'?"),
    ({"recompute": "fulll"}, "unknown recompute 'fulll'; did you mean 'full'?"),
    ({"optimizer": "adma"}, "unknown optimizer 'adma'; did you mean 'adam'?"),
    # Objects.
    (
        {"model": {}},
        "layers is missing; a model needs at least layers and hidden, or params_b, or a base",
    ),
    ({"model": {"params_b": -8}}, "column params_b: '-8' is wrong; expected a number above 0"),
    ({"model": {"layers": 2, "hidden": 64, "heads": 0}}, "column heads: '0' is wrong"),
    (
        {"model": {"base": "llama3.1-8B-x"}},
        "unknown model 'llama3.1-8B-x'; did you mean 'llama3.1-8b'?",
    ),
    ({"model": {"layers": 2, "hiden": 64}}, "unknown column 'hiden'; did you mean 'hidden'?"),
    ({"chip": {"base": "h100-smx"}}, "unknown chip 'h100-smx'; did you mean 'h100-sxm'?"),
    (
        {"chip": {"base": "h100-sxm", "hbm_bg": 80}},
        "unknown column 'hbm_bg'; did you mean 'hbm_gb'?",
    ),
    (
        {"chip": {"base": "h100-sxm", "hbm_gb": "lots"}},
        "column hbm_gb: 'lots' is wrong; expected a number in GB",
    ),
    (
        {"chip": {"base": "h100-sxm", "scaleout_gbit_per_s_per_chip": 0}},
        "its scale-out bandwidth is 0; expected more",
    ),
]


def sentence(changes):
    with pytest.raises(InputError) as caught:
        parse(CASE | changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"), FAULTS, ids=[str(index) for index in range(len(FAULTS))]
)
def test_each_fault_has_its_sentence(changes, expected):
    found = sentence(changes)
    assert expected in found and "\n" not in found and len(found) < 400


def test_a_refused_case_weighs_its_layouts_once(monkeypatch):
    """Sweeps hold many points that no layout fits: the rules that refuse them say why as well."""
    weighed = []

    def counted(model, plan):
        weighed.append(plan)
        return impossible(model, plan)

    monkeypatch.setattr(training_plans, "impossible", counted)
    for changes in ({"dp": 8, "global_batch": 12}, {"micro_batch": 7}, {"chips": 11}):
        weighed.clear()
        sentence(changes)
        assert len(weighed) == 1


@pytest.mark.parametrize("case", [None, 3, "x", []])
def test_a_case_is_an_object(case):
    with pytest.raises(InputError, match="expected an object"):
        parse(case)


def test_chips_follow_from_a_complete_layout():
    assert parse(CASE | {"chips": None, "tp": 2, "pp": 2, "dp": 4}).chips == 16


def test_gaps_are_filled_and_said():
    case = parse({"model": "gpt3-175b", "chip": "a100-80", "chips": 1024})
    assert case.seq_len == training_plans.CUSTOMARY_SEQUENCE
    assert (
        case.global_batch % 1024 == 0
        and case.global_batch * case.seq_len >= training_plans.CUSTOMARY_BATCH_TOKENS
    )
    assert any("seq_len not given" in note for note in case.notes) and any(
        "global_batch not given" in note for note in case.notes
    )
    assert (case.precision, case.optimizer, case.stack) == ("bf16", "adamw", "megatron-core")


def test_a_batch_left_open_is_the_customary_one_whatever_a_chip_takes_at_once():
    tokens = training_plans.CUSTOMARY_BATCH_TOKENS
    for micro_batch in (1, 4, 64):
        open_batch = {"global_batch": None, "seq_len": 1024, "chips": 8, "micro_batch": micro_batch}
        case = parse({"model": "llama3.1-8b", "chip": "h100-sxm"} | open_batch)
        assert case.global_batch * 1024 == tokens
    assert training_plans.customary_batch(1024, 4096, None, 3) == 3072


@pytest.mark.parametrize(
    ("chip", "precision", "stack"),
    [
        ("v100", "fp16", "megatron-2021"),
        ("tpu-v5e", "bf16", "maxtext"),
        ("gaudi2", "bf16", "other"),
        ("sn40l", "bf16", "other"),
        ("mi300x", "bf16", "megatron-core"),
    ],
)
def test_defaults_by_chip(chip, precision, stack):
    case = parse(CASE | {"chip": chip, "chips": 8})
    assert (case.precision, case.stack) == (precision, stack)


def test_a_format_without_units_is_said():
    assert parse(CASE | {"precision": "nvfp4"}).notes == [
        "h100-sxm has no published nvfp4 peak; fp8 units stand in"
    ]
    assert parse(CASE | {"precision": "fp8"}).notes == []


def test_old_fp16_runs_of_megatron_had_no_fused_attention():
    """FlashAttention: Dao et al., May 2022."""
    fp16 = {"precision": "fp16", "chip": "a100-80"}
    assert parse(CASE | fp16 | {"software": "megatron"}).stack == "megatron-2021"
    assert (
        parse(CASE | fp16 | {"software": "megatron", "flash_attention": True}).stack
        == "megatron-core"
    )
    assert (
        parse(CASE | fp16).flash_attention
        and parse(CASE | {"software": "megatron"}).flash_attention
    )


def test_the_attention_core_is_recomputed_alone_only_when_asked():
    assert {layout["recompute"] for layout in parse(CASE).plans} == {0, 2}
    assert {layout["recompute"] for layout in parse(CASE | {"recompute": "selective"}).plans} == {1}


def test_stacks_of_before_fused_attention_redo_whole_layers_and_split_no_sequences():
    """Both came with Korthikanti et al. 2022; what the case asks for still holds."""
    old = parse(CASE | {"flash_attention": False})
    assert {layout["recompute"] for layout in old.plans} == {2} and old.sequence_parallel is False
    asked = parse(
        CASE | {"flash_attention": False, "recompute": "selective", "sequence_parallel": True}
    )
    assert {layout["recompute"] for layout in asked.plans} == {
        1
    } and asked.sequence_parallel is True
    assert not parse(CASE | {"chip": "a100-80", "software": "deepspeed"}).flash_attention
    assert parse(CASE | {"chip": "h100-sxm", "software": "deepspeed"}).flash_attention


def test_software_that_nobody_measured_is_other_and_says_so():
    case = parse(CASE | {"software": "quux-trainer"})
    assert (
        case.stack == "other"
        and "software 'quux-trainer' is not among the measured stacks; taken as other" in case.notes
    )
    assert parse(CASE | {"software": "NeMo"}).stack == "megatron-core"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Colossal-AI", "colossalai"), ("Megatron Bridge", "megatron-bridge"), ("lit-gpt", "litgpt"), ("Pax", "paxml"),
        ("PyTorch XLA", "pytorch-xla"), ("PaddleNLP", "paddle"), ("FSDP2", "fsdp"), ("XTuner", "accelerate"),
        ("NeMo 24.07", "nemo"), ("DeepSpeed v0.14.2", "deepspeed"), ("EasyDeL", "other"), ("megatron-2023", "megatron-2023"),
        ("OLMo-core", "olmo-core"), ("OLMo", "olmo"), ("unsloth", "unsloth"), ("LitGPT finetune", "litgpt-eager"), ("MindSpeed-LLM", "mindspeed"), ("MindSpore Transformers", "mindspore"), ("veScale", "other"),
        ("neuronx-distributed-training", "neuronx-distributed"), ("NeMo Framework", "nemo"), ("Axolotl", "transformers"),
        ("ms-swift", "transformers"), ("Megatron-SWIFT", "megatron"), ("Pai-Megatron-Patch", "megatron"), ("torch_xla", "pytorch-xla"),
        ("PyTorch FSDP", "fsdp"), ("DeepSpeed ZeRO-3", "deepspeed"), ("prime-rl", "torchtitan"), ("nanochat", "pytorch"),
    ],
)  # fmt: skip
def test_software_is_known_as_its_makers_write_it_and_with_its_version(said, name):
    assert parse(CASE | {"software": said}).software.name == name


def test_selective_recomputation_of_pytorch_redoes_layers():
    selective = parse(CASE | {"software": "torchtitan", "recompute": "selective"})
    assert {layout["recompute"] for layout in selective.plans} == {2}
    assert selective.recompute_share == 0.5
    assert parse(CASE | {"software": "nemo", "recompute": "selective"}).recompute == 1


def test_fully_sharded_stacks_shard_the_weights_unless_told_otherwise():
    for pp, stage in ((1, 3), (2, 2)):
        plans = parse(CASE | {"software": "fsdp", "pp": pp}).plans
        # What has one copy of the weights alone shards nothing.
        assert {p["zero_stage"] for p in plans if p["dp"] * p["cp"] > 1} == {stage}
        assert {p["zero_stage"] for p in plans if p["dp"] * p["cp"] == 1} <= {0}
    assert {
        layout["zero_stage"]
        for layout in parse(CASE | {"software": "fsdp", "pp": 1, "zero_stage": 1}).plans
    } == {1}


def test_one_chip_shards_nothing():
    alone = {"model": "llama3.2-1b", "chip": "a100-80gb", "chips": 1, "seq_len": 2048}
    for software in ("transformers", "torchtitan"):
        plans = parse(alone | {"global_batch": 8, "software": software}).plans
        assert {p["zero_stage"] for p in plans} == {0}


def test_given_settings_bound_the_candidates():
    fixed = {
        "tp": 4,
        "pp": 2,
        "zero_stage": 2,
        "recompute": "selective",
        "virtual_stages": 4,
        "micro_batch": 2,
    }
    plans = parse(CASE | fixed).plans
    assert plans and {layout["recompute"] for layout in plans} == {1}
    assert {
        (p["tp"], p["pp"], p["dp"], p["zero_stage"], p["virtual_stages"], p["micro_batch"])
        for p in plans
    } == {(4, 2, 1, 2, 4, 2)}


def test_candidates_are_all_possible():
    case = parse(CASE | MIXTRAL | {"chips": 64})
    for layout in case.plans:
        plan = Plan(seq_len=case.seq_len, global_batch=case.global_batch, **layout)
        assert plan.chips == 64 and not [
            text for broken, text in impossible(case.model, plan) if broken
        ]


def test_sequence_parallelism_goes_with_tensor_parallelism_unless_told():
    case = parse(CASE)
    plan = training_plans.plan(case, case.layouts)
    assert (plan.sequence_parallel == (plan.tp > 1)).all()
    told = parse(CASE | {"sequence_parallel": False})
    assert not training_plans.plan(told, told.layouts).sequence_parallel.any()


@pytest.mark.parametrize(
    ("billions", "layers", "hidden", "heads"),
    [
        # Brown et al. 2020, table 2.1. 6.7B: 32 of 4,096, 32 heads; 13B: 40 of 5,140 (printed), 40; 175B: 96 of 12,288, 96.
        (6.7, 32, 4096, 32), (13.0, 40, 5120, 40), (175, 96, 12288, 96),
    ],
)  # fmt: skip
def test_a_count_alone_gives_gpt3s_shapes(billions, layers, hidden, heads):
    case = parse(CASE | {"model": {"params_b": billions}, "chips": 64})
    assert (case.model.layers, case.model.hidden, case.model.heads) == (layers, hidden, heads)
    assert workload.params(case.model) == billions * 1e9
    assert case.notes == [
        f"model: layers {layers}, hidden {hidden}, heads {heads} assumed, as customary for its size"
    ]


@pytest.mark.parametrize("billions", [0.1, 1, 3, 8, 30, 70, 200, 405, 1000, 5000])
def test_guessed_shapes_hold_the_weights_they_should(billions):
    model = models.from_record({"params_b": billions})
    assert workload.derived_params(model) == pytest.approx(
        billions * 1e9, rel=0.09 if billions < 1 else 0.05
    )
    assert model.hidden % 128 == 0 and (model.layers % 4 == 0 or model.layers < 4)


@pytest.mark.parametrize(
    ("total", "active", "experts", "used", "layers"),
    [
        # Jiang et al. 2024: 8 experts, 2 used, 32 layers. Qwen3-235B: 128, 8, 94. DeepSeek-V3: 256, 8, 61. Kimi K2: 384, 8, 61.
        (46.7, 12.9, 8, 2, 32), (235, 22, 128, 8, None), (671, 37, 256, 8, 61), (1040, 32.6, 384, 8, 61),
    ],
)  # fmt: skip
def test_active_weights_give_a_mixture_near_the_published_ones(
    total, active, experts, used, layers
):
    model = models.from_record({"params_b": total, "active_params_b": active})
    assert workload.derived_params(model) == pytest.approx(total * 1e9, rel=0.02)
    assert workload.derived_active_params(model) == pytest.approx(active * 1e9, rel=0.05)
    assert model.experts_per_token == used and model.experts == pytest.approx(experts, rel=0.2)
    assert layers is None or model.layers == pytest.approx(layers, rel=0.15)


def test_almost_all_active_is_a_dense_model():
    assert models.from_record({"params_b": 30, "active_params_b": 29.9}).experts == 0


def test_a_complete_object_needs_no_guess():
    shape = {
        "layers": 32,
        "hidden": 4096,
        "heads": 32,
        "kv_heads": 8,
        "ffn": 14336,
        "vocab": 128256,
        "gated_ffn": True,
    }
    case = parse(CASE | {"model": shape})
    assert case.notes == [] and workload.params(case.model) == pytest.approx(8.03e9, rel=0.002)
    assert (
        parse(
            CASE | {"model": {key: value for key, value in shape.items() if key != "heads"}}
        ).model.heads
        == 32
    )


def test_params_given_win_over_the_derived_count():
    shape = {"layers": 32, "hidden": 4096, "heads": 32, "params_b": 9.5}
    assert workload.params(parse(CASE | {"model": shape}).model) == 9.5e9


def test_a_base_keeps_what_is_not_overridden():
    case = parse(
        CASE
        | {
            "chip": {"base": "h100-sxm", "hbm_gb": 141},
            "model": {"base": "llama3.1-8b", "layers": 16},
        }
    )
    assert case.chip.main_memory.capacity_bytes == 141 * 2**30 and case.chip.peak_flops[
        "fp8"
    ] == pytest.approx(1979e12, rel=0.001)
    assert (case.model.layers, case.model.kv_heads) == (16, 8)
    alone = parse(CASE | {"chip": {"bf16_tflops": 500, "hbm_gb": 80, "hbm_tb_per_s": 3}})
    assert alone.chip.scaleup is None and alone.chip.peak_flops == {"bf16": 5e14}


@pytest.mark.parametrize(
    ("software", "zero_stage"),
    [("fsdp", 3), ("torchtitan", 3), ("deepspeed", 2), ("deepspeed", 3), (None, 3), ("other", 2)],
)
def test_replicas_that_are_said_to_share_are_several_and_in_no_pipeline(software, zero_stage):
    """DeepSpeed, runtime/pipe/engine.py: "ZeRO-2 and ZeRO-3 are incompatible with pipeline parallelism". What one replica
    holds of gradients or weights is shared with nobody."""
    said = CASE | {"global_batch": 8, "software": software, "zero_stage": zero_stage}
    tried = parse(said).plans
    assert tried and all(plan["pp"] == 1 and plan["dp"] * plan["cp"] > 1 for plan in tried)
    assert any(plan["pp"] > 1 for plan in parse(said | {"zero_stage": 1, "software": None}).plans)


def test_a_pipeline_that_is_asked_for_beside_shared_weights_is_answered():
    asked = CASE | {"zero_stage": 3, "software": "torchtitan", "pp": 2}
    assert {plan["pp"] for plan in parse(asked).plans} == {2}
    alone = CASE | {"zero_stage": 3, "software": "torchtitan", "tp": 8}
    assert {plan["dp"] for plan in parse(alone).plans} == {1}


def test_shared_weights_go_through_a_pipeline_where_nothing_else_divides():
    narrow = {"layers": 24, "hidden": 1024, "heads": 1}
    case = {"model": narrow, "chip": "h100-sxm", "chips": 4, "seq_len": 2048, "global_batch": 2}
    forced = parse(case | {"zero_stage": 3, "software": "torchtitan"})
    assert {plan["pp"] for plan in forced.plans} == {2}
    assert "zero_stage 3 is hardly ever told of a run with a pipeline" in " ".join(forced.notes)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("tensor_model_parallel_size", "tp"), ("tensor_parallel", "tp"), ("num_nodes", "chips"), ("gradient_accumulation_steps", "global_batch"),
        ("batch_size", "global_batch"), ("gradient_checkpointing", "recompute"), ("fsdp", "zero_stage"), ("load_in_4bit", "base_precision"),
        ("hsdp", "shard_group"), ("torch_compile", "software"), ("Max_Length", "seq_len"),
    ],
)  # fmt: skip
def test_a_field_by_another_tools_name_is_told_its_name_here(theirs, ours):
    with pytest.raises(InputError, match=f"^unknown field '{theirs}'; did you mean '{ours}'\\?$"):
        parse(CASE | {theirs: 1})


def test_what_tools_call_a_field_leads_to_fields_and_is_none_itself():
    ours = {*request_fields.COMMON, *request_fields.TRAINING}
    for theirs, names in request_fields.ELSEWHERE.items():
        assert set(names) <= ours | set(request_fields.SERVING), theirs
        assert theirs not in ours or not set(names) & ours, theirs


@pytest.mark.parametrize(
    ("said", "object_"),
    [
        ("gpus_per_node", '"chip": {"base": "h100-sxm", "scaleup_domain_chips": ...}'),
        ("network", '"chip": {"base": "h100-sxm", "scaleout_gbit_per_s_per_chip": ...}'),
        ("hbm_gb", '"chip": {"base": "h100-sxm", "hbm_gb": ...}'),
        ("layers", '"model": {"base": "llama3.1-8b", "layers": ...}'),
    ],
)
def test_what_is_said_of_a_machine_or_a_shape_goes_into_its_object(said, object_):
    with pytest.raises(InputError) as told:
        parse(CASE | {said: 1})
    assert str(told.value) == f"unknown field '{said}'; it goes into an object: {object_}"


@pytest.mark.parametrize("said", ["8x H100", "H100:8"])
def test_a_run_on_a_machine_has_all_its_chips_unless_it_tells_how_many(said):
    open_run = {name: CASE[name] for name in ("model", "seq_len", "global_batch")}
    told, of_machine, split = training.predict(
        [CASE, open_run | {"chip": said}, open_run | {"chip": said, "tp": 2}]
    )
    assert of_machine == told | {"notes": [f"'{said}' is 8 h100-sxm, all taken", *told["notes"]]}
    assert (split["plan"]["tp"], split["plan"]["dp"] * split["plan"]["pp"]) == (2, 4)
    (many,) = training.predict([CASE | {"chip": said, "chips": 64}])
    assert f"'{said}' is 8 h100-sxm; chips counts these" in many["notes"]


def test_two_machines_of_one_chip_have_no_fast_link():
    """The same run on two chips of one machine and on two machines with a network of 25 Gbit/s each."""
    run = CASE | {"chips": 2, "dp": 2, "tp": 1, "pp": 1, "global_batch": 4, "micro_batch": 2}
    apart = {"base": "h100-sxm", "scaleup_domain_chips": 1, "scaleout_gbit_per_s_per_chip": 25}
    near, far = training.predict([run, run | {"chip": apart}])
    assert far["seconds"]["data_parallel"] > 10 * near["seconds"]["data_parallel"]
