"""What a step sends: one list of messages, of which both the bytes and the seconds are made."""

from dataclasses import fields, replace

import numpy as np
import pytest
from published_shapes import DEEPSEEK_V3, MIXTRAL

from training_moat.core import collectives, messages
from training_moat.core.fabrics import Fabric
from training_moat.core.memory import trained_params_per_stage
from training_moat.core.node import Efficiency, Node
from training_moat.core.plan import Plan
from training_moat.core.training_step import step_bytes, step_time
from training_moat.core.workload import Transformer, params

LLAMA_70B = Transformer("Llama 70B", 80, 8192, 64, 8, 128, 28672, 32000, gated_ffn=1)
BYTE_A_SECOND = Fabric(bytes_per_s=1.0, step_latency_s=0.0, domain_chips=1e9)
ENDLESS = 1e40
NODE = Node(ENDLESS, ENDLESS, 2.0, ENDLESS, BYTE_A_SECOND, BYTE_A_SECOND)
NOTHING_HIDDEN = Efficiency(1.0, 1.0, 1.0, overlap_data=0.0)

PLANS = [
    (LLAMA_70B, Plan(4096, 64, tp=8, pp=4, dp=2, virtual_stages=5)),
    (LLAMA_70B, Plan(4096, 64, tp=4, pp=1, dp=4, cp=2, zero_stage=3, recompute=2)),
    (LLAMA_70B, Plan(4096, 64, tp=2, pp=2, dp=4, zero_stage=0, gradient_bytes=4.0)),
    (MIXTRAL, Plan(4096, 64, tp=1, pp=2, dp=8, ep=8, zero_stage=1)),
    (MIXTRAL, Plan(4096, 64, tp=8, pp=1, dp=2, ep=1)),
    (MIXTRAL, Plan(4096, 64, tp=4, pp=1, dp=2, ep=2, zero_stage=3)),
    (LLAMA_70B, Plan(4096, 64, tp=8, pp=1, dp=2, lora_rank=16)),
    (LLAMA_70B, Plan(4096, 64, tp=2, pp=4, dp=2, zero_stage=3, sequence_parallel=1)),
    (LLAMA_70B, Plan(4096, 64, tp=2, dp=4, zero_stage=2, scatters_every=1)),
    (LLAMA_70B, Plan(4096, 64, tp=2, dp=8, zero_stage=3, shard_group=4)),
    (MIXTRAL, Plan(4096, 64, dp=16, ep=2, zero_stage=3, shard_group=4)),
]


@pytest.mark.parametrize(("model", "plan"), PLANS)
def test_seconds_and_bytes_are_of_one_derivation(model, plan):
    """Over links of one byte a second without latency, with nothing hidden, seconds are bytes."""
    sent = step_bytes(model, plan, BYTE_A_SECOND)
    step = step_time(model, plan, NODE, NOTHING_HIDDEN)
    for kind in messages.KINDS:
        assert getattr(step, kind) == pytest.approx(sent[kind], rel=1e-9), kind


def test_bytes_on_the_wire_are_the_textbook_counts():
    """2 (n-1)/n of 2 b s h, four times a layer (Shoeybi et al. 2019, section 3); an activation forth and its gradient
    back for every virtual stage (Narayanan et al. 2021, section 4.1); 2 (n-1)/n of the 16-bit gradients."""
    plan = Plan(4096, 64, tp=8, pp=4, dp=2, virtual_stages=5, zero_stage=1)
    sent = step_bytes(LLAMA_70B, plan, BYTE_A_SECOND)
    activation = 2 * 4096 * 8192
    assert sent["tensor_parallel"] == pytest.approx(2 * 7 / 8 * activation * 4 * 20 * 32)
    assert sent["pipeline"] == pytest.approx(2 * 5 * 32 * activation / 8)
    layered = params(LLAMA_70B) - 2 * 32000 * 8192
    own = (layered / 4 + 32000 * 8192) / 8
    assert sent["data_parallel"] == pytest.approx(2 * 1 / 2 * 2 * own)


def test_recomputation_that_stops_early_sends_less():
    """Of six exchanges with experts one, the way back of the pass that is done again; of a dense layer's six sums, one."""
    experts = Plan(4096, 64, dp=8, ep=8, recompute=2)
    dense = Plan(4096, 64, tp=8, recompute=2)

    def sent(model, plan, kind, level):
        return step_bytes(model, replace(plan, stops_early=level), BYTE_A_SECOND)[kind]

    whole = sent(MIXTRAL, experts, "expert_parallel", 0)
    assert sent(MIXTRAL, experts, "expert_parallel", 1) == pytest.approx(5 / 6 * whole)
    assert sent(MIXTRAL, experts, "expert_parallel", 2) == pytest.approx(5 / 6 * whole)
    whole = sent(LLAMA_70B, dense, "tensor_parallel", 0)
    assert sent(LLAMA_70B, dense, "tensor_parallel", 1) == whole
    assert sent(LLAMA_70B, dense, "tensor_parallel", 2) == pytest.approx(5 / 6 * whole)


def test_wider_gradients_cost_more_on_the_wire():
    plan = Plan(4096, 64, tp=8, dp=8, zero_stage=1)
    wide = step_bytes(LLAMA_70B, replace(plan, gradient_bytes=4.0), BYTE_A_SECOND)
    narrow = step_bytes(LLAMA_70B, plan, BYTE_A_SECOND)
    # The weights come back in 16 bits either way: 4 + 2 bytes against 2 + 2.
    assert wide["data_parallel"] == pytest.approx(1.5 * narrow["data_parallel"])


def sent_by_replicas(**changes):
    plan = Plan(4096, 64, dp=8, gradient_bytes=4.0)
    return step_bytes(LLAMA_70B, replace(plan, **changes), BYTE_A_SECOND)["data_parallel"]


def test_weights_that_a_pipeline_keeps_are_gathered_once():
    """PyTorch's pipelining/stage.py: neither resharding nor reduction before the last micro-batch's backward pass."""
    alone, staged = (sent_by_replicas(zero_stage=3, pp=pp) for pp in (1, 4))
    layered = params(LLAMA_70B) - 2 * 32000 * 8192
    assert alone == pytest.approx(7 / 8 * (2 + 2 + 4) * params(LLAMA_70B) * 8)
    assert staged == pytest.approx(7 / 8 * (2 + 4) * (layered / 4 + 32000 * 8192))


def test_inputs_are_gathered_again_for_the_gradient_of_the_weights():
    """Korthikanti et al. 2022, section 4.2.2: beside as many scatters and gathers as sums, one gather for each of a layer's
    two blocks; frozen weights have no gradient."""
    plan = Plan(4096, 64, tp=8, pp=4, dp=2)

    def sent(**changes):
        return step_bytes(LLAMA_70B, replace(plan, **changes), BYTE_A_SECOND)["tensor_parallel"]

    assert sent(sequence_parallel=1) == pytest.approx(10 / 8 * sent())
    assert sent(sequence_parallel=1, recompute=2) == pytest.approx(14 / 12 * sent(recompute=2))
    assert sent(sequence_parallel=1, gathers_again=0) == sent()
    assert sent(sequence_parallel=1, lora_rank=16) == sent(lora_rank=16)


def test_what_is_gathered_again_hides_behind_the_products_that_do_not_need_it():
    """Megatron-LM waits for it after the product for the input's gradient: over slow links it shows, over fast ones not."""
    plan = Plan(4096, 64, tp=8, sequence_parallel=1)

    def shown(rate, **changes):
        links = Fabric(bytes_per_s=rate, step_latency_s=0.0, domain_chips=1e9)
        node = replace(NODE, peak_flops=1e15, scaleup=links, scaleout=links)
        return step_time(LLAMA_70B, replace(plan, **changes), node, NOTHING_HIDDEN).tensor_parallel

    assert shown(1e12) == pytest.approx(shown(1e12, gathers_again=0))
    assert shown(1e9, gathers_again=0) < shown(1e9) < 10 / 8 * shown(1e9, gathers_again=0)


def test_keys_and_values_come_back_with_their_gradients():
    """Forward two tensors of s b k d, backward those and their gradients (Transformer Engine, context_parallel.py); of
    latent attention heads of unequal widths; of eight heads on sixteen chips one each."""

    def gathered(model, **changes):
        plan = Plan(4096, 64, dp=2, cp=4, **changes)
        layers = model.layers * plan.micro_batches
        return step_bytes(model, plan, BYTE_A_SECOND)["tensor_parallel"] / (
            3 / 4 * 2 * 4096 * layers
        )

    assert gathered(LLAMA_70B) == pytest.approx(3 * 2 * 8 * 128)
    assert gathered(LLAMA_70B, recompute=2) == pytest.approx(4 * 2 * 8 * 128)
    assert gathered(LLAMA_70B, graphs=3) == pytest.approx(2 * 2 * 8 * 128)
    assert gathered(DEEPSEEK_V3) == pytest.approx(3 * 128 * (192 + 128))
    few, many = (messages.messages(LLAMA_70B, Plan(4096, 64, tp=tp, cp=4)) for tp in (8, 16))
    assert few["context"].bytes == many["context"].bytes == 2 * 4096 * 2 * 128


def test_what_goes_round_hides_behind_attention():
    """A ring shows what takes longer than attention; a program that gathers first shows all."""
    slow = Fabric(bytes_per_s=1e9, step_latency_s=0.0, domain_chips=1e9)
    plan = Plan(65536, 8, cp=8)

    def shown(**changes):
        own = replace(plan, **changes)
        node = replace(NODE, wide_peak_flops=1e15, scaleup=slow, scaleout=slow)
        return step_time(LLAMA_70B, own, node, NOTHING_HIDDEN).tensor_parallel

    sent = step_bytes(LLAMA_70B, plan, BYTE_A_SECOND)["tensor_parallel"] / 1e9
    attention = 3.5 * 80 * 8 * (65536 / 8) * 65536 / 2 * 4 * 8192 / 1e15
    assert 0 < attention < sent
    assert shown() == pytest.approx(sent - attention)
    assert shown(graphs=3) == pytest.approx(2 / 3 * sent)


@pytest.mark.parametrize(("domains", "reached"), [(2, 0.9825), (4, 2.351), (8, 3.447)])
def test_groups_are_visited_once_each(domains, reached):
    """Other domains that a token of DeepSeek-V3 reaches, as 4,000 tokens drawn with random scores do: the four groups with the
    best two experts, and the best eight experts of those."""
    message = messages.Message("expert_parallel", "all_to_all", 1.0, 64, 1, 1, 8, 8, 4)
    others = collectives.distinct_others(domains, messages._places(message, domains))
    assert others == pytest.approx(reached, rel=0.02)
    assert messages._places(message, 1) == messages._places(message, 16) == 8


def test_hybrid_sharding_gathers_in_a_group_and_sums_across_groups():
    """Zhao et al. 2023, section 3.2.2: with groups of F of W replicas a weight is gathered and scattered over F of them,
    and its F-th part is summed over W / F. In FSDP2 the sums run beside what the groups exchange, over other links."""
    weights = params(LLAMA_70B)
    hybrid = sent_by_replicas(zero_stage=3, shard_group=2)
    summed = 2 * 3 / 4 * 4 / 2
    assert hybrid == pytest.approx(8 * (1 / 2 * (2 + 2 + 4) + summed) * weights)
    assert sent_by_replicas(zero_stage=3, shard_group=8) == sent_by_replicas(zero_stage=3)
    assert sent_by_replicas(zero_stage=0, shard_group=2) == sent_by_replicas(zero_stage=0)
    # Of the states alone: once a step a scatter and a gather within a group, and the sum of a part among four.
    alone = sent_by_replicas(zero_stage=1, shard_group=2)
    assert alone == pytest.approx((1 / 2 * (2 + 4) + summed) * weights)
    assert sent_by_replicas(zero_stage=1, shard_group=8) == sent_by_replicas(zero_stage=1)

    def shown(inside):
        domain = Fabric(bytes_per_s=inside, step_latency_s=0.0, domain_chips=2)
        node = replace(NODE, scaleup=domain, scaleout=BYTE_A_SECOND)
        plan = Plan(4096, 64, dp=8, zero_stage=3, shard_group=2, gradient_bytes=4.0)
        return step_time(LLAMA_70B, plan, node, NOTHING_HIDDEN).data_parallel

    assert shown(1e6) == pytest.approx(8 * summed * weights)
    assert shown(0.1) == pytest.approx(8 * 1 / 2 * 8 / 0.1 * weights)


def test_blocks_side_by_side_sum_once():
    """Of four sums a layer two are left (Chowdhery et al. 2022, section 2); with a norm each the gradients of two inputs are
    summed apart. Under sequence parallelism one input is gathered again, or two."""
    plan = Plan(4096, 64, tp=8)

    def sent(norms, **changes):
        model = replace(LLAMA_70B, parallel_norms=norms)
        return step_bytes(model, replace(plan, **changes), BYTE_A_SECOND)["tensor_parallel"]

    assert sent(1) == pytest.approx(2 / 4 * sent(0))
    assert sent(2) == pytest.approx(3 / 4 * sent(0))
    assert sent(1, recompute=2) == pytest.approx(3 / 6 * sent(0, recompute=2))
    assert sent(1, sequence_parallel=1) == pytest.approx(5 / 10 * sent(0, sequence_parallel=1))
    assert sent(2, sequence_parallel=1) == pytest.approx(8 / 10 * sent(0, sequence_parallel=1))


def test_adapters_travel_as_they_are_held():
    """Those of the fullest stage's layers: 80 on 16 stages are 5, on 12 they are 7."""
    held, sent = [], []
    for pp in (16, 12):
        plan = Plan(4096, 64, tp=8, pp=pp, dp=2, lora_rank=16)
        held.append(sum(trained_params_per_stage(LLAMA_70B, plan)))
        sent.append(step_bytes(LLAMA_70B, plan, BYTE_A_SECOND)["data_parallel"])
    assert held[1] == pytest.approx(7 / 5 * held[0])
    assert sent == pytest.approx([2 * 1 / 2 * 2 * own for own in held])


def test_gradients_are_scattered_for_every_micro_batch_where_the_stack_does():
    """DeepSpeed's ZeRO-2 does not wait for the last micro-batch, its ZeRO-1 does; a pipeline always waits."""
    once = sent_by_replicas(zero_stage=2)
    each = sent_by_replicas(zero_stage=2, scatters_every=1)
    assert once == pytest.approx(7 / 8 * (2 + 4) * params(LLAMA_70B))
    assert each == pytest.approx(7 / 8 * (2 + 8 * 4) * params(LLAMA_70B))
    assert sent_by_replicas(zero_stage=1, scatters_every=1) == once
    staged = (sent_by_replicas(zero_stage=2, scatters_every=one, pp=4) for one in (0, 1))
    assert len(set(staged)) == 1


def test_a_chip_sends_beyond_its_domain_what_its_domain_does_not_hold():
    message = messages.Message("data_parallel", "all_reduce", 1e9, 64, 1, 1)
    inside, beyond = messages.sent_bytes(message, replace(BYTE_A_SECOND, domain_chips=8))
    assert inside == pytest.approx(2 * 7 / 8 * 1e9)
    assert beyond == pytest.approx(2 * 7 / 8 * 1e9 / 8)
    alone, all_beyond = messages.sent_bytes(message, replace(BYTE_A_SECOND, domain_chips=1))
    assert (alone, all_beyond) == (0.0, pytest.approx(2 * 63 / 64 * 1e9))


def test_cut_experts_are_gathered_and_summed_where_whole_ones_are_sent_tokens():
    cut = messages.messages(MIXTRAL, Plan(4096, 64, tp=8, dp=1, ep=1))
    assert cut["exchange"].ranks == 1 and cut["cut_experts"].ranks == 8
    whole = messages.messages(MIXTRAL, Plan(4096, 64, tp=8, dp=1, ep=8))
    assert whole["exchange"].ranks == 8 and whole["cut_experts"].ranks == 1


def test_arrays_send_what_single_plans_send():
    plans = [plan for model, plan in PLANS if model is LLAMA_70B]
    together = Plan(
        **{
            name: np.array([getattr(p, name) for p in plans], float)
            for name in [item.name for item in fields(Plan)]
        }
    )
    found = step_bytes(LLAMA_70B, together, BYTE_A_SECOND)
    for index, plan in enumerate(plans):
        one = step_bytes(LLAMA_70B, plan, BYTE_A_SECOND)
        for kind in messages.KINDS:
            assert found[kind][index] == pytest.approx(one[kind]), kind


def test_a_dense_model_waits_for_no_gradients_of_experts():
    """Nothing to reduce takes no time, not the latency of reducing nothing."""
    slow = replace(BYTE_A_SECOND, bytes_per_s=ENDLESS, step_latency_s=1.0, launch_s=1.0)
    plan = Plan(4096, 64, tp=8, dp=2)
    sent = messages.messages(LLAMA_70B, plan)
    waits = {name: float(messages.seconds(one, slow, slow)) for name, one in sent.items()}
    assert waits["expert_gradients"] == 0.0 < waits["dense_gradients"]


def test_a_plain_dispatcher_sends_every_copy_of_a_token():
    """Two experts a token over eight members: (n - 1) / n of all copies leave a chip; of tokens sent once to a member, as
    many as two random choices hit other members, by hand 7 (1 - (7/8)^2) of 16."""
    plan = Plan(4096, 64, dp=8, ep=8)
    plain = messages.messages(MIXTRAL, replace(plan, dispatch_once=0))["exchange"]
    once = messages.messages(MIXTRAL, plan)["exchange"]
    every = 2 * 4096 * 2 * MIXTRAL.hidden
    assert messages.sent_bytes(plain, BYTE_A_SECOND)[0] == pytest.approx(every * 7 / 8)
    few = every * 7 * (1 - (7 / 8) ** 2) / 2
    assert messages.sent_bytes(once, BYTE_A_SECOND)[0] == pytest.approx(few)


def test_what_is_padded_to_a_capacity_travels():
    plan = Plan(4096, 64, dp=8, ep=8, recompute=2, stops_early=1)
    usual = messages.messages(MIXTRAL, plan)["exchange"]
    padded = messages.messages(MIXTRAL, replace(plan, expert_capacity=1.25))["exchange"]
    assert padded.bytes == pytest.approx(1.25 * usual.bytes)
    # The gradient of the mask that brings results back asks for them once more.
    masked = messages.messages(MIXTRAL, replace(plan, one_hot_dispatch=1))["exchange"]
    assert masked.times == pytest.approx(usual.times * 6 / 5)


def test_layers_gathered_in_eight_bits_send_half_and_their_embeddings_do_not():
    model, plan = LLAMA_70B, Plan(8192, 64, dp=64, zero_stage=3)
    wide, narrow = (
        messages.messages(model, replace(plan, gathered_bytes=size)) for size in (2.0, 1.0)
    )
    embeddings = 2 * model.vocab * model.hidden
    layers = params(model) - embeddings
    assert wide["dense_weights"].bytes == pytest.approx(2 * (layers + embeddings))
    assert narrow["dense_weights"].bytes == pytest.approx(layers + 2 * embeddings)
    assert narrow["dense_scatter"].bytes == wide["dense_scatter"].bytes
    # A reduction and a gathering once a step take the mean of the two widths.
    once = replace(plan, zero_stage=1)
    both = [messages.messages(model, replace(once, gathered_bytes=size)) for size in (2.0, 1.0)]
    less = both[0]["dense_gradients"].bytes - both[1]["dense_gradients"].bytes
    assert less == pytest.approx(layers / 2)
    whole = replace(plan, zero_stage=0)
    alike = [messages.messages(model, replace(whole, gathered_bytes=size)) for size in (2.0, 1.0)]
    assert alike[0]["dense_gradients"].bytes == alike[1]["dense_gradients"].bytes
    # Adapters are never narrow: what is left of them is not less than nothing.
    tuned = replace(once, lora_rank=8)
    both = [messages.messages(model, replace(tuned, gathered_bytes=size)) for size in (2.0, 1.0)]
    assert both[0]["dense_gradients"].bytes == both[1]["dense_gradients"].bytes > 0
