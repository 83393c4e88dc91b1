"""How long one training step takes, part by part.

A step is matmuls at a shape-dependent utilisation, operations bound by memory bandwidth, collectives on the
fabric their group spans, the pipeline's bubble, the optimizer's pass over the weights, and overheads. Each
part is a closed formula; the few measured constants come in as an `Efficiency`. All fields may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core import collectives
from training_moat.core.elementwise import (
    Number,
    log2,
    logical_and,
    logical_or,
    maximum,
    minimum,
    where,
)
from training_moat.core.fabrics import Fabric
from training_moat.core.memory import OPTIMIZER_BYTES, expert_data_ranks, params_per_stage
from training_moat.core.plan import Plan
from training_moat.core.workload import (
    Transformer,
    attended_tokens,
    attention_params,
    training_flops_per_token,
)

FLASH_BACKWARD_RATIO = 2.5
"""Fused attention's backward pass does five matmuls to the forward pass's two (Dao 2023, section 3.1)."""
UNFUSED_FORWARD_BYTES_PER_SCORE = 11.0
"""Memory traffic of unfused attention per score: write it, read and write it in softmax, read it, write it
and a one-byte mask in dropout, read it for the product with the values (16-bit values; Dao et al. 2022, 3.1)."""
UNFUSED_BACKWARD_BYTES_PER_SCORE = 15.0
"""The same for the backward pass: the score gradients pass dropout and softmax and feed two products."""
CAST_BYTES_PER_VALUE = 4.0
"""Casting to 8 bits reads two bytes and writes the value and its transpose (Micikevicius et al. 2022)."""
NORM_SHARE = 0.5
"""Share of a layer's element-wise traffic in the norms and activation functions that light recomputation repeats."""
LOGIT_BYTES_PER_VALUE = 24.0
"""Traffic per logit: product out, FP32 copy, softmax in and out, gradient in and out."""


@dataclass(frozen=True)
class Node:
    """One chip inside its cluster, as training sees it.

    `peak_flops` is the dense peak of the matmul format, `wide_peak_flops` of the 16-bit format that attention
    and the vocabulary layer keep; `value_bytes` the matmul format's bytes per value. `scaleup` joins
    `scaleup.domain_chips` chips, `scaleout` the rest.
    """

    peak_flops: Number
    wide_peak_flops: Number
    value_bytes: Number
    memory_bytes_per_s: Number
    scaleup: Fabric
    scaleout: Fabric


@dataclass(frozen=True)
class Efficiency:
    """The measured constants of a chip and its software.

    `matmul` and `attention`: share of peak a very large matmul and fused attention reach. `memory`: share of
    the data sheet's memory bandwidth that streams sustain. `reread`: how often a matmul moves each operand
    (tiles fetch them anew, edges waste them). `expert`: share of the dense matmul rate that
    grouped expert matmuls keep. `overlap_data`, `overlap_tensor`, `overlap_expert`: share of those collectives
    that hides behind computation. `layer_seconds`: fixed cost per layer and pass (launches, host), and
    `expert_layer_seconds` and `expert_call_seconds` what routing and each local expert add to it. `step_seconds`:
    fixed cost per step. `software`: how fast the stack's own kernels (attention, norms, casts, host) are against
    the reference stack, `matmul_software` how well it uses the vendor's matmuls and `expert_software` how fast its
    expert layers are. `straggling`: slow-down per doubling of the data-parallel replicas.
    """

    matmul: Number
    attention: Number
    memory: Number
    reread: Number = 1.0
    expert: Number = 1.0
    overlap_data: Number = 0.9
    overlap_tensor: Number = 0.0
    overlap_expert: Number = 0.0
    layer_seconds: Number = 0.0
    expert_layer_seconds: Number = 0.0
    expert_call_seconds: Number = 0.0
    expert_software: Number = 1.0
    step_seconds: Number = 0.0
    software: Number = 1.0
    matmul_software: Number = 1.0
    straggling: Number = 0.0


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step by part; the parts add up to `total`."""

    compute: Number
    memory_bound: Number
    tensor_parallel: Number
    pipeline: Number
    bubble: Number
    data_parallel: Number
    expert_parallel: Number
    other: Number

    @property
    def total(self) -> Number:
        """Seconds of the whole step."""
        return (
            self.compute
            + self.memory_bound
            + self.tensor_parallel
            + self.pipeline
            + self.bubble
            + self.data_parallel
            + self.expert_parallel
            + self.other
        )


def micro_tokens(plan: Plan) -> Number:
    """Tokens of one micro-batch that pass through one chip's layers."""
    return plan.micro_batch * plan.seq_len / plan.cp


def matmul_seconds(
    rows: Number,
    inner: Number,
    columns: Number,
    peak: Number,
    value_bytes: Number,
    node: Node,
    eff: Efficiency,
) -> Number:
    """One (rows x inner) by (inner x columns) product: its FLOPs at the large-matmul rate plus its operands'
    and result's traffic. Adding the two, rather than taking the larger, makes utilisation fall smoothly for
    small shapes, as measured tile and wave quantisation does (Williams et al. 2009; NVIDIA matmul guide)."""
    flops = 2 * rows * inner * columns
    traffic = value_bytes * (rows * inner + inner * columns) + 2 * rows * columns
    return flops / (peak * eff.matmul) + eff.reread * traffic / (
        node.memory_bytes_per_s * eff.memory
    )


def _dense_matmul_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Forward weight matmuls of the mean layer, one micro-batch, without experts."""
    m, h, peak, size = micro_tokens(plan), model.hidden, node.peak_flops, node.value_bytes
    output = model.heads * model.value_dim / plan.tp
    entering = (attention_params(model) - model.heads * model.value_dim * h) / h / plan.tp
    moe_share = model.moe_layers / model.layers
    shared = model.shared_experts * model.expert_ffn
    width = maximum((1 - moe_share) * model.ffn + moe_share * shared, 1e-9) / plan.tp
    return (
        matmul_seconds(m, h, entering, peak, size, node, eff)
        + matmul_seconds(m, output, h, peak, size, node, eff)
        + matmul_seconds(m, h, (1 + model.gated_ffn) * width, peak, size, node, eff)
        + matmul_seconds(m, width, h, peak, size, node, eff)
    )


def _latent_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Forward up-projections of latent attention (none for others), one layer and micro-batch."""
    m, q, kv = micro_tokens(plan), model.q_lora_rank, model.kv_lora_rank
    queries = matmul_seconds(
        m,
        q,
        model.heads * model.query_key_dim / plan.tp,
        node.peak_flops,
        node.value_bytes,
        node,
        eff,
    )
    widths = model.heads * (model.qk_nope_head_dim + model.value_dim) / plan.tp
    keys_values = matmul_seconds(m, kv, widths, node.peak_flops, node.value_bytes, node, eff)
    return where(kv > 0, queries + keys_values, 0.0)


def _expert_matmul_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Forward matmuls of the routed experts in the mean layer: every local expert works on its own few rows."""
    experts = maximum(model.experts, 1)
    groups = maximum(plan.ep, 1)
    local = experts / groups
    split = where(plan.ep >= plan.tp, 1, plan.tp)
    tokens_seen = (
        micro_tokens(plan)
        * groups
        * model.experts_per_token
        / where(plan.ep >= plan.tp, plan.tp, 1)
    )
    rows = tokens_seen / experts
    width = maximum(model.expert_ffn, 1e-9) / split
    one = matmul_seconds(
        rows,
        model.hidden,
        (1 + model.gated_ffn) * width,
        node.peak_flops,
        node.value_bytes,
        node,
        eff,
    )
    two = matmul_seconds(rows, width, model.hidden, node.peak_flops, node.value_bytes, node, eff)
    return (
        model.moe_layers / model.layers * local * (one + two) / (eff.expert * eff.expert_software)
    )


def _expert_overhead_seconds(model: Transformer, plan: Plan, eff: Efficiency) -> Number:
    """Fixed cost of one pass of the mean layer's routing and of its local experts, each with products of its own."""
    local = maximum(model.experts, 1) / maximum(plan.ep, 1)
    fixed = eff.expert_layer_seconds + local * eff.expert_call_seconds
    return model.moe_layers / model.layers * fixed / eff.expert_software


def _attention_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency
) -> tuple[Number, Number, Number]:
    """Attention core of one layer and micro-batch: (compute forward, memory forward, backward over forward).

    Fused kernels skip the masked half of the scores; unfused ones compute it and move every score.
    """
    m = micro_tokens(plan)
    context = attended_tokens(model, plan.seq_len)
    flops = 2 * m * context * model.heads * (model.query_key_dim + model.value_dim) / plan.tp
    fused = flops / 2 / (node.wide_peak_flops * eff.attention)
    plain = flops / (node.wide_peak_flops * eff.matmul)
    scores = m * context * model.heads / plan.tp
    traffic = scores * UNFUSED_FORWARD_BYTES_PER_SCORE / (node.memory_bytes_per_s * eff.memory)
    is_fused = plan.flash_attention > 0
    backward_traffic = UNFUSED_BACKWARD_BYTES_PER_SCORE / UNFUSED_FORWARD_BYTES_PER_SCORE
    return where(is_fused, fused, plain), where(is_fused, 0.0, traffic), backward_traffic


def elementwise_bytes(model: Transformer, plan: Plan) -> Number:
    """Forward traffic of one layer's norms, residuals, activation functions, position codes and, for 8-bit
    matmuls and mixtures of experts, of the casts and the permutations, for one micro-batch."""
    m, h = micro_tokens(plan), model.hidden
    replicated = 20 * h / where(plan.sequence_parallel > 0, plan.tp, 1)
    moe_share = model.moe_layers / model.layers
    visited = (model.experts_per_token + model.shared_experts) * model.expert_ffn
    width = (1 - moe_share) * model.ffn + moe_share * visited
    rotary = 8 * model.head_dim * (model.heads + model.kv_heads)
    # Permute, sort after the exchange, unpermute and combine: each reads and writes every routed token.
    permuted = moe_share * 16 * model.experts_per_token * h
    return m * (replicated + ((4 + 2 * model.gated_ffn) * width + rotary + permuted) / plan.tp)


def _cast_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Forward casts of one layer's matmul inputs to a format of at most 8 bits (nothing for 16-bit runs)."""
    moe_share = model.moe_layers / model.layers
    visited = (model.experts_per_token + model.shared_experts) * model.expert_ffn
    inputs = (
        2 + moe_share * model.experts_per_token
    ) * model.hidden + model.heads * model.value_dim / plan.tp
    inputs = inputs + ((1 - moe_share) * model.ffn + moe_share * visited) / plan.tp
    traffic = CAST_BYTES_PER_VALUE * micro_tokens(plan) * inputs
    return where(node.value_bytes < 2, traffic / (node.memory_bytes_per_s * eff.memory), 0.0)


def _vocabulary_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency
) -> tuple[Number, Number]:
    """Output projection forward and backward, and the softmax over the vocabulary, one micro-batch."""
    m = micro_tokens(plan)
    columns = model.vocab / plan.tp
    product = matmul_seconds(m, model.hidden, columns, node.wide_peak_flops, 2.0, node, eff)
    softmax = LOGIT_BYTES_PER_VALUE * m * columns / (node.memory_bytes_per_s * eff.memory)
    return 3 * product, softmax


def _hidden(communication: Number, computation: Number, overlap: Number) -> Number:
    """Seconds of a collective that hide behind `computation` when a share `overlap` of it may."""
    return minimum(overlap * communication, computation)


def _group(plan: Plan, node: Node, inner_size: Number, ranks: Number) -> Number:
    """Members of a group of `ranks` inside one scale-up domain, when neighbours in it are `inner_size` apart."""
    return minimum(ranks, maximum(node.scaleup.domain_chips / inner_size, 1))


def _tensor_parallel_seconds(model: Transformer, plan: Plan, node: Node) -> Number:
    """Forward all-reduces of one layer (attention and feed-forward; Shoeybi et al. 2019, section 3) plus the
    key-value exchange of context parallelism (Liu et al. 2023), one micro-batch."""
    m = micro_tokens(plan)
    message = 2 * m * model.hidden
    local = _group(plan, node, 1, plan.tp)
    reduce = 2 * collectives.hierarchical_all_reduce(
        message, plan.tp, local, node.scaleup, node.scaleout
    )
    kv_width = where(
        model.kv_lora_rank > 0, model.heads * model.query_key_dim, model.kv_heads * model.head_dim
    )
    ring = 2 * 2 * m * plan.cp * kv_width / plan.tp
    cp_local = _group(plan, node, plan.tp, plan.cp)
    gather = collectives.hierarchical_all_gather(
        ring, plan.cp, cp_local, node.scaleup, node.scaleout
    )
    return reduce + gather


def _expert_exchange_seconds(model: Transformer, plan: Plan, node: Node) -> Number:
    """Forward all-to-alls of the mean layer: tokens to their experts and back (Lepikhin et al. 2020)."""
    m = micro_tokens(plan)
    groups = maximum(plan.ep, 1)
    message = 2 * m * model.experts_per_token * model.hidden / where(plan.ep >= plan.tp, plan.tp, 1)
    local = _group(plan, node, 1, groups)
    one = collectives.hierarchical_all_to_all(
        message, groups, local, node.scaleup, node.scaleout, model.experts_per_token
    )
    return model.moe_layers / model.layers * 2 * one


def _stage_hop_seconds(model: Transformer, plan: Plan, node: Node) -> Number:
    """Handing one micro-batch to the next pipeline stage and its gradient back (the tensor-parallel ranks
    each send their share: Narayanan et al. 2021, section 4.1)."""
    message = 2 * micro_tokens(plan) * model.hidden / plan.tp
    inside = plan.tp * plan.cp * plan.pp <= node.scaleup.domain_chips
    near = collectives.send_recv(message, node.scaleup)
    far = collectives.send_recv(message, node.scaleout)
    return where(plan.pp > 1, 2 * plan.virtual_stages * where(inside, near, far), 0.0)


def _gradient_seconds(model: Transformer, plan: Plan, node: Node) -> tuple[Number, Number]:
    """Data-parallel traffic per step: (seconds outside ZeRO-3, seconds under ZeRO-3).

    Without ZeRO-3 the gradients are reduced and the weights gathered once a step; under it the weights are
    gathered twice and the gradients scattered once for every micro-batch (Rajbhandari et al. 2020, section 7).
    """
    dense, expert = params_per_stage(model, plan)
    ranks, expert_ranks = plan.dp * plan.cp, expert_data_ranks(plan)
    local = _group(plan, node, plan.tp, ranks)
    expert_local = _group(plan, node, maximum(plan.ep, 1), expert_ranks)
    levels = (node.scaleup, node.scaleout)
    once = collectives.hierarchical_all_reduce(2 * dense, ranks, local, *levels)
    once = once + collectives.hierarchical_all_reduce(
        2 * expert, expert_ranks, expert_local, *levels
    )
    gather = collectives.hierarchical_all_gather(2 * dense, ranks, local, *levels)
    gather = gather + collectives.hierarchical_all_gather(
        2 * expert, expert_ranks, expert_local, *levels
    )
    return once, 3 * gather * plan.micro_batches


def _optimizer_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency, optimizer: str
) -> Number:
    """One pass over gradients, states and weights at the sustained memory bandwidth."""
    dense, expert = params_per_stage(model, plan)
    sharded = plan.zero_stage >= 1
    dense = dense / where(sharded, plan.dp * plan.cp, 1)
    expert = expert / where(sharded, expert_data_ranks(plan), 1)
    traffic = 2 * OPTIMIZER_BYTES[optimizer] + 4 + 2
    return traffic * (dense + expert) / (node.memory_bytes_per_s * eff.memory)


def _straggling_factor(plan: Plan, eff: Efficiency) -> Number:
    """Every step waits for the slowest of the replicas, whose expected excess grows with the logarithm of
    their number (Dean and Barroso 2013, on stragglers)."""
    return eff.straggling * log2(maximum(plan.dp * plan.cp, 1))


def step_time(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency, optimizer: str = "adamw"
) -> StepTime:
    """Seconds of one training step of `model` under `plan` on `node` chips, by part."""
    layers, batches = model.layers / plan.pp, plan.micro_batches
    matmul = _dense_matmul_seconds(model, plan, node, eff) + _expert_matmul_seconds(
        model, plan, node, eff
    )
    core, core_traffic, core_backward = _attention_seconds(model, plan, node, eff)
    moe_share = model.moe_layers / model.layers
    # Stacks that fuse the experts' products also fuse the operations around them.
    fused = 1 - moe_share + moe_share / eff.expert_software
    streams = fused * elementwise_bytes(model, plan) / (node.memory_bytes_per_s * eff.memory)
    casts = fused * _cast_seconds(model, plan, node, eff)
    # Passes over a layer: one forward, two forward-equivalents backward, one more when recomputed.
    again = plan.recomputed_layers
    unfused_again = where(
        logical_or(plan.flash_attention > 0, plan.recompute >= 2), again, plan.recompute
    )
    core_back = where(plan.flash_attention > 0, FLASH_BACKWARD_RATIO, 2.0)
    stack = 1 / eff.software
    light = where(logical_and(plan.recompute == 1, plan.flash_attention > 0), 1.0, 0.0)
    matmul = (3 + again) * matmul + light * _latent_seconds(model, plan, node, eff)
    compute = matmul / eff.matmul_software + stack * (1 + unfused_again + core_back) * core
    traffic = (
        (3 + again + light * NORM_SHARE) * streams
        + (2 + again) * casts
        + (1 + unfused_again + core_backward) * core_traffic
    )
    overhead = (3 + again) * (
        fused * eff.layer_seconds + _expert_overhead_seconds(model, plan, eff)
    )
    vocabulary, softmax = _vocabulary_seconds(model, plan, node, eff)
    tensor = (2 + again) * _tensor_parallel_seconds(model, plan, node)
    expert = (2 + again) * _expert_exchange_seconds(model, plan, node)
    # Collectives share the computation they hide behind: what covers one cannot cover another.
    tensor_hidden = _hidden(tensor, compute, eff.overlap_tensor)
    expert_hidden = _hidden(expert, compute - tensor_hidden, eff.overlap_expert)
    tensor, expert = tensor - tensor_hidden, expert - expert_hidden
    hop = _stage_hop_seconds(model, plan, node)
    stage_compute = layers * compute + vocabulary / eff.matmul_software
    stage_traffic = stack * (layers * traffic + softmax)
    stage_overhead = stack * layers * overhead
    stage = stage_compute + stage_traffic + stage_overhead + layers * (tensor + expert) + hop
    # While the pipeline fills and drains, micro-batches pass the earlier stages: no vocabulary work there.
    bubble = (
        (plan.pp - 1)
        / plan.virtual_stages
        * (stage - hop / 2 - vocabulary / eff.matmul_software - stack * softmax)
    )
    once, sharded = _gradient_seconds(model, plan, node)
    cover = stage_compute + stage_traffic - layers * (tensor_hidden + expert_hidden)
    # Outside ZeRO-3 only the last micro-batch's backward pass can hide the gradient reduction.
    gradients = where(plan.zero_stage >= 3, sharded, once)
    data = gradients - _hidden(
        gradients, where(plan.zero_stage >= 3, batches, 1) * cover, eff.overlap_data
    )
    other = (
        _optimizer_seconds(model, plan, node, eff, optimizer)
        + stack * eff.step_seconds
        + batches * stage_overhead
    )
    busy = batches * stage + bubble
    return StepTime(
        compute=batches * stage_compute,
        memory_bound=batches * stage_traffic,
        tensor_parallel=batches * layers * tensor,
        pipeline=batches * hop,
        bubble=bubble,
        data_parallel=data,
        expert_parallel=batches * layers * expert,
        other=other + _straggling_factor(plan, eff) * busy,
    )


def model_flops_per_step(model: Transformer, plan: Plan) -> Number:
    """Matmul FLOPs of a step without recomputation, causal attention at full cost."""
    return plan.tokens_per_step * training_flops_per_token(model, plan.seq_len)


def hardware_flops_per_step(model: Transformer, plan: Plan) -> Number:
    """Matmul FLOPs of a step with recomputation: a third of the layers' on top when full, the attention
    core's forward when selective (Korthikanti et al. 2022, equations 7 and 8)."""
    tokens = plan.tokens_per_step
    score = (
        2
        * model.layers
        * attended_tokens(model, plan.seq_len)
        * model.heads
        * (model.query_key_dim + model.value_dim)
    )
    vocabulary = 2 * model.hidden * model.vocab
    layered = training_flops_per_token(model, plan.seq_len) / 3 - vocabulary
    extra = plan.recomputed_layers * layered + where(plan.recompute == 1, score, 0.0)
    return model_flops_per_step(model, plan) + tokens * extra
