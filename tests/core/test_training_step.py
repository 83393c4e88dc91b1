"""The step time against hand-worked parts, published identities, and what must never happen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_shapes import DEEPSEEK_V3, LLAMA, MIXTRAL

from training_moat.core import collectives, training_step
from training_moat.core.fabrics import Fabric
from training_moat.core.layer_step import (
    PRODUCT_STREAM,
    elementwise_bytes,
    matmul_seconds,
    permuted_bytes,
    written_out_bytes,
)
from training_moat.core.memory import params_per_stage
from training_moat.core.node import Efficiency, Node
from training_moat.core.plan import GRAPH_LEVELS, Plan
from training_moat.core.training_step import StepTime, step_bytes, step_time
from training_moat.core.workload import Transformer, attention_score_flops_per_token

FAST = Fabric(1e30, 0.0, domain_chips=8)
"""A network that takes no time."""
IDEAL = Node(1e15, 1e15, 2.0, 1e30, FAST, FAST)
"""A chip of 1 PFLOP/s whose memory and links take no time."""
PERFECT = Efficiency(1.0, 1.0, 1.0, overlap_data=0.0)
NVLINK = Fabric(450e9, 1e-6, 0.8, domain_chips=8)
ETHERNET = Fabric(50e9, 5e-6, 0.8, domain_chips=1e9, topology="fat_tree")
H100 = Node(989e12, 989e12, 2.0, 3.35e12, NVLINK, ETHERNET)
REAL = Efficiency(
    0.75, 0.45, 0.8, 0.8, 0.7, overlap_data=0.5, overlap_tensor=0.6, overlap_expert=0.4, layer_seconds=1e-5,
    expert_layer_seconds=1e-4, step_seconds=5e-3, software=0.8, matmul_software=0.95, straggling=0.01,
)  # fmt: skip
LLAMA_70B = LLAMA[70.6e9]
GPT_175B = Transformer("GPT-3 175B", 96, 12288, 96, 96, 128, 49152, 51200, tied_embeddings=1)
"""Korthikanti et al. 2022, table 3, vocabulary from section 6."""


def test_an_ideal_chip_runs_the_model_flops_at_peak():
    """No memory traffic, no links, unfused attention (which computes the masked half too): time is FLOPs over peak."""
    plan = Plan(4096, 8, flash_attention=0, zero_stage=0)
    step = step_time(LLAMA_70B, plan, IDEAL, PERFECT)
    assert step.total == pytest.approx(training_step.model_flops_per_step(LLAMA_70B, plan) / 1e15)
    assert step.compute == pytest.approx(step.total)


def test_an_ideal_chip_runs_the_hardware_flops_when_all_is_recomputed():
    plan = Plan(4096, 8, flash_attention=0, zero_stage=0, recompute=2)
    step = step_time(LLAMA_70B, plan, IDEAL, PERFECT)
    assert step.total == pytest.approx(
        training_step.hardware_flops_per_step(LLAMA_70B, plan) / 1e15
    )


@pytest.mark.parametrize("model", [LLAMA_70B, DEEPSEEK_V3, MIXTRAL], ids=lambda model: model.name)
@pytest.mark.parametrize("changes", [{"recompute": 1}, {"recompute": 2, "stops_early": 2}])
def test_the_hardware_flops_are_those_that_an_ideal_chip_has_time_for(model, changes):
    """Under fused attention what single modules and layers that stop early do again, beside what both count alike."""
    plan = Plan(4096, 8, zero_stage=0)
    plans = (plan, replace(plan, **changes))
    times = [step_time(model, own, IDEAL, PERFECT).compute for own in plans]
    flops = [training_step.hardware_flops_per_step(model, own) for own in plans]
    # Fused attention skips half of the scores, which the count keeps; the router's product takes no time.
    score = attention_score_flops_per_token(model, 4096) * plan.tokens_per_step
    counted = flops[1] - flops[0] - (score / 2 if changes["recompute"] == 2 else 0)
    assert counted == pytest.approx((times[1] - times[0]) * 1e15, rel=5e-3)


def test_wide_heads_fill_a_wide_matrix_unit():
    """Heads of 256 use twice the rows of a 256-wide unit that heads of 128 do, which fill a unit of 128 as well, up to the
    share that the best kernels reach; elsewhere width makes no difference."""
    narrow = Transformer("narrow", 32, 4096, 32, 8, 128, 14336, 128256, gated_ffn=1)
    wide = replace(narrow, heads=16, kv_heads=4, head_dim=256)
    plan = Plan(131072, 8)

    def core(model, share, unit):
        other = step_time(model, plan, IDEAL, replace(PERFECT, attention=1e30)).compute
        eff = replace(PERFECT, attention=share, attention_unit=unit)
        return step_time(model, plan, IDEAL, eff).compute - other

    assert core(wide, 0.3, 0.0) == pytest.approx(core(narrow, 0.3, 0.0), rel=1e-6)
    assert core(wide, 0.2, 256.0) == pytest.approx(core(narrow, 0.2, 256.0) / 2, rel=1e-6)
    assert core(narrow, 0.2, 128.0) == pytest.approx(core(wide, 0.2, 256.0), rel=1e-6)
    assert core(wide, 0.2, 128.0) == pytest.approx(core(wide, 0.2, 256.0), rel=1e-6)
    assert core(wide, 0.5, 256.0) == pytest.approx(core(narrow, 0.5, 256.0) * 0.5 / 0.75, rel=1e-6)
    assert core(wide, 0.9, 256.0) == pytest.approx(core(narrow, 0.9, 256.0), rel=1e-6)
    assert core(narrow, 0.5, 256.0) == core(narrow, 0.5, 0.0)


def test_recomputation_that_stops_early_leaves_the_last_product_out():
    """Its backward pass needs what enters it, not what leaves it; nothing is left out where nothing is recomputed."""
    plan = Plan(4096, 8, flash_attention=0, zero_stage=0, recompute=2)
    whole = step_time(LLAMA_70B, plan, IDEAL, PERFECT).total
    early = step_time(LLAMA_70B, replace(plan, stops_early=2), IDEAL, PERFECT).total
    down = 2 * 8 * 4096 * LLAMA_70B.ffn * LLAMA_70B.hidden * LLAMA_70B.layers / 1e15
    assert whole - early == pytest.approx(down)
    assert step_time(LLAMA_70B, replace(plan, stops_early=1), IDEAL, PERFECT).total == whole
    kept = replace(plan, recompute=0)
    never = step_time(LLAMA_70B, kept, IDEAL, PERFECT)
    assert step_time(LLAMA_70B, replace(kept, stops_early=2), IDEAL, PERFECT) == never


def test_recomputation_that_stops_early_moves_no_expert_results_back():
    """Of permuting there and back, six passes become five; of experts' two products, the second is not done again."""
    plan = Plan(4096, 64, dp=8, ep=8, recompute=2)
    slow = replace(IDEAL, memory_bytes_per_s=1e12)
    times = [
        step_time(MIXTRAL, replace(plan, stops_early=level), slow, PERFECT) for level in (0, 1, 2)
    ]
    moved = permuted_bytes(MIXTRAL, plan) / 2 / 1e12 * MIXTRAL.layers * plan.micro_batches
    assert times[0].memory_bound - times[1].memory_bound == pytest.approx(moved)
    assert times[1].memory_bound == pytest.approx(times[2].memory_bound)
    assert times[0].compute == times[1].compute > times[2].compute


def test_fused_attention_skips_the_masked_half_and_recomputes_in_the_backward_pass():
    """Dao 2023, section 3.1: half the scores; the backward pass costs 2.5 forward passes instead of 2."""
    fused = Plan(4096, 8, zero_stage=0)
    scores = 2 * 80 * 4096 * 64 * 256 * fused.tokens_per_step
    expected = training_step.model_flops_per_step(LLAMA_70B, fused) - 3 * scores + 3.5 / 2 * scores
    assert step_time(LLAMA_70B, fused, IDEAL, PERFECT).total == pytest.approx(expected / 1e15)


def test_attention_that_is_kept_is_not_done_again():
    """Of a layer recomputed in full all but the forward pass of fused attention, half of its scores, is."""
    plan = Plan(4096, 8, zero_stage=0, recompute=2)
    again, kept = (
        step_time(LLAMA_70B, replace(plan, attention_kept=flag), IDEAL, PERFECT).total
        for flag in (0, 1)
    )
    scores = 2 * 80 * 4096 * 64 * 256 * plan.tokens_per_step
    assert again - kept == pytest.approx(scores / 2 / 1e15)


def test_gaps_between_kernels_do_not_grow_with_how_slow_the_kernels_are():
    plan = Plan(4096, 8, dp=8)

    def gaps(share):
        own = replace(REAL, software=share, straggling=0.0)
        with_gaps = step_time(LLAMA_70B, plan, H100, replace(own, layer_seconds=1e-3))
        return (
            with_gaps.other
            - step_time(LLAMA_70B, plan, H100, replace(own, layer_seconds=0.0)).other
        )

    assert gaps(0.3) == pytest.approx(gaps(1.0)) == pytest.approx(80 * 3 * 1e-3)


def test_one_chip_waits_for_its_host_only_where_that_takes_longer():
    """Its host launches the next kernels while it works; little work hides little of the gaps."""

    def shown(plan, seconds):
        eff = replace(PERFECT, layer_seconds=seconds)
        return step_time(LLAMA_70B, plan, IDEAL, eff).other - never(plan)

    def never(plan):
        return step_time(LLAMA_70B, plan, IDEAL, PERFECT).other

    large = Plan(8192, 8, micro_batch=8)
    assert shown(large, 1e-3) < 0.01 * 80 * 3e-3
    small = Plan(1, 1)
    assert shown(small, 1.0) == pytest.approx(80 * 3, rel=1e-3)
    assert shown(replace(large, dp=8, micro_batch=1), 1e-3) == pytest.approx(80 * 3e-3)


def test_a_fused_attention_kernel_is_as_fast_in_any_stack():
    """At a million tokens nearly all of a step is attention, and no slow stack around it makes a library's kernel slower."""
    plan = Plan(2**20, 1, cp=8, recompute=2)
    fast, slow = (
        step_time(LLAMA_70B, plan, H100, replace(REAL, software=share)).total for share in (1, 0.3)
    )
    assert slow < 1.1 * fast
    unfused = replace(plan, flash_attention=0)
    fast, slow = (
        step_time(LLAMA_70B, unfused, H100, replace(REAL, software=share)).total
        for share in (1, 0.3)
    )
    assert slow > 3 * fast


def test_scores_written_out_pass_memory_eleven_times_and_dropout_adds_a_share_and_its_mask():
    """Forward four times and backward seven, two bytes each; models of before gated blocks drop shares out in both passes."""
    plan = Plan(2048, 8, flash_attention=0, zero_stage=0)
    scores = 8 * 2048 * 2048 * GPT_175B.heads * GPT_175B.layers
    for model, moved in ((replace(GPT_175B, gated_ffn=1), 22.0), (GPT_175B, 32.0)):
        both = [
            step_time(replace(model, **more), plan, H100, replace(PERFECT, logit_bytes=0.0))
            for more in (
                {},
                {"heads": 2 * model.heads, "kv_heads": 2 * model.heads, "head_dim": 64},
            )
        ]
        # Twice the heads of half the width leave all as it is but the number of scores.
        more = both[1].memory_bound - both[0].memory_bound
        assert more == pytest.approx(moved * scores / H100.memory_bytes_per_s, rel=1e-6)


def test_one_matmul_is_its_flops_beside_its_traffic():
    """2 m (k + ramp) n at 75% of peak, and (m k + k n + m n) values of two bytes at what a copy reaches of the bandwidth: the
    root of the sum of squares. Values of one byte leave a result's fixed work as it is."""
    found = matmul_seconds(4096, 8192, 1024, H100, replace(REAL, ramp=100.0))
    computing = 2 * 4096 * (8192 + 100) * 1024 / (0.75 * 989e12)
    values = 4096 * 8192 + 8192 * 1024 + 4096 * 1024
    moving = 2 * values / (PRODUCT_STREAM * 3.35e12)
    assert found == pytest.approx((computing**2 + moving**2) ** 0.5)
    narrow = replace(H100, peak_flops=2 * 989e12, value_bytes=1.0, memory_bytes_per_s=1e20)
    assert matmul_seconds(4096, 8192, 1024, narrow, replace(REAL, ramp=100.0)) == pytest.approx(
        (2 * 4096 * 8192 * 1024 / 2 + 2 * 4096 * 100 * 1024) / (0.75 * 989e12)
    )
    assert matmul_seconds(4096, 1e-9, 1024, narrow, replace(REAL, ramp=100.0)) < 1e-12


@pytest.mark.parametrize("virtual", [1, 2, 4])
def test_the_bubble_is_narayanans(virtual):
    """Narayanan et al. 2021, section 2.2: (p-1)/m of the ideal time, (p-1)/(v m) interleaved."""
    model = replace(LLAMA_70B, vocab=1)
    plan = Plan(4096, 32, pp=8, virtual_stages=virtual, zero_stage=0)
    step = step_time(model, plan, IDEAL, PERFECT)
    assert step.bubble / step.compute == pytest.approx(7 / (virtual * 32), rel=1e-6)


def test_tensor_parallelism_reduces_twice_a_pass():
    """Shoeybi et al. 2019, section 3: two all-reduces forward and two backward per layer, of 2 b s h bytes."""
    plan = Plan(4096, 4, tp=8, zero_stage=0)
    step = step_time(LLAMA_70B, plan, H100, replace(REAL, overlap_tensor=0.0))
    one = collectives.all_reduce(2 * 4096 * 8192, 8, NVLINK)
    assert step.tensor_parallel == pytest.approx(4 * 80 * 4 * one)


def test_tensor_groups_beyond_a_domain_use_both_networks():
    plan = Plan(4096, 4, tp=16, zero_stage=0)
    step = step_time(LLAMA_70B, plan, H100, replace(REAL, overlap_tensor=0.0))
    one = collectives.hierarchical_all_reduce(2 * 4096 * 8192, 16, 8, NVLINK, ETHERNET)
    assert step.tensor_parallel == pytest.approx(4 * 80 * 4 * one)


def test_gradients_are_reduced_over_both_networks_once():
    plan = Plan(4096, 64, dp=16, tp=2, zero_stage=1)
    step = step_time(LLAMA_70B, plan, H100, replace(REAL, overlap_data=0.0))
    weights = params_per_stage(LLAMA_70B, plan)[0]
    assert step.data_parallel == pytest.approx(
        collectives.hierarchical_all_reduce(2 * weights, 16, 4, NVLINK, ETHERNET)
    )


def test_zero_3_moves_half_as_much_again():
    """Rajbhandari et al. 2020, section 7.2.2: 3 Psi instead of 2 Psi per pass over the data."""
    one_domain = Fabric(450e9, 0.0, domain_chips=64)
    node = replace(H100, scaleup=one_domain)
    eff = replace(REAL, overlap_data=0.0)
    times = [
        step_time(LLAMA_70B, Plan(4096, 64, dp=64, zero_stage=stage), node, eff).data_parallel
        for stage in (1, 3)
    ]
    assert times[1] / times[0] == pytest.approx(1.5)
    thrice = step_time(LLAMA_70B, Plan(4096, 3 * 64, dp=64, zero_stage=3), node, eff).data_parallel
    assert thrice / times[1] == pytest.approx(3)


def test_experts_exchange_four_times_a_layer():
    """Lepikhin et al. 2020: to the experts and back, forward and backward. DeepSeek-AI 2024: once to a chip with several of
    them."""
    plan = Plan(4096, 8, dp=8, ep=8)
    step = step_time(MIXTRAL, plan, H100, replace(REAL, overlap_expert=0.0))
    one = collectives.hierarchical_all_to_all(2 * 4096 * 2 * 4096, 8, 8, NVLINK, ETHERNET, copies=2)
    assert step.expert_parallel == pytest.approx(4 * 32 * one)


def test_routing_limited_to_few_groups_leaves_fewer_machines_to_reach():
    """DeepSeek-V3: eight groups of experts, a token visits four of them: with one machine a group, four machines, of which
    half the time one is its own."""
    many = replace(MIXTRAL, experts=256, experts_per_token=8)
    limited = replace(many, routing_groups=8, routed_groups=4)
    eff = replace(REAL, overlap_expert=0.0)
    free, few = (
        step_time(model, Plan(4096, 64, dp=64, ep=64), H100, eff).expert_parallel
        for model in (many, limited)
    )
    assert few / free == pytest.approx(7 / 8 * 4 / collectives.distinct_others(8, 8), rel=3e-2)
    # Groups that lie over several machines do not keep their experts together.
    wide = Plan(4096, 128, dp=128, ep=128)
    assert step_time(limited, wide, H100, eff) == step_time(many, wide, H100, eff)
    sent = [step_bytes(model, Plan(4096, 64, dp=64, ep=64), NVLINK) for model in (many, limited)]
    assert sent[1]["expert_parallel"] < sent[0]["expert_parallel"]


def test_tokens_sent_in_eight_bits_take_three_quarters_of_the_exchange():
    """Out in one byte, back in two (DeepSeek-V3, section 3.3.3)."""
    wide, cast = (Plan(4096, 8, dp=8, ep=8, dispatch_bytes=size) for size in (2.0, 1.0))
    sent = [step_bytes(MIXTRAL, plan, NVLINK)["expert_parallel"] for plan in (wide, cast)]
    assert sent[1] / sent[0] == pytest.approx(0.75)


def test_a_schedule_without_bubbles_leaves_none():
    plan = Plan(4096, 32, pp=8)
    none = replace(REAL, bubble=0.0)
    assert step_time(LLAMA_70B, plan, H100, REAL).bubble > 0
    assert step_time(LLAMA_70B, plan, H100, none).bubble == 0
    half = step_time(LLAMA_70B, plan, H100, replace(REAL, bubble=0.5))
    assert half.bubble == pytest.approx(step_time(LLAMA_70B, plan, H100, REAL).bubble / 2)


def test_the_optimizer_reads_and_writes_its_state():
    """Adam: 12 bytes of state read and written, a 4-byte gradient read, a 2-byte weight written."""
    plan = Plan(1, 1, zero_stage=0)
    node, eff = replace(IDEAL, memory_bytes_per_s=1e12), replace(PERFECT, layer_seconds=0.0)
    moved = (
        step_time(LLAMA_70B, plan, node, eff, "adamw").other
        - step_time(LLAMA_70B, plan, node, eff, "sgd").other
    )
    weights = params_per_stage(LLAMA_70B, plan)[0]
    assert moved == pytest.approx(2 * (12 - 8) * weights / 1e12)
    assert step_time(LLAMA_70B, plan, node, eff).other == pytest.approx(30 * weights / 1e12)


def test_launches_of_experts_run_beside_the_chips_work():
    """Where work is long they add little, where it is short they are the step: the root of the sum of squares."""
    plan = Plan(4096, 16, dp=8, ep=8)
    calls = replace(REAL, software=1.0, straggling=0.0, expert_layer_seconds=0.0)
    without = step_time(MIXTRAL, plan, H100, calls).total
    few = step_time(MIXTRAL, plan, H100, replace(calls, expert_layer_seconds=1e-4)).total
    many = step_time(MIXTRAL, plan, H100, replace(calls, expert_layer_seconds=1.0)).total
    alone = 3 * 32 * 1.0 * plan.micro_batches
    assert 0 < few - without < 0.1 * 3 * 32 * 1e-4 * plan.micro_batches
    assert alone < many < alone + without


@pytest.mark.parametrize(
    ("ep", "once", "values"),
    [
        (1, 0, 2 * 3),  # read once, two copies written; read twice, summed into one
        (4, 0, 2 * 3 + 4 * 2),  # and sorted by local expert after the exchange, and back
        (8, 0, 2 * 3),  # one expert a chip: nothing to sort
        (4, 1, 2 * (2 + 4 * (1 - 0.75**2))),  # one copy for each chip that a token visits
    ],
)
def test_routed_tokens_are_moved_as_their_dispatcher_does(ep, once, values):
    plan = Plan(4096, 8, dp=8, ep=ep, dispatch_once=once)
    moved = permuted_bytes(MIXTRAL, plan)
    assert moved == pytest.approx(2 * values * 4096 * MIXTRAL.hidden)
    assert permuted_bytes(LLAMA_70B, plan) == 0
    # Kernels that order tokens as they send them leave nothing to move besides.
    assert permuted_bytes(MIXTRAL, replace(plan, permutes_in_flight=1)) == 0


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_one_hot_products_cost_what_the_masks_of_a_sequence_count(factor):
    # A chip whose products cost their FLOPs alone.
    eff = replace(REAL, ramp=0.0, memory=1.0, overlap_expert=0.0)
    node = replace(H100, memory_bytes_per_s=1e30)
    plan = Plan(4096, 64, dp=8, micro_batch=2, expert_capacity=factor)
    masked = replace(plan, one_hot_dispatch=1)
    whole, even = replace(eff, expert=1.0), replace(plan, permutes_in_flight=1)
    own, usual = (step_time(MIXTRAL, one, node, whole).compute for one in (masked, even))
    slots = factor * MIXTRAL.experts_per_token * 4096
    flops = 5 * 2 * 4096 * slots * MIXTRAL.hidden  # to the experts and back, and three gradients
    each = flops / (node.peak_flops * eff.matmul) / eff.matmul_software
    assert own - usual == pytest.approx(8 * MIXTRAL.layers * each, rel=1e-6)


def test_a_host_that_issues_operations_on_split_tensors_sets_the_pace_of_small_ones():
    slow = replace(REAL, tensor_layer_seconds=0.05)
    small, split = Plan(256, 8, dp=8, tp=1), Plan(256, 8, dp=4, tp=2)
    usual, held = (step_time(LLAMA_70B, split, H100, one).total for one in (REAL, slow))
    layers = 3 * LLAMA_70B.layers * split.micro_batches * 0.05
    assert usual < 0.1 * layers < layers < held < 1.05 * layers
    again = replace(split, recompute=2)
    assert step_time(LLAMA_70B, again, H100, slow).total > 4 / 3 * layers
    # Whole tensors are not concerned, and a chip that has more to do than its host hides it.
    whole = [step_time(LLAMA_70B, small, H100, one).total for one in (REAL, slow)]
    assert whole[0] == whole[1]
    large = replace(split, seq_len=65536)
    busy, beside = (step_time(LLAMA_70B, large, H100, one).total for one in (REAL, slow))
    assert busy < beside < 1.05 * busy


def test_chips_wait_for_the_one_that_the_router_fills_most():
    eff = replace(REAL, overlap_expert=0.0, peer_seconds=0.0)
    spread = Plan(4096, 64, dp=8, ep=8, uneven_routing=1)
    even = step_time(MIXTRAL, replace(spread, uneven_routing=0), H100, replace(eff, uneven=0.5))
    assert even.total == step_time(MIXTRAL, spread, H100, eff).total
    fuller = step_time(MIXTRAL, spread, H100, replace(eff, uneven=0.5))
    assert fuller.expert_parallel == pytest.approx(1.5 * even.expert_parallel)
    assert fuller.compute > even.compute
    # Where every chip has all experts, none waits for another's.
    whole = Plan(4096, 64, dp=8, ep=1, uneven_routing=1)
    assert step_time(MIXTRAL, whole, H100, replace(eff, uneven=0.5)).total == (
        step_time(MIXTRAL, whole, H100, eff).total
    )


def test_graphs_leave_out_launches_but_not_what_chips_wait_for_one_another():
    eff = replace(REAL, graphed=0.5, expert_call_seconds=1e-4, layer_seconds=1e-3)
    one_chip_a_layer = Plan(4096, 64, dp=16, ep=8)
    took = [
        step_time(MIXTRAL, replace(one_chip_a_layer, graphs=level), H100, eff).total
        for level in GRAPH_LEVELS.values()
    ]
    assert took[0] > took[1] > took[2] == took[3]
    bare = replace(eff, layer_seconds=0.0, expert_layer_seconds=0.0, expert_call_seconds=0.0)
    assert took[2] == step_time(MIXTRAL, one_chip_a_layer, H100, bare).total
    # Half of a layer's gaps and of its routing: the experts' own launches stay.
    half = replace(eff, layer_seconds=5e-4, expert_layer_seconds=eff.expert_layer_seconds / 2)
    assert took[1] == pytest.approx(step_time(MIXTRAL, one_chip_a_layer, H100, half).total)
    # A dense layer on several chips has its gaps whatever plays its kernels back, unless a compiler arranges the sums.
    shared = Plan(4096, 64, tp=4, dp=4)
    took = [
        step_time(LLAMA_70B, replace(shared, graphs=level), H100, eff).total
        for level in GRAPH_LEVELS.values()
    ]
    assert took[0] == took[1] == took[2] > took[3]


def test_an_exchange_that_the_schedule_overlaps_shows_less_and_never_more():
    plan = Plan(4096, 64, dp=16, ep=16)
    model, eff = replace(MIXTRAL, experts=16), replace(REAL, overlap_expert=0.1)
    usual, hidden = (
        step_time(model, own, H100, replace(eff, overlap_scheduled=0.7))
        for own in (plan, replace(plan, overlapped_exchange=1))
    )
    assert hidden.expert_parallel == pytest.approx(usual.expert_parallel * 0.3 / 0.9)
    # A schedule that hides all by itself (DualPipe) is not slowed by the note.
    whole = replace(eff, overlap_expert=1.0, overlap_scheduled=0.7)
    assert step_time(model, replace(plan, overlapped_exchange=1), H100, whole).total == (
        step_time(model, plan, H100, whole).total
    )


def test_messages_that_the_host_posts_wait_for_each_member_on_another_machine():
    plan = Plan(4096, 64, dp=16, ep=8)
    wide = replace(plan, ep=16)
    model = replace(MIXTRAL, experts=16)

    def waiting(own):
        posted, plain = (
            step_time(model, own, H100, replace(REAL, overlap_expert=0.0, peer_seconds=seconds))
            for seconds in (1e-5, 0.0)
        )
        return posted.expert_parallel - plain.expert_parallel

    assert waiting(plan) == 0
    assert waiting(wide) == pytest.approx(4 * 4 * model.layers * 8 * 1e-5)


def test_biases_slow_experts_and_nothing_else():
    plan = Plan(4096, 16, dp=8, ep=8)
    half = replace(REAL, expert_biased=0.5)
    biased = replace(MIXTRAL, expert_biases=1)
    assert step_time(MIXTRAL, plan, H100, half).total == step_time(MIXTRAL, plan, H100, REAL).total
    assert step_time(biased, plan, H100, half).compute > step_time(biased, plan, H100, REAL).compute
    dense = replace(LLAMA_70B, expert_biases=1)
    assert step_time(dense, plan, H100, half) == step_time(LLAMA_70B, plan, H100, REAL)


def test_collectives_cannot_hide_behind_the_same_work_twice():
    """With slow links the visible part is all communication less one pass of what a chip does else, however many overlap."""
    slow = replace(
        H100, scaleup=replace(NVLINK, bytes_per_s=1e9), scaleout=replace(ETHERNET, bytes_per_s=1e9)
    )
    eager = replace(REAL, overlap_tensor=1.0, overlap_expert=1.0, overlap_data=1.0, straggling=0.0)
    plan = Plan(4096, 16, tp=2, dp=8, ep=8, zero_stage=3)
    shown = step_time(MIXTRAL, plan, slow, eager)
    alone = step_time(
        MIXTRAL,
        plan,
        slow,
        replace(eager, overlap_tensor=0.0, overlap_expert=0.0, overlap_data=0.0),
    )

    def visible(step):
        return step.tensor_parallel + step.expert_parallel + step.data_parallel

    hidden = visible(alone) - visible(shown)
    working = shown.compute + shown.memory_bound + shown.other
    assert 0 < hidden <= working * (1 + 1e-12)


def test_model_flops_are_korthikantis_equation_7():
    """72 B L s h^2 (1 + s / 6h + V / 12 h L)."""
    plan = Plan(2048, 64)
    b, layers, s, h, v = 64, 96, 2048, 12288, 51200
    expected = 72 * b * layers * s * h**2 * (1 + s / (6 * h) + v / (12 * h * layers))
    assert training_step.model_flops_per_step(GPT_175B, plan) == pytest.approx(expected)


def test_recomputation_adds_a_forward_pass_of_what_is_recomputed():
    """Full: the layers' forward FLOPs (Narayanan et al. 2021, equation 3). Selective: the attention core's forward,
    4 B L s^2 h (Korthikanti et al. 2022, appendix A)."""
    b, layers, s, h, v = 64, 96, 2048, 12288, 51200
    none, selective, full = (
        training_step.hardware_flops_per_step(
            GPT_175B, Plan(s, b, recompute=level, flash_attention=0)
        )
        for level in (0, 1, 2)
    )
    assert none == training_step.model_flops_per_step(GPT_175B, Plan(s, b))
    assert selective - none == pytest.approx(4 * b * layers * s**2 * h)
    assert full == pytest.approx(
        96 * b * layers * s * h**2 * (1 + s / (6 * h) + v / (16 * h * layers))
    )


models = st.sampled_from([
    LLAMA_70B, MIXTRAL, GPT_175B, DEEPSEEK_V3,
])  # fmt: skip
plans = st.builds(
    lambda seq_len, micro, rounds, tp, pp, dp, cp, ep, virtual, zero, sp, recompute, flash: Plan(
        seq_len, micro * dp * rounds, micro, tp, pp, dp, cp, ep, virtual if pp > 1 else 1, zero, sp, recompute, flash
    ),
    st.sampled_from([512, 4096, 32768]), st.integers(1, 4), st.integers(1, 16), st.sampled_from([1, 2, 8, 16]),
    st.sampled_from([1, 2, 8]), st.sampled_from([1, 3, 16, 256]), st.sampled_from([1, 2]), st.sampled_from([1, 2, 8]),
    st.sampled_from([1, 2]), st.integers(0, 3), st.integers(0, 1), st.integers(0, 2), st.integers(0, 1),
)  # fmt: skip
share = st.floats(0.05, 1.0)
efficiencies = st.builds(
    Efficiency, matmul=share, attention=share, memory=share, ramp=st.floats(0, 500), elementwise=st.floats(0.3, 3), expert=share, overlap_data=st.floats(0, 1),
    overlap_tensor=st.floats(0, 1), overlap_expert=st.floats(0, 1), layer_seconds=st.floats(0, 1e-3),
    expert_layer_seconds=st.floats(0, 1e-3), step_seconds=st.floats(0, 0.1), software=share, matmul_software=share,
    straggling=st.floats(0, 0.05),
)  # fmt: skip
fabrics = st.builds(
    lambda rate, latency, efficiency, domain, topology: Fabric(rate, latency, efficiency, bulk_step_latency_s=latency, domain_chips=domain, topology=topology),
    st.floats(1e9, 1e13), st.floats(0, 1e-4), share, st.sampled_from([1, 2, 8, 64]), st.sampled_from(["switched", "mesh", "torus2d", "torus3d", "ring"]),
)  # fmt: skip
nodes = st.builds(
    lambda wide, gain, size, memory, inner, outer: Node(wide * gain, wide, size, memory, inner, outer),
    st.floats(1e12, 1e16), st.floats(0.5, 4), st.sampled_from([0.5625, 1.0, 2.0, 4.0]), st.floats(1e10, 1e14), fabrics,
    fabrics.map(lambda fabric: replace(fabric, topology="fat_tree", domain_chips=1e9)),
)  # fmt: skip
ROUNDING = 1 + 1e-9


@given(models, plans, nodes, efficiencies)
def test_parts_add_up_and_none_is_negative(model, plan, node, eff):
    step = step_time(model, plan, node, eff)
    parts = list(vars(step).values())
    assert step.total == pytest.approx(sum(parts)) and min(parts) >= 0 and np.isfinite(step.total)


@given(models, plans, nodes, efficiencies, st.floats(1, 100))
def test_more_bandwidth_and_a_higher_peak_never_slow_a_step(model, plan, node, eff, gain):
    before = step_time(model, plan, node, eff).total * ROUNDING
    faster = [
        replace(node, memory_bytes_per_s=node.memory_bytes_per_s * gain),
        replace(node, scaleup=replace(node.scaleup, bytes_per_s=node.scaleup.bytes_per_s * gain)),
        replace(
            node, scaleout=replace(node.scaleout, bytes_per_s=node.scaleout.bytes_per_s * gain)
        ),
        replace(node, peak_flops=node.peak_flops * gain),
        replace(node, wide_peak_flops=node.wide_peak_flops * gain),
    ]
    for better in faster:
        assert step_time(model, plan, better, eff).total <= before


@given(models, plans, nodes, efficiencies)
def test_better_software_never_slows_a_step(model, plan, node, eff):
    before = step_time(model, plan, node, eff).total * ROUNDING
    for name in (
        "matmul",
        "attention",
        "memory",
        "expert",
        "overlap_data",
        "overlap_tensor",
        "overlap_expert",
        "software",
        "matmul_software",
    ):
        assert step_time(model, plan, node, replace(eff, **{name: 1.0})).total <= before


def test_faster_experts_behind_an_exchange_do_not_move_the_head_onto_the_fullest_stage():
    """61 layers on two stages: what a layer waits for its exchange counts where head and layers are balanced."""
    slow = Fabric(1e9, 0.0, 1.0, domain_chips=1)
    node = Node(2e12, 1e12, 0.5625, 3.2e11, slow, replace(slow, domain_chips=1e9))
    plan = Plan(512, 1, 1, tp=8, pp=2)
    times = [
        step_time(DEEPSEEK_V3, plan, node, replace(PERFECT, expert=share, overlap_expert=1.0)).total
        for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    ]
    for slower, faster in zip(times, times[1:], strict=False):
        assert faster <= slower * ROUNDING


@given(models, plans, nodes, efficiencies)
def test_a_larger_batch_takes_longer_but_costs_less_per_sequence(model, plan, node, eff):
    twice = step_time(model, replace(plan, global_batch=2 * plan.global_batch), node, eff).total
    once = step_time(model, plan, node, eff).total
    assert once <= twice * ROUNDING and twice <= 2 * once * ROUNDING


@given(models, plans, nodes, efficiencies)
def test_recomputing_and_longer_sequences_take_longer(model, plan, node, eff):
    times = [
        step_time(model, replace(plan, recompute=level, recompute_share=1), node, eff).compute
        for level in (0, 1, 2)
    ]
    assert times == sorted(times)
    assert (
        step_time(model, plan, node, eff).compute
        < step_time(model, replace(plan, seq_len=2 * plan.seq_len), node, eff).compute
    )


@settings(max_examples=50)
@given(models, st.lists(plans, min_size=2, max_size=5), nodes, efficiencies)
def test_scalar_and_array_plans_agree(model, rows, node, eff):
    together = Plan(
        **{
            name: np.array([getattr(row, name) for row in rows], float)
            for name in rows[0].__dataclass_fields__
        }
    )
    many = step_time(model, together, node, eff)
    for index, row in enumerate(rows):
        one = step_time(model, row, node, eff)
        for name in StepTime.__dataclass_fields__:
            assert np.broadcast_to(getattr(many, name), len(rows))[index] == pytest.approx(
                getattr(one, name), rel=1e-9, abs=1e-15
            )


def test_the_output_head_is_shared_over_the_stages():
    """Stacks give the stage with the head fewer layers: with one product only, stages take a share of all the work."""
    model = replace(LLAMA_70B, vocab=256000)
    one = step_time(model, Plan(4096, 64, zero_stage=0), IDEAL, PERFECT)
    four = step_time(model, Plan(4096, 64, pp=4, zero_stage=0), IDEAL, PERFECT)
    assert four.compute == pytest.approx(one.compute / 4)


def test_the_fullest_stage_decides_where_layers_are_uneven():
    """61 layers on 16 stages: four on the fullest, as slow as 64 layers would be."""
    uneven = replace(LLAMA_70B, layers=61, vocab=1)
    even = replace(LLAMA_70B, layers=64, vocab=1)
    plan = Plan(4096, 64, pp=16, zero_stage=0)
    slow, fast = (step_time(model, plan, IDEAL, PERFECT).compute for model in (uneven, even))
    assert slow == pytest.approx(fast, rel=1e-6)


def test_frozen_weights_save_a_third_of_the_products():
    model = replace(LLAMA_70B, vocab=1)
    plan = Plan(128, 64, zero_stage=0)
    whole = step_time(model, plan, IDEAL, PERFECT).compute
    adapted = step_time(model, replace(plan, lora_rank=1), IDEAL, PERFECT).compute
    assert 0.66 < adapted / whole < 0.69


def test_offloaded_states_wait_for_the_host():
    plan = Plan(4096, 8, dp=8, zero_stage=3)
    here = step_time(LLAMA_70B, plan, H100, REAL).other
    states = step_time(LLAMA_70B, replace(plan, offload=1), H100, REAL).other
    assert here < states


def test_offloaded_weights_come_in_while_the_layer_before_computes():
    model = replace(LLAMA_70B, vocab=1)
    plan = Plan(4096, 8, dp=8, zero_stage=3, recompute=2)

    def fetched(own):
        levels = (replace(own, offload=level) for level in (1, 2))
        states, everything = (step_time(model, level, H100, PERFECT).other for level in levels)
        return everything - states

    long = replace(plan, seq_len=1 << 16, global_batch=64, micro_batch=8)
    assert fetched(long) == pytest.approx(0.0, abs=1e-9)
    short = replace(plan, seq_len=1)
    shard = 2 * sum(params_per_stage(model, plan)) / 8 / H100.host_bytes_per_s
    assert 2.5 * shard < fetched(short) < 3 * shard


def test_activations_go_to_the_host_and_back_behind_the_work():
    model = replace(LLAMA_70B, vocab=1)
    plan = Plan(4096, 8, dp=8, zero_stage=3, recompute=2)

    def waited(own):
        here, there = (
            step_time(model, replace(own, activation_offload=level), H100, PERFECT).other
            for level in (0, 2)
        )
        return there - here

    assert waited(plan) == pytest.approx(0.0, abs=1e-9)
    # On a link so slow that the work is nothing beside it: every layer's input out once and in once.
    slow = replace(H100, host_bytes_per_s=1e6)
    here = step_time(model, plan, slow, PERFECT)
    there = step_time(model, replace(plan, activation_offload=2), slow, PERFECT)
    bytes_ = 2 * 4096 * model.hidden * model.layers
    work = here.compute + here.memory_bound
    assert there.total - here.total == pytest.approx(2 * bytes_ / 1e6 - work, rel=1e-3)


WAFER = replace(
    H100,
    peak_flops=12.5e15,
    wide_peak_flops=12.5e15,
    memory_bytes_per_s=21e15,
    weight_bytes_per_s=150e9,
)
STREAMED = Plan(8192, 4096, dp=64, zero_stage=0, recompute=2, streamed=1)


def waited(plan, node=WAFER):
    return step_time(LLAMA_70B, plan, node, PERFECT).data_parallel


def test_weights_stream_once_a_pass_of_every_micro_batch_behind_the_work():
    """Forward, forward again and backward wait for 2 bytes a weight each, less what they compute meanwhile."""
    small = replace(STREAMED, micro_batch=1)
    step = step_time(LLAMA_70B, small, WAFER, PERFECT)
    weights = 2 * params_per_stage(LLAMA_70B, small)[0]
    one = (step.compute + step.memory_bound) / small.micro_batches / 4
    stream = weights / 150e9
    expected = 2 * max(stream - one, 0) + max(stream - 2 * one, 0)
    turning = 2 * weights / LLAMA_70B.layers / 150e9
    assert expected > 0 and step.data_parallel == pytest.approx(64 * expected + turning)


def test_a_micro_batch_that_works_longer_than_its_weights_stream_waits_for_none():
    large = replace(STREAMED, micro_batch=64)
    assert waited(large) < 0.01 * waited(replace(STREAMED, micro_batch=1))
    assert waited(replace(STREAMED, micro_batch=1)) > 1.9 * waited(replace(STREAMED, micro_batch=2))


def test_more_systems_with_as_many_more_sequences_wait_no_longer():
    """One broadcast serves all of them, and the network adds their gradients up on the way."""
    more = replace(STREAMED, dp=512, global_batch=8 * 4096)
    assert waited(more) == pytest.approx(waited(STREAMED))
    assert waited(STREAMED, replace(WAFER, weight_bytes_per_s=300e9)) < waited(STREAMED)
    assert step_bytes(LLAMA_70B, STREAMED, FAST)["data_parallel"] == pytest.approx(
        2.0 * params_per_stage(LLAMA_70B, STREAMED)[0] * STREAMED.micro_batches
    )


def test_the_store_steps_the_optimizer_and_frozen_weights_send_adapters_gradients_alone():
    step = step_time(LLAMA_70B, STREAMED, WAFER, PERFECT)
    assert step.other == step_time(LLAMA_70B, STREAMED, WAFER, PERFECT, "sgd").other
    adapted = replace(STREAMED, lora_rank=16)
    assert waited(replace(adapted, gradient_bytes=4.0)) < waited(
        replace(STREAMED, gradient_bytes=4.0)
    )


def test_frozen_weights_hide_their_stream_behind_two_products_not_three():
    small = replace(STREAMED, micro_batch=1, lora_rank=16)
    step = step_time(LLAMA_70B, small, WAFER, PERFECT)
    stream = 2 * params_per_stage(LLAMA_70B, small)[0] / 150e9
    one = (step.compute + step.memory_bound) / small.micro_batches / 3
    assert step.data_parallel == pytest.approx(64 * 3 * (stream - one), rel=1e-3)


def test_only_gated_models_turn_queries_and_keys_by_position():
    """Llama's and later shapes do; GPT-3's, BLOOM's and MPT's learn positions or bias the scores."""
    plan = Plan(2048, 8)
    gated = replace(GPT_175B, gated_ffn=1)
    turned = 8 * 128 * 2 * 96 * 2048
    wider = 2 * GPT_175B.ffn * 2048
    more = elementwise_bytes(gated, plan) - elementwise_bytes(GPT_175B, plan)
    assert more == pytest.approx(turned + wider)


def test_one_norm_for_both_blocks_saves_one_read_and_one_write():
    """Of a hidden state, in 16 bits; a norm each saves nothing."""
    plan = Plan(2048, 8)
    plain, one, two = (
        elementwise_bytes(replace(GPT_175B, parallel_norms=norms), plan) for norms in (0, 1, 2)
    )
    assert plain - one == pytest.approx(2 * 2 * GPT_175B.hidden * 2048)
    assert two == plain


def test_an_activation_written_out_moves_every_operations_values():
    """0.5 x (1 + tanh(c (x + k x^3))) is eight kernels forward, of 18 values, and 28 backward with the gradients' sums; one
    kernel reads and writes a value a pass. Under autocast all of it has 32 bits."""
    plan, inner = Plan(2048, 8), 2048 * GPT_175B.ffn
    gelu = replace(GPT_175B, tanh_gelu=1)
    apart = replace(plan, written_out_bytes=2)
    assert written_out_bytes(gelu, apart) == pytest.approx((16 * 2 * inner, 24 * 2 * inner))
    cast = written_out_bytes(gelu, replace(plan, written_out_bytes=4))
    assert cast == pytest.approx((68 * inner, 104 * inner))
    assert written_out_bytes(gelu, plan) == written_out_bytes(GPT_175B, apart) == (0.0, 0.0)
    halved = written_out_bytes(gelu, replace(apart, tp=2))
    assert halved == pytest.approx((16 * inner, 24 * inner))


def test_an_activation_written_out_takes_its_traffic_and_again_where_layers_are_recomputed():
    gelu = replace(GPT_175B, tanh_gelu=1)

    def streamed(written, level):
        plan = Plan(2048, 8, recompute=level, written_out_bytes=written)
        return step_time(gelu, plan, H100, replace(PERFECT, software=0.5)).memory_bound

    moved = 8 * GPT_175B.layers * 2048 * GPT_175B.ffn / H100.memory_bytes_per_s
    assert streamed(2, 0) - streamed(0, 0) == pytest.approx(80 * moved)
    assert streamed(2, 2) - streamed(0, 2) == pytest.approx((80 + 32) * moved)


def test_fused_attention_has_all_scores_to_do_where_nothing_is_masked():
    """An ideal chip then takes the FLOPs that a model is said to have (but for the backward pass's fifth product)."""
    plan = Plan(4096, 8, zero_stage=0)
    causal, both = (replace(GPT_175B, bidirectional=way) for way in (0, 1))
    masked = training_step.masked_flops_per_step
    assert masked(causal, plan) > 0 == masked(both, plan)
    times = [step_time(model, plan, IDEAL, PERFECT).compute for model in (causal, both)]
    scores = plan.tokens_per_step * attention_score_flops_per_token(GPT_175B, 4096) / 1e15
    assert times[1] - times[0] == pytest.approx(scores / 2 * (1 + 2.5))


def test_adafactor_of_pytorch_passes_over_the_weights_many_times():
    """17 values a weight of its own width (torch/optim/_adafactor.py), where a fused step reads states, gradient and weight
    once and writes them once."""
    fused, chained = (Plan(2048, 8, zero_stage=0, factored=one) for one in (0, 1))
    own = sum(params_per_stage(GPT_175B, fused)) / H100.memory_bytes_per_s

    def longer(state_bytes):
        times = [step_time(GPT_175B, one, H100, PERFECT, state_bytes) for one in (chained, fused)]
        return times[0].other - times[1].other

    assert longer(4.0) == pytest.approx((17 * 4 - 14) * own)
    assert longer(0.0) == pytest.approx((17 * 2 - 6) * own)
