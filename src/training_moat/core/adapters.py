"""Low-rank adapters: which products they are on, how many weights they train, and what a step of them computes.

An adapter of rank r beside a frozen product from a to b values trains r (a + b) weights (Hu et al. 2021, "LoRA", section 4.1).
"""

from __future__ import annotations

from training_moat.core.elementwise import Number, maximum, where
from training_moat.core.workload import (
    Transformer,
    forward_flops_per_token,
    layer_matmul_flops_per_token,
    vocabulary_flops_per_token,
)

ADAPTED = ("q", "k", "v", "o", "gate", "up", "down")
"""Products of a layer that adapters may be on: queries, keys, values and what attention gives; of a feed-forward block those
that begin it, a gate's among them, and the one that ends it."""
ALL_ADAPTED = 2 ** len(ADAPTED) - 1
"""A set of `ADAPTED` is a number whose bits they are; this is the set of all."""


def adapted(targets: Number) -> dict[str, Number]:
    """Whether (0 or 1) each of `ADAPTED` is in a set of them."""
    return {name: targets // 2**bit % 2 for bit, name in enumerate(ADAPTED)}


def adapted_widths(model: Transformer, targets: Number = ALL_ADAPTED) -> tuple[Number, Number]:
    """Values that go into the dense products of all layers that are in the set `targets` of `ADAPTED`, and that come out of
    them. Routed experts have no adapters."""
    on = adapted(targets)
    query = model.heads * model.query_key_dim
    value = model.heads * model.value_dim
    key_value = where(
        model.kv_lora_rank > 0,
        model.kv_lora_rank + model.qk_rope_head_dim,
        2 * model.kv_heads * model.head_dim,
    )
    into = (on["q"] + on["k"] + on["v"]) * model.hidden + on["o"] * value
    out = on["q"] * query + (on["k"] + on["v"]) * key_value / 2 + on["o"] * model.hidden
    shared = model.shared_experts * model.expert_ffn
    # Layers with a dense block, those whose experts all share one, and the widths of these blocks.
    blocks = model.layers - model.moe_layers + model.moe_layers * where(shared > 0, 1, 0)
    inner = (model.layers - model.moe_layers) * model.ffn + model.moe_layers * shared
    first = on["up"] + on["gate"] * model.gated_ffn
    return (
        model.layers * into + first * blocks * model.hidden + on["down"] * inner,
        model.layers * out + first * inner + on["down"] * blocks * model.hidden,
    )


def lora_params(model: Transformer, rank: Number, targets: Number = ALL_ADAPTED) -> Number:
    """Weights of low-rank adapters of `rank` on the products in the set `targets` of `ADAPTED`: one from a to b values gets
    a x r and r x b."""
    return rank * sum(adapted_widths(model, targets))


def adapter_pass_bytes(
    model: Transformer, targets: Number, input_bytes: Number
) -> tuple[Number, Number]:
    """Traffic a token of all adapters (forward, backward) beside the products that they are on.

    Fused: each thin product reads its input and writes its result, and the sum with the product's own is read and written,
    of 16 bits. Where operations run one by one (`input_bytes` above zero, what an adapter's input is cast to): forward the
    input is read, what comes out is written, scaled and added, 12 bytes; backward its gradient is scaled and read twice, 8
    bytes, the input is read, and its gradient written and added to that of the product, 10. PEFT keeps adapters in 32 bits
    and casts their inputs to that, and autocast back to 16, 12 bytes either way (peft, tuners/lora/layer.py: `forward`,
    `autocast_adapter_dtype`)."""
    into, out = adapted_widths(model, targets)
    apart, casts = input_bytes > 0, where(input_bytes > 2, 12.0, 0.0)
    forward = where(apart, (2 + casts) * into + 12 * out, 4 * (into + out))
    backward = where(apart, (10 + casts) * into + 8 * out, 8 * (into + out))
    return forward, backward


def kept_inputs(kept: Number) -> tuple[Number, Number, Number]:
    """Whether (0 or 1) the inputs of attention's first products, of a feed-forward block's first ones and of its last are kept
    for the backward pass, where those of a set `kept` of `ADAPTED` are: a frozen product's input enters no gradient."""
    on = adapted(kept)
    attention = maximum(maximum(on["q"], on["k"]), on["v"])
    return attention, maximum(on["gate"], on["up"]), on["down"]


def training_flops_per_token(
    model: Transformer, context: Number, lora_rank: Number = 0, targets: Number = ALL_ADAPTED
) -> Number:
    """Matmul FLOPs per trained token: forward plus twice that for the backward pass, no recomputation
    (Narayanan et al. 2021, equation 3, without its recomputation factor). Under adapters of `lora_rank` on `targets` the
    base weights' gradients are not computed: a third less of their products, and the adapters' own."""
    forward = forward_flops_per_token(model, context)
    weights = layer_matmul_flops_per_token(model) + vocabulary_flops_per_token(model)
    tuned = 3 * forward - weights + 6 * lora_params(model, lora_rank, targets)
    return where(lora_rank > 0, tuned, 3 * forward)
