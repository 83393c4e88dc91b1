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


def lora_params(model: Transformer, rank: Number, targets: Number = ALL_ADAPTED) -> Number:
    """Weights of low-rank adapters of `rank` on dense products of every layer, those in the set `targets` of `ADAPTED` (Hu et
    al. 2021, section 4.1): a product from a to b values gets a x r and r x b. Routed experts get none."""
    on = adapted(targets)
    query = model.heads * model.query_key_dim
    value = model.heads * model.value_dim
    key_value = where(
        model.kv_lora_rank > 0,
        model.kv_lora_rank + model.qk_rope_head_dim,
        2 * model.kv_heads * model.head_dim,
    )
    attention = on["q"] * (model.hidden + query) + on["o"] * (model.hidden + value)
    attention = attention + (on["k"] + on["v"]) * (model.hidden + key_value / 2)
    dense_layers = model.layers - model.moe_layers
    shared = model.shared_experts * model.expert_ffn
    per_width = on["up"] + on["down"] + on["gate"] * model.gated_ffn
    dense = dense_layers * per_width * (model.hidden + model.ffn)
    beside = model.moe_layers * where(shared > 0, per_width * (model.hidden + shared), 0)
    return rank * (model.layers * attention + dense + beside)


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
