"""Bytes per chip against the published formulas: Korthikanti et al. 2022 and Rajbhandari et al. 2020."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_shapes import DEEPSEEK_V3
from published_shapes import gpt as shape_of_gpt

from training_moat.core import activations, memory
from training_moat.core.activations import Kept, layer_activation_bytes
from training_moat.core.memory import Reserve, training_memory
from training_moat.core.output_head import logit_bytes
from training_moat.core.plan import Plan
from training_moat.core.workload import Transformer, embedding_params, expert_params_total, params

GPT = {
    # Korthikanti et al. 2022, table 3: heads, hidden, layers, tensor, pipeline, interleaving, global and micro batch.
    "22B": (64, 6144, 48, 8, 1, 1, 4, 4),
    "175B": (96, 12288, 96, 8, 8, 3, 64, 1),
    "530B": (128, 20480, 105, 8, 35, 3, 280, 1),
    "1T": (160, 25600, 128, 8, 64, 1, 512, 1),
}
SEQUENCE = 2048


def gpt(name):
    heads, hidden, layers, tp, pp, virtual, batch, micro = GPT[name]
    model = shape_of_gpt(layers, hidden, heads)
    plan = Plan(
        SEQUENCE,
        batch,
        micro,
        tp=tp,
        pp=pp,
        virtual_stages=virtual,
        zero_stage=0,
        flash_attention=0,
    )
    return model, plan


@pytest.mark.parametrize("name", GPT)
def test_activations_of_one_layer_are_korthikantis_equations(name):
    model, plan = gpt(name)
    s, b, h, a, t = SEQUENCE, plan.micro_batch, model.hidden, model.heads, plan.tp
    sbh, scores = s * b * h, 5 * a * s / h
    alone = replace(plan, tp=1)
    parallel = replace(plan, sequence_parallel=1)
    assert layer_activation_bytes(model, alone, 0) == pytest.approx(
        sbh * (34 + scores)
    )  # equation 1
    assert layer_activation_bytes(model, plan, 0) == pytest.approx(
        sbh * (10 + 24 / t + scores / t)
    )  # equation 2
    assert layer_activation_bytes(model, parallel, 0) == pytest.approx(
        sbh / t * (34 + scores)
    )  # equation 4
    assert layer_activation_bytes(model, parallel, 1) == pytest.approx(
        34 * sbh / t
    )  # equation 6, one layer
    assert layer_activation_bytes(model, plan, 1) == pytest.approx(sbh * (10 + 24 / t))  # table 2
    assert layer_activation_bytes(model, plan, 2) == pytest.approx(
        2 * sbh
    )  # table 2, full recomputation
    assert layer_activation_bytes(model, parallel, 2) == pytest.approx(
        2 * sbh / t
    )  # the kept input is split as well


@pytest.mark.parametrize("name", GPT)
def test_the_first_stage_holds_every_layer_once(name):
    """Equation 5: the first stage holds L layers' activations whatever the pipeline, L (1 + (p-1)/(p m)) when
    interleaved m-fold."""
    model, plan = gpt(name)
    p, m = plan.pp, plan.virtual_stages
    expected = model.layers * (1 + (p - 1) / (p * m) if m > 1 else 1)
    first, _ = activations.layers_in_flight(model, plan)
    assert first == pytest.approx(expected)


@pytest.mark.parametrize("virtual_stages", [1, 2, 4, 8])
@pytest.mark.parametrize("micro_batches", [1, 4, 8, 64])
def test_layers_in_flight_are_those_of_the_schedule(virtual_stages, micro_batches):
    """Chunks whose forward pass is done and whose backward pass is not, step by step as Megatron-LM orders them."""
    p, v = 4, virtual_stages
    model = replace(gpt("175B")[0], layers=32)
    plan = Plan(2048, micro_batches, pp=p, virtual_stages=v)
    for rank, held in zip((0, p - 1), activations.layers_in_flight(model, plan), strict=True):
        warm_up = (p - rank - 1) * 2 + (v - 1) * p if v > 1 else p - rank - 1
        chunks = min(warm_up + 1, micro_batches * v)
        assert held == pytest.approx(chunks * model.layers / (p * v)), rank


def test_the_last_interleaved_stage_may_be_the_fullest():
    """A wide vocabulary's logits come on top of nearly as many layers as the first stage holds."""
    model = Transformer("wide", 42, 3584, 16, 8, 256, 14336, 256000, gated_ffn=1)
    plan = Plan(4096, 32, pp=2, virtual_stages=7)
    layer, _, logits = activations.layer_and_head_bytes(model, plan, activations.FUSED)
    first, last = activations.layers_in_flight(model, plan)
    held = activations.activation_bytes(model, plan)
    assert held == pytest.approx(last * layer + logits) and last * layer + logits > first * layer


def test_part_of_the_layers_recomputed_lies_between_none_and_all():
    model, plan = gpt("175B")
    none, all_ = (training_memory(model, replace(plan, recompute=level)).total for level in (0, 2))
    for share in (0.25, 0.5, 0.75):
        assert (
            all_
            < training_memory(model, replace(plan, recompute=2, recompute_share=share)).total
            < none
        )


def test_the_least_share_of_recomputed_layers_just_fits():
    model, plan = gpt("175B")
    weigh = lambda trial: training_memory(model, trial).total  # noqa: E731
    none, every = (weigh(replace(plan, recompute=level)) for level in (0, 2))
    room = (none + every) / 2
    share = memory.least_recompute_share(model, plan, weigh, room)
    layers = model.layers / plan.pp
    assert share * layers == pytest.approx(round(share * layers))
    assert weigh(replace(plan, recompute=2, recompute_share=share)) <= room
    assert weigh(replace(plan, recompute=2, recompute_share=share - 1 / layers)) > room
    assert memory.least_recompute_share(model, plan, weigh, 0.0) == 1


def test_light_recomputation_of_latent_attention_keeps_the_latents_alone():
    """DeepSeek-V3 per token: queries and keys of 128 heads x 192, values of 128 x 128, against 1536 + 512 + 64."""
    plan = Plan(4096, 1, 1)
    kept, remade = (layer_activation_bytes(DEEPSEEK_V3, plan, level) for level in (0, 1))
    saved = kept - remade
    attention = 2 * (128 * (192 + 192 + 128) - (1536 + 512 + 64))
    width = (3 * 18432 + 58 * 9 * 2048) / 61
    assert saved / 4096 == pytest.approx(attention + 2 * width + 2 * 7168)


def test_activations_in_the_hosts_memory_leave_two_layers_or_the_inputs_on_the_chip():
    model, plan = shape_of_gpt(48, 4096, 32), Plan(4096, 8, dp=8, flash_attention=1, recompute=2)
    each = 2 * 4096 * 4096
    kept = [
        activations.activation_bytes(model, replace(plan, activation_offload=level))
        for level in (0, 1, 2)
    ]
    assert kept[0] == kept[1]  # of a layer that is recomputed nothing is kept but its input
    assert kept[0] - kept[2] == pytest.approx((48 - 2) * each)
    whole, outputs, everything = (
        activations.activation_bytes(model, replace(plan, recompute=0, activation_offload=level))
        for level in (0, 1, 2)
    )
    assert outputs - everything == pytest.approx((48 - 2) * each)
    layer = layer_activation_bytes(model, plan, 0)
    assert whole - everything == pytest.approx((48 - 2) * layer)
    both = np.array([0.0, 2.0])
    levels = activations.activation_bytes(model, replace(plan, activation_offload=both))
    assert levels == pytest.approx([kept[0], kept[2]])


def test_activations_of_some_layers_may_be_in_the_hosts_memory():
    model, plan = shape_of_gpt(48, 4096, 32), Plan(4096, 8, dp=8, flash_attention=1)
    away = replace(plan, activation_offload=2)
    none, half, whole = (
        activations.activation_bytes(model, replace(away, activation_offload_share=share))
        for share in (0.0, 0.5, 1.0)
    )
    layer = layer_activation_bytes(model, plan, 0)
    assert none == activations.activation_bytes(model, plan)
    assert none - half == pytest.approx((24 - 2) * layer)
    assert none - whole == pytest.approx((48 - 2) * layer)


def test_a_loss_in_chunks_holds_the_logits_of_one():
    model, plan = shape_of_gpt(48, 4096, 32), Plan(4096, 8, dp=8, flash_attention=1, recompute=2)
    whole, eighth = logit_bytes(model, plan), logit_bytes(model, plan, loss_chunks=8)
    assert eighth == pytest.approx(whole / 8)
    # Liger's are as many as make those of one as large as the hidden states, at 6 bytes a logit.
    by_width = logit_bytes(model, plan, loss_chunks=1)
    assert by_width == pytest.approx(6 * 4096 * model.hidden)
    assert logit_bytes(model, plan, loss_chunks=np.array([0.0, 1.0])) == pytest.approx(
        [whole, by_width]
    )
    assert logit_bytes(model, plan, in_place=1) == pytest.approx(whole / 3)
    assert logit_bytes(model, plan, loss_chunks=8, in_place=1) == pytest.approx(whole / 24)
    long = replace(plan, seq_len=1 << 17, global_batch=8)
    held = [activations.activation_bytes(model, long, Kept(loss_chunks=count)) for count in (0, 8)]
    assert held[0] > held[1]


def test_recomputed_layers_that_keep_some_outputs_hold_these_whatever_the_share_of_work():
    model, plan = shape_of_gpt(48, 4096, 32), Plan(4096, 8, dp=8, flash_attention=1, recompute=2)
    kept, more = (
        replace(plan, outputs_kept=3 * 4096.0, recompute_share=share) for share in (0.8, 0.5)
    )
    held = layer_activation_bytes(model, kept, 2)
    assert held - layer_activation_bytes(model, plan, 2) == pytest.approx(2 * 4096 * 3 * 4096)
    assert activations.activation_bytes(model, kept) == activations.activation_bytes(model, more)


def test_recomputed_layers_that_keep_their_attention_hold_its_output():
    model, plan = gpt("22B")
    plan = replace(plan, flash_attention=1)
    redone, kept = (
        layer_activation_bytes(model, replace(plan, attention_kept=flag), 2) for flag in (0, 1)
    )
    tokens = SEQUENCE * plan.micro_batch
    assert kept - redone == pytest.approx(2 * tokens * model.hidden / plan.tp)


@pytest.mark.parametrize(
    ("dense", "layers", "pp", "held"),
    [(1, 4, 2, 2 / 3), (3, 61, 4, 16 / 58), (24, 48, 4, 1 / 4), (1, 4, 1, 1), (0, 4, 2, 1 / 2)],
)
def test_the_fullest_stage_holds_layers_with_experts_alone(dense, layers, pp, held):
    """Dense layers come first; where as many layers are dense as not they alternate, and stages hold equal shares."""
    model = replace(DEEPSEEK_V3, layers=layers, dense_layers=dense, params_given=0)
    plan = Plan(4096, 64, 1, pp=pp, dp=8, ep=8)
    experts = memory.params_per_stage(model, plan)[1]
    assert experts == pytest.approx(held * expert_params_total(model) / 8)


def test_fully_sharded_stacks_store_the_weights_once():
    model, plan = gpt("22B")
    both, one = (training_memory(model, plan, master_is_weight=flag) for flag in (0, 1))
    assert one.weights == 2 * both.weights and one.weights + one.optimizer == pytest.approx(
        both.optimizer
    )


def test_runs_in_8_bits_keep_cast_inputs():
    """The two norms' outputs, the activation function's output and nothing else halve: 4 of 34 and 8 of 34."""
    model, plan = gpt("22B")
    plan = replace(plan, tp=1, flash_attention=1)
    tokens = SEQUENCE * plan.micro_batch
    saved = layer_activation_bytes(model, plan, 0) - layer_activation_bytes(
        model, plan, 0, Kept(1.0)
    )
    assert saved == pytest.approx(tokens * (2 * model.hidden + model.ffn))


def recomputed():
    """Llama 2 7B's layers with a large vocabulary, 4 sequences of 4,096 tokens, sharded in full over 8, all recomputed."""
    model = Transformer("7B", 32, 4096, 32, 32, 128, 11008, 128000, gated_ffn=1)
    plan = Plan(4096, 32, 4, dp=8, zero_stage=3, recompute=2, flash_attention=1)
    return training_memory(model, plan, master_is_weight=1), plan, model


def test_under_autocast_alone_the_stream_and_the_gathered_layers_are_fp32():
    """By hand, 2 bytes more a value: 16,384 tokens x 4,096 x 32 layers' inputs, and two gathered layers of
    4 x 4,096^2 + 3 x 4,096 x 11,008 weights with two norms of 4,096. Nothing that is sharded changes."""
    plain, plan, model = recomputed()
    cast = training_memory(model, plan, master_is_weight=1, kept=Kept(autocast=1))
    assert cast.activations - plain.activations == pytest.approx(2 * 16384 * 4096 * 32)
    layer = 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096
    assert cast.workspace - plain.workspace == pytest.approx(2 * 2 * layer, rel=1e-3)
    for name in ("weights", "gradients", "optimizer"):
        assert getattr(cast, name) == getattr(plain, name)


def test_keys_and_values_that_outlive_the_forward_pass():
    """By hand: 16,384 tokens x 32 layers x 2 x 4,096 values in 2 bytes, none more where the backward pass keeps them
    anyway, because no layer is recomputed; and the logits beside them, 128,000 a token in 4 bytes."""
    plain, plan, model = recomputed()
    held = training_memory(model, plan, master_is_weight=1, kept=Kept(kv=1))
    logits = 16384 * 128000 * 4
    assert held.total - plain.total == pytest.approx(16384 * 32 * 2 * 4096 * 2 + logits)
    for share, layers in ((0.5, 16), (0.0, 0)):
        part = replace(plan, recompute=2 if share else 0, recompute_share=share)
        held, bare = (training_memory(model, part, kept=Kept(kv=kv)).total for kv in (1, 0))
        assert held - bare == pytest.approx(16384 * layers * 2 * 4096 * 2 + logits)


def test_few_micro_batches_fill_no_pipeline():
    model, plan = gpt("175B")
    short = replace(plan, global_batch=2, virtual_stages=1)
    assert activations.layers_in_flight(model, short) == pytest.approx((96 / 8 * 2, 96 / 8))


def test_selective_recomputation_keeps_what_the_paper_says():
    """Korthikanti et al. 2022, section 5: dropping the attention core of GPT-3 saves 70% of the activations (5as/h = 80
    of 114), of MT-NLG 65%."""
    for name, saved in (("175B", 0.70), ("530B", 0.65)):
        model, plan = gpt(name)
        plan = replace(plan, sequence_parallel=1)
        ratio = layer_activation_bytes(model, plan, 1) / layer_activation_bytes(model, plan, 0)
        assert 1 - ratio == pytest.approx(saved, abs=0.01)


def zero(stage, ranks=64):
    """Rajbhandari et al. 2020, figure 1: 7.5 billion weights, 64 ranks, Adam, FP16 gradients. GB of 10^9 bytes."""
    model = Transformer("7.5B", 36, 4096, 32, 32, 128, 16384, 50257, params_given=7.5e9)
    plan = Plan(1, ranks, dp=ranks, zero_stage=stage)
    found = training_memory(model, plan, "adam", gradient_bytes=2.0)
    return (found.weights + found.gradients + found.optimizer) / 1e9


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120), (1, 31.4), (2, 16.6), (3, 1.9)])
def test_model_states_are_those_of_zero(stage, gigabytes):
    assert zero(stage) == pytest.approx(gigabytes, abs=0.05)


def test_sixteen_bytes_a_weight_split_two_two_twelve():
    """Rajbhandari et al. 2020, section 3.1."""
    model = Transformer("1B", 16, 2048, 16, 16, 128, 8192, 50257, params_given=1e9)
    found = training_memory(model, Plan(1, 1, zero_stage=0), "adam", gradient_bytes=2.0)
    assert (found.weights, found.gradients, found.optimizer) == pytest.approx((2e9, 2e9, 12e9))


@pytest.mark.parametrize(
    ("optimizer", "each"),
    [
        ("sgd", 8),
        ("adamw", 12),
        ("nadam", 12),
        ("adam8bit", 6),
        ("adafactor", 4),
        ("muon", 8),
        ("lion", 8),
    ],
)
def test_optimizer_state_per_weight(optimizer, each):
    model = Transformer("1B", 16, 2048, 16, 16, 128, 8192, 50257, params_given=1e9)
    assert training_memory(model, Plan(1, 1, zero_stage=0), optimizer).optimizer == pytest.approx(
        each * 1e9
    )


def test_gradients_are_divided_by_tensor_and_pipeline():
    model, plan = gpt("175B")
    found = training_memory(model, plan)
    layered = params(model) - embedding_params(model)
    assert found.gradients == pytest.approx(4 * (layered / 8 + model.vocab * model.hidden) / 8)


def test_experts_shard_over_expert_ranks():
    model = Transformer(
        "mix",
        10,
        1024,
        8,
        8,
        128,
        4096,
        1000,
        experts=8,
        experts_per_token=2,
        expert_ffn=4096,
        tied_embeddings=1,
    )
    one, spread = (
        training_memory(model, Plan(1024, 8, dp=8, ep=ep, zero_stage=0)).weights for ep in (1, 8)
    )
    experts = 2 * 10 * 8 * 2 * 1024 * 4096
    assert one - spread == pytest.approx(experts * 7 / 8)


def test_reserves_are_added_as_told():
    model, plan = gpt("22B")
    plain, reserved = (
        training_memory(model, plan),
        training_memory(model, plan, reserve=Reserve(1e9, 0.1)),
    )
    assert reserved.total - plain.total == pytest.approx(1e9 + 0.1 * plain.activations)


shapes = st.builds(
    lambda layers, heads, gated, experts, expert_ffn: Transformer(
        "any", 4 * layers, 128 * heads, heads, heads, 128, 512 * heads, 32000, gated_ffn=gated,
        experts=experts, experts_per_token=min(2, experts), expert_ffn=expert_ffn * (experts > 0),
    ),
    st.integers(1, 16), st.integers(1, 64), st.integers(0, 1), st.sampled_from([0, 8, 64]), st.integers(64, 8192),
)  # fmt: skip
layouts = st.builds(
    lambda seq_len, micro, tp, pp, dp, cp, sp, zero_stage, recompute, flash, rounds: Plan(
        seq_len, micro * dp * rounds, micro, tp, pp, dp, cp, 1, 1, zero_stage, sp, recompute, flash
    ),
    st.sampled_from([512, 4096, 131072]), st.integers(1, 8), st.sampled_from([1, 2, 8]), st.sampled_from([1, 2, 4]),
    st.integers(1, 64), st.sampled_from([1, 2, 4]), st.integers(0, 1), st.integers(0, 3), st.integers(0, 2), st.integers(0, 1), st.integers(1, 8),
)  # fmt: skip


@given(shapes, layouts)
def test_parts_add_up_and_none_is_negative(model, plan):
    found = training_memory(model, plan, reserve=Reserve(1e9, 0.2))
    beside = ("reserve", "gradients_made")
    parts = [value for name, value in vars(found).items() if name not in beside]
    assert found.total == pytest.approx(sum(parts)) and min(parts) >= 0


@given(shapes, layouts)
def test_more_chips_never_raise_memory_under_zero_3(model, plan):
    """More replicas, each with the same batch."""
    plan = replace(plan, zero_stage=3)
    per_replica = plan.global_batch / plan.dp
    totals = [
        training_memory(model, replace(plan, dp=dp, global_batch=per_replica * dp)).total
        for dp in (1, 2, 8, 64)
    ]
    assert totals == sorted(totals, reverse=True)


@given(shapes, layouts)
def test_recomputing_more_never_keeps_more(model, plan):
    totals = [training_memory(model, replace(plan, recompute=level)).total for level in (0, 1, 2)]
    assert totals[0] >= totals[1] * (1 - 1e-12) and totals[0] >= totals[2] * (1 - 1e-12)


@given(shapes, layouts)
def test_more_sharding_never_keeps_more_state(model, plan):
    states = [training_memory(model, replace(plan, zero_stage=stage)) for stage in range(4)]
    kept = [found.weights + found.gradients + found.optimizer for found in states]
    assert all(after <= before * (1 + 1e-12) for before, after in zip(kept, kept[1:], strict=False))


@given(shapes, layouts)
def test_longer_sequences_never_lower_memory(model, plan):
    totals = [
        training_memory(model, replace(plan, seq_len=plan.seq_len * factor)).total
        for factor in (1, 2, 4)
    ]
    assert totals == sorted(totals)


@given(shapes, st.lists(layouts, min_size=2, max_size=5))
def test_scalar_and_array_plans_agree(model, rows):
    together = Plan(
        **{
            name: np.array([getattr(row, name) for row in rows], float)
            for name in rows[0].__dataclass_fields__
        }
    )
    many = training_memory(model, together, "muon", 2.0, Reserve(1e9, 0.2))
    for index, row in enumerate(rows):
        one = training_memory(model, row, "muon", 2.0, Reserve(1e9, 0.2))
        for name, value in vars(one).items():
            assert np.broadcast_to(getattr(many, name), len(rows))[index] == pytest.approx(value)


def test_a_store_outside_the_chips_holds_the_states_once_for_all_of_them():
    model = gpt("175B")[0]
    whole = params(model)
    for replicas in (1, 64, 2048):
        plan = Plan(SEQUENCE, 4096, dp=replicas, zero_stage=1, recompute=2, streamed=1)
        held = training_memory(model, plan, "adamw")
        assert held.stored == pytest.approx(whole * (2 + 4 + 12))
        assert held.weights == held.gradients == held.optimizer == 0
        layer = 2.0 * (whole - embedding_params(model)) / model.layers
        assert 0 < held.workspace <= 1.001 * max(layer, 2.0 * model.vocab * model.hidden)
        assert held.total == held.activations + held.workspace
    assert training_memory(model, replace(plan, streamed=0), "adamw").stored == 0


@pytest.mark.parametrize("sequences", [1, 64])
@pytest.mark.parametrize("input_bytes", [1.0, 2.0])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("factor", [1.0, 1.3])
def test_of_streamed_weights_a_chip_has_the_layer_or_the_head_at_work(
    sequences, input_bytes, share, factor
):
    """Layers' kept activations, and the larger of a layer made again with its weights and the logits with the head's."""
    model = gpt("175B")[0]
    level = 2 if share else 0
    plan = Plan(
        128, 4096, micro_batch=sequences, recompute=level, recompute_share=share, streamed=1
    )
    held = training_memory(model, plan, kept=Kept(input_bytes, factor))
    whole, light = (layer_activation_bytes(model, plan, one, Kept(input_bytes)) for one in (0, 2))
    kept = model.layers * (share * light + (1 - share) * whole * factor)
    layer = 2 * (params(model) - embedding_params(model)) / model.layers
    redone = whole * factor - light if share else 0
    logits = logit_bytes(model, plan, factor > 1)
    head = 2 * model.vocab * model.hidden
    assert held.total == pytest.approx(kept + max(redone + layer, logits + head))


def test_hybrid_sharding_holds_a_groups_share():
    """Groups of 8 of 64 replicas hold what 8 replicas hold, of experts too (Zhao et al. 2023, section 3.2.2)."""
    for model, ep in ((gpt("22B")[0], 1), (DEEPSEEK_V3, 4)):
        whole, group = (Plan(2048, 64, dp=dp, ep=ep, zero_stage=3) for dp in (64, 8))
        held, alone = (
            training_memory(model, plan) for plan in (replace(whole, shard_group=8), group)
        )
        assert held.weights == pytest.approx(alone.weights)
        assert held.optimizer == pytest.approx(alone.optimizer)
        assert training_memory(model, whole).weights < held.weights


@pytest.mark.parametrize(("width", "bytes_a_value"), [(2.0, 10), (4.0, 16)])
def test_an_activation_function_written_out_keeps_what_its_operations_need(width, bytes_a_value):
    """transformers, `NewGELUActivation`: the power keeps x, tanh its result, the product half of x and one more than tanh, the
    next product its input. In 32 bits from the power on under autocast, half of x and the input in 16."""
    model = shape_of_gpt(24, 1024, 16, tanh_gelu=1)
    fused, apart = Plan(1024, 8), Plan(1024, 8, written_out_bytes=width)
    kept = [layer_activation_bytes(model, plan, 0) for plan in (fused, apart)]
    assert kept[1] - kept[0] == pytest.approx(1024 * 4 * 1024 * (bytes_a_value - 4))
    assert layer_activation_bytes(replace(model, tanh_gelu=0), apart, 0) == kept[0]
    # Eager code keeps more of other layers than fused kernels do; here what it keeps is counted.
    eager = Kept(factor=1.7)
    assert activations.layer_and_head_bytes(model, apart, eager)[0] == kept[1]
    assert activations.layer_and_head_bytes(model, fused, eager)[0] == pytest.approx(1.7 * kept[0])
