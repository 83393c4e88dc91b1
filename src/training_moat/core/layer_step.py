"""What one micro-batch takes in one layer of a training step: matmuls at a shape-dependent utilisation, and operations bound
by memory bandwidth.

Each part is a closed formula; the few measured constants come in as an `Efficiency`. All fields may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core.adapter_steps import adapter_seconds, widening_seconds
from training_moat.core.elementwise import Number, maximum, minimum, some, where
from training_moat.core.node import Efficiency, Node
from training_moat.core.plan import GRAPH_LEVELS, STREAM_BYTES, Plan
from training_moat.core.workload import (
    FUSED_TILE,
    SPLASH_TILE,
    Transformer,
    attended_tokens,
    attention_params,
    fused_attended_tokens,
    heads_beside_usual,
    state_flops_per_token,
)

FLASH_BACKWARD_RATIO = 2.5
"""Fused attention's backward pass does five matmuls to the forward pass's two (Dao 2023, section 3.1)."""
UNFUSED_FORWARD_BYTES_PER_SCORE, UNFUSED_BACKWARD_BYTES_PER_SCORE = 8.0, 14.0
"""Memory traffic of unfused attention per score, in 16 bits. Forward: the product writes it, softmax with its mask reads
and writes it, the product with the values reads it. Backward: its gradient is written, softmax reads gradient and share and
writes the score's, which two products read, and the product for the values' gradient reads the share (Dao et al. 2022,
3.1)."""
DROPOUT_BYTES_PER_SCORE = 5.0
"""What dropout of attention adds to each pass: a share read and written again, and a mask of one byte."""
HIGHEST_WIDE_ATTENTION = 0.75
"""Share of peak, in what is computed, that heads which fill the matrix units are taken to reach at most where the usual ones
reach less: what the best fused kernels do (Shah et al. 2024, abstract). Runs with 16 heads of 256 on TPU v5p show more: 70% of
the peak in a step whose work is nearly all causal attention, counted without what its backward pass computes again."""
CAST_BYTES_PER_VALUE = 4.0
"""Casting to 8 bits reads two bytes and writes the value and its transpose (Micikevicius et al. 2022)."""
NORM_SHARE = 0.5
"""Share of a layer's element-wise traffic in the norms and activation functions that light recomputation repeats."""
PRODUCT_STREAM = 0.9
"""Share of the data sheet's bandwidth at which products take in operands: what a plain copy reaches on an H100 and an H200
(experiments/training_steps: 3.0 of 3.35 TB/s)."""


def matmul_seconds(
    rows: Number, inner: Number, columns: Number, node: Node, eff: Efficiency, wide: bool = False
) -> Number:
    """One (rows x inner) by (inner x columns) product: the longer of computing and moving its operands and result decides,
    smoothly, as the two overlap (root of the sum of squares; Williams et al. 2009). Beside the FLOPs of its inner width, each
    element of the result costs `ramp` more of it: filling the matrix units, and writing the tile out. So described, products
    of 512 to 16,384 a side are off by 5% in BF16 and 6% in FP8 in the mean on an H200 at the ramp expected of them, by 6 and 8%
    at the one that training runs give (experiments/training_steps/product_grid.py).
    `wide`: in the 16-bit format that the run keeps for some."""
    peak, value_bytes = (node.wide_peak_flops, 2.0) if wide else (node.peak_flops, node.value_bytes)
    # A product that a model does not have (inner width near zero) has no result to write.
    fixed = eff.ramp * 2 / value_bytes * minimum(inner, 1.0)
    computing = 2 * rows * (inner + fixed) * columns / (peak * eff.matmul)
    moving = _moving_seconds(rows, inner, columns, value_bytes, node) / PRODUCT_STREAM
    return (computing**2 + moving**2) ** 0.5


def _moving_seconds(
    rows: Number, inner: Number, columns: Number, value_bytes: Number, node: Node
) -> Number:
    """A product's operands and result, of 16 bits at least, once over the memory's bus, weights from where they lie."""
    streams = value_bytes * rows * inner + maximum(value_bytes, STREAM_BYTES) * rows * columns
    weights = value_bytes * inner * columns
    slow = node.weight_bytes_per_s
    source = where(slow > 0, slow, node.memory_bytes_per_s)
    return streams / node.memory_bytes_per_s + weights / source


def _dense_width(model: Transformer, plan: Plan) -> Number:
    """Inner width of the mean layer's feed-forward block, without routed experts, on one chip."""
    shared = model.shared_experts * model.expert_ffn
    mean = (1 - model.moe_share) * model.ffn + model.moe_share * shared
    return maximum(mean, 1e-9) / plan.tp


def _dense_matmul_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Forward weight matmuls of the mean layer, one micro-batch, without experts."""
    m, h = plan.micro_tokens, model.hidden
    output = model.heads * model.value_dim / plan.tp
    entering = (attention_params(model) - model.heads * model.value_dim * h) / h / plan.tp
    width = _dense_width(model, plan)
    return (
        matmul_seconds(m, h, entering, node, eff)
        + matmul_seconds(m, output, h, node, eff)
        + matmul_seconds(m, h, (1 + model.gated_ffn) * width, node, eff)
        + matmul_seconds(m, width, h, node, eff)
    )


def _latent_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Forward up-projections of latent attention (none for others), one layer and micro-batch."""
    if not some(model.kv_lora_rank):
        return 0.0
    m, q, kv = plan.micro_tokens, model.q_lora_rank, model.kv_lora_rank
    queries = matmul_seconds(m, q, model.heads * model.query_key_dim / plan.tp, node, eff)
    widths = model.heads * (model.qk_nope_head_dim + model.value_dim) / plan.tp
    keys_values = matmul_seconds(m, kv, widths, node, eff)
    return where(kv > 0, queries + keys_values, 0.0)


def fullest_load(plan: Plan, eff: Efficiency) -> Number:
    """Tokens at the chip whose experts the router fills most, over the mean chip's: where experts are spread over chips,
    all wait for it."""
    # Experts that are padded to a capacity all have as many rows.
    return 1 + where(plan.routed, eff.uneven, 0.0)


def _expert_matmul_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency
) -> tuple[Number, Number]:
    """Forward matmuls of the routed experts in the mean layer at its fullest chip, the first and the last: every local
    expert works on its own few rows."""
    if not some(model.moe_layers):
        return 0.0, 0.0
    experts = maximum(model.experts, 1)
    split = plan.expert_tensor
    local = experts / plan.expert_groups
    # The chips of a group that shares the experts bring the tokens of ep x expert_tp / tp tensor-parallel groups.
    rows = plan.micro_tokens * plan.expert_chips / plan.tp * model.experts_per_token / experts
    rows = rows * plan.padded_copies * fullest_load(plan, eff)
    width = maximum(model.expert_ffn, 1e-9) / split
    rate = eff.expert * eff.expert_software * where(model.expert_biases > 0, eff.expert_biased, 1.0)
    # Equally many rows each make one batched product of the experts', which needs no kernels of their own.
    rate = where(plan.one_hot_dispatch > 0, 1.0, rate)
    # While one expert's product computes, the operands of the next come in.
    one = matmul_seconds(rows, model.hidden, (1 + model.gated_ffn) * width, node, eff)
    two = matmul_seconds(rows, width, model.hidden, node, eff)
    each = model.moe_share * local / rate
    return each * one, each * two


def _one_hot_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """One product of one layer and micro-batch that puts tokens into the experts' rows, or their results back, by a one-hot
    mask (nothing for other dispatchers): of every sequence's S tokens to E experts of capacity C, S x E C x hidden, where E
    C is the capacity factor times the copies of S tokens (Lepikhin et al. 2020, algorithm 2; MaxText, `dense_matmul`)."""
    if not some(plan.one_hot_dispatch):
        return 0.0
    sequence = plan.seq_len / plan.cp
    slots = sequence * model.experts_per_token * plan.padded_copies
    one = matmul_seconds(maximum(slots, 1e-9), sequence, model.hidden / plan.tp, node, eff)
    share = model.moe_share
    return where(plan.one_hot_dispatch > 0, share * plan.micro_batch * one, 0.0)


def _launched_share(plan: Plan, eff: Efficiency) -> Number:
    """Share of the launches of a layer and of its routing that the host issues one by one, as no graph plays them back."""
    played = where(plan.graphs >= GRAPH_LEVELS["partial"], eff.graphed, 0.0)
    return where(plan.graphs >= GRAPH_LEVELS["whole"], 0.0, 1 - played)


def _expert_overhead_seconds(model: Transformer, plan: Plan, eff: Efficiency) -> Number:
    """Fixed cost of one pass of the mean layer's routing and of its local experts, each with products of its own."""
    local = maximum(model.experts, 1) / plan.expert_groups
    calls = local * eff.expert_call_seconds
    called = where(plan.graphs >= GRAPH_LEVELS["whole"], 0.0, calls)
    fixed = _launched_share(plan, eff) * eff.expert_layer_seconds + called
    return model.moe_share * fixed / eff.expert_software


def _attention_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency
) -> tuple[Number, Number, Number]:
    """Attention core of one layer and micro-batch: (compute forward, memory forward, backward over forward).

    Fused kernels skip the masked half of the scores; unfused ones compute it and move every score.
    """
    m = plan.micro_tokens
    context = attended_tokens(model, plan.seq_len)
    per_pair = 2 * m * model.heads * (model.query_key_dim + model.value_dim) / plan.tp
    tile = where(eff.attention_unit > 0, SPLASH_TILE, FUSED_TILE)
    visited = fused_attended_tokens(model, plan.seq_len, tile)
    states = m * state_flops_per_token(model) / model.layers / plan.tp
    highest = maximum(eff.attention, HIGHEST_WIDE_ATTENTION)
    share = minimum(eff.attention * heads_beside_usual(model, eff.attention_unit), highest)
    fused = (per_pair * visited + states) / (node.wide_peak_flops * share)
    plain = (per_pair * context + states) / (node.wide_peak_flops * eff.matmul)
    scores = m * context * model.heads / plan.tp
    # Models of before gated blocks (GPT-3's shape) drop shares of attention out, Llama's and later ones none.
    dropout = DROPOUT_BYTES_PER_SCORE * (1 - model.gated_ffn)
    forward_bytes = UNFUSED_FORWARD_BYTES_PER_SCORE + dropout
    traffic = scores * forward_bytes / (node.memory_bytes_per_s * eff.memory)
    is_fused = plan.flash_attention > 0
    backward_traffic = (UNFUSED_BACKWARD_BYTES_PER_SCORE + dropout) / forward_bytes
    return where(is_fused, fused, plain), where(is_fused, 0.0, traffic), backward_traffic


def _visited_width(model: Transformer) -> Number:
    """Inner width of the feed-forward blocks that a token visits in the mean layer."""
    visited = (model.experts_per_token + model.shared_experts) * model.expert_ffn
    return (1 - model.moe_share) * model.ffn + model.moe_share * visited


def elementwise_bytes(model: Transformer, plan: Plan) -> Number:
    """Forward traffic of one layer's norms, residuals, activation functions and position codes, for one micro-batch."""
    m, h = plan.micro_tokens, model.hidden
    # One norm in place of two reads its input and writes its output once less.
    norm = where(model.parallel_norms == 1, 2 * STREAM_BYTES, 0.0)
    replicated = (20 - norm) * h / plan.stream_chips
    # Models of before gated blocks (GPT-3's, BLOOM's, MPT's shape) add positions to their input or to the scores.
    rotary = model.gated_ffn * 8 * model.head_dim * (model.heads + model.kv_heads)
    values = replicated + ((4 + 2 * model.gated_ffn) * _visited_width(model) + rotary) / plan.tp
    return m * values * plan.stream_bytes / STREAM_BYTES


WRITTEN_OUT_FORWARD, WRITTEN_OUT_BACKWARD = 18.0, 28.0
"""Values read and written for one of $0.5x (1 + tanh(c (x + kx^3)))$ where every operation is a kernel (transformers,
activations.py: `NewGELUActivation`): forward a power, a factor, a sum, a factor, a tanh, a sum, half of x and a product;
backward two products and half, the tanh's, two factors, the power's three kernels and two sums of the gradients of x."""
IN_ONE_KERNEL = 2.0
"""Values that `elementwise_bytes` counts for an activation function in each of a layer's three passes."""


def written_out_bytes(model: Transformer, plan: Plan) -> tuple[Number, Number]:
    """Traffic (forward, backward) of one layer's activation functions for one micro-batch beyond that of one kernel, where
    their operations run one by one (`Plan.written_out_bytes`)."""
    if not (some(model.tanh_gelu) and some(plan.written_out_bytes)):
        return 0.0, 0.0
    apart = (model.tanh_gelu > 0) & (plan.written_out_bytes > 0)
    inner = where(apart, plan.micro_tokens * _visited_width(model) / plan.tp, 0.0)
    width = maximum(plan.written_out_bytes, plan.stream_bytes)
    fused = IN_ONE_KERNEL * plan.stream_bytes
    return (
        inner * (WRITTEN_OUT_FORWARD * width - fused),
        inner * (WRITTEN_OUT_BACKWARD * width - 2 * fused),
    )


def permuted_bytes(model: Transformer, plan: Plan) -> Number:
    """Forward traffic in which one layer's routed tokens are put into the experts' order and back, for one
    micro-batch (Liu et al. 2025; Megatron-Core's token dispatchers).

    Of k experts a token visits, permuting reads it once and writes k copies; what comes back is read k times and summed
    into one. An all-to-all among several groups sorts the copies it brings by local expert and back, each with a read and
    a write. A dispatcher that sends a token once to a chip permutes what arrives: one copy for each chip that it visits. One
    whose kernels of dispatch and combine put tokens in order as they copy them moves nothing besides (HybridEP: NVIDIA 2026,
    "DeepEP vs HybridEP", section 5.2), and so do products with one-hot masks (`_one_hot_seconds`)."""
    if not some(model.moe_layers):
        return 0.0
    visited, groups = model.experts_per_token * plan.padded_copies, plan.expert_groups
    sorted_again = (groups > 1) & (model.experts > groups)
    chips = groups * (1 - (1 - 1 / groups) ** visited)
    values = where(
        plan.dispatch_once > 0,
        2 * (visited + chips),
        2 * (visited + 1) + where(sorted_again, 4 * visited, 0),
    )
    kernels = (plan.permutes_in_flight > 0) | (plan.one_hot_dispatch > 0)
    values = where(kernels, 0.0, values)
    return model.moe_share * plan.stream_bytes * plan.micro_tokens * values * model.hidden / plan.tp


def _cast_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Number:
    """Forward casts of one layer's matmul inputs to a format of at most 8 bits (nothing for 16-bit runs)."""
    if not some(node.value_bytes < 2):
        return 0.0
    inputs = (2 + model.moe_share * model.experts_per_token) * model.hidden
    inputs = inputs + model.heads * model.value_dim / plan.tp
    inputs = inputs + _visited_width(model) / plan.tp
    traffic = CAST_BYTES_PER_VALUE * plan.micro_tokens * inputs
    return where(node.value_bytes < 2, traffic / (node.memory_bytes_per_s * eff.memory), 0.0)


def vocabulary_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency
) -> tuple[Number, Number]:
    """Output projection forward and backward, and the softmax over the vocabulary, one micro-batch."""
    m = plan.micro_tokens
    columns = model.vocab / plan.tp
    product = matmul_seconds(m, model.hidden, columns, node, eff, wide=True)
    softmax = eff.logit_bytes * m * columns / (node.memory_bytes_per_s * eff.memory)
    return where(plan.lora_rank > 0, 2, 3) * product, softmax


@dataclass(frozen=True)
class Layer:
    """Seconds of one micro-batch in the mean layer, forward and backward: what computes, what streams, what is fixed, and
    what the host's launches of experts and of operations on split tensors add to the three. `attention`: the part of what
    computes that is attention's core."""

    compute: Number
    traffic: Number
    overhead: Number
    launches: Number
    attention: Number


def layer_time(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Layer:
    """The mean layer's seconds, forward, backward and, where asked, forward again."""
    experts = _expert_matmul_seconds(model, plan, node, eff)
    matmul = _dense_matmul_seconds(model, plan, node, eff) + sum(experts)
    core, core_traffic, core_backward = _attention_seconds(model, plan, node, eff)
    moe_share = model.moe_share
    # Stacks that fuse the experts' products also fuse the operations around them.
    fused = 1 - moe_share + moe_share / eff.expert_software
    sustained = node.memory_bytes_per_s * eff.memory
    streams = fused * eff.elementwise * elementwise_bytes(model, plan) / sustained
    permuting = fused * permuted_bytes(model, plan) / sustained
    written, written_back = (moved / sustained for moved in written_out_bytes(model, plan))
    casts = fused * _cast_seconds(model, plan, node, eff)
    # Passes over a layer: one forward, two forward-equivalents backward (one where the weights are frozen), one more
    # when recomputed.
    again = plan.recomputed_layers
    products = where(plan.lora_rank > 0, 2, 3) + again
    core_again = where(
        (plan.flash_attention > 0) | (plan.recompute >= 2),
        again * where(plan.attention_kept > 0, 0.0, 1.0),
        plan.recompute,
    )
    core_back = where(plan.flash_attention > 0, FLASH_BACKWARD_RATIO, 2.0)
    stack = 1 / eff.software
    light = where((plan.recompute == 1) & (plan.flash_attention > 0), 1.0, 0.0)
    matmul = products * matmul + light * _latent_seconds(model, plan, node, eff)
    if some(plan.unfinished_layers):
        # The products that end a feed-forward block and its experts.
        size = plan.micro_tokens, _dense_width(model, plan), model.hidden
        last = where(plan.one_hot_dispatch > 0, 0.0, experts[1])
        matmul = matmul - plan.unfinished_layers * (matmul_seconds(*size, node, eff) + last)
    # There and back, with three gradients: of what went there, of what comes back and of its mask.
    masked = 5 + 2 * again - plan.unreturned_layers
    matmul = matmul + masked * _one_hot_seconds(model, plan, node, eff)
    thin, beside = adapter_seconds(model, plan, node, eff)
    matmul = matmul + thin
    traffic = (
        (3 + again + light * NORM_SHARE) * streams
        + (2 + again) * (casts + permuting)
        + (2 + again) * widening_seconds(model, plan, node, eff)
        - plan.unreturned_layers * permuting / 2
        + (1 + core_again + core_backward) * core_traffic
    )
    # A fused attention kernel is the same library's whatever the stack around it.
    kernel = where(plan.flash_attention > 0, 1.0, stack)
    attention = kernel * (1 + core_again + core_back) * core
    compute = matmul / eff.matmul_software + attention
    # Counted kernel by kernel, so that no stack has more of it.
    traffic = stack * traffic + (1 + again) * written + written_back + beside
    gaps = (3 + again) * fused * _layer_gaps(plan, eff)
    overhead = _gap_seconds(plan, gaps, compute + traffic)
    issued = where(plan.tp > 1, eff.tensor_layer_seconds, 0.0)
    launches = (3 + again) * (stack * _expert_overhead_seconds(model, plan, eff) + issued)
    beyond = _beyond(launches, compute + traffic + overhead)
    return Layer(compute, traffic, overhead, beyond, attention)


def _layer_gaps(plan: Plan, eff: Efficiency) -> Number:
    """Gaps between a layer's kernels in one pass. Chips that share a layer wait for one another at its sums, which no graph of
    their own kernels shortens; a program that arranges their exchanges has none."""
    waits = where(plan.tp > 1, 1.0, _launched_share(plan, eff))
    return eff.layer_seconds * where(plan.graphs >= GRAPH_LEVELS["compiled"], 0.0, waits)


def _gap_seconds(plan: Plan, gaps: Number, working: Number) -> Number:
    """What a step shows of the gaps between a layer's kernels, which are the chip's and its host's: a stack whose kernels are
    slower has no longer ones. Chips that work together wait for one another's at every exchange; one by itself waits only
    where its host takes longer to launch the work than it does."""
    return where(plan.alone, _beyond(gaps, working), gaps)


def _beyond(launches: Number, working: Number) -> Number:
    """What the host's routing and launches add to the chip's work: it runs ahead of the chip, so that the longer of the two
    decides, smoothly, as work and launches vary from layer to layer (root of the sum of squares)."""
    # The root less the work, written so that little beside much does not vanish in rounding.
    both = (working**2 + launches**2) ** 0.5
    return launches**2 / maximum(both + working, 1e-30)
