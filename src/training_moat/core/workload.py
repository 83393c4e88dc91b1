"""What a transformer asks of a machine: parameters, matmul FLOPs and bytes, from its shape.

Every field may be a plain number or a NumPy array, so that one call can count many models.
Counts follow the layer definitions of Vaswani et al. 2017 (attention and feed-forward), Ainslie et al.
2023 (grouped-query attention), DeepSeek-V2 2024 section 2.1 (multi-head latent attention) and Shazeer
et al. 2017 (mixture of experts).
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core.elementwise import Number, ceil, maximum, minimum, some, where

USUAL_HEAD = 128
"""Width of most models' heads, for which the share of peak that fused attention reaches is told."""
WIDEST_UNIT = 256
"""Side of the widest matrix units (TPU v6e, TPU7x; table chips), for which that share is told where a unit's width is known."""


@dataclass(frozen=True)
class Transformer:
    """The shape of a transformer, a decoder unless said otherwise. Sizes are counts of values, not bytes.

    `ffn` is the inner width of a dense feed-forward block, `expert_ffn` of one expert; `gated_ffn` is 1 for SwiGLU-like
    blocks (three matrices) and 0 for plain ones (two). `dense_layers` counts the layers of a mixture-of-experts model that
    keep a dense block. `kv_lora_rank` above zero means multi-head latent attention. `attention_window` above zero limits
    `windowed_layers` layers to that many past tokens, beside the `attention_sinks` first ones that they keep (Xiao et al.
    2024); `attention_chunk` cuts the context of `chunked_layers` layers into pieces that do not see each other.
    `linear_layers` layers keep no cache but one matrix per value head, as linear attention and recurrent layers do
    (Katharopoulos et al. 2020; Dao and Gu 2024): `linear_key_heads` queries and keys of `linear_key_dim` (the state's
    inputs and outputs), `linear_value_heads` values and gates of `linear_value_dim`; where these are zero, the model's own
    heads. `expert_biases` is 1 where the experts' products carry biases, which stacks add expert by expert (gpt-oss; too
    few weights to count). `routing_groups` above zero: the experts lie in so many groups, and a token visits those of at
    most `routed_groups` (DeepSeek-AI 2024, section 2.1.2: node-limited routing). `parallel_norms` above zero:
    attention and feed-forward block work side by side on the layer's input, after one norm or a norm each (1 or 2),
    and their results are added to it together (Chowdhery et al. 2022, PaLM, section 2: parallel layers). `tanh_gelu`
    is 1 where the activation function is GELU by its tanh formula as GPT-2 has it, which some software writes out
    (`Plan.written_out_bytes`). `bidirectional` is 1 where every token looks at all others (BERT: Devlin et al. 2019,
    section 3). `params_given` and `active_params_given`, where above zero, win over the derived counts.
    """

    name: str
    layers: Number
    hidden: Number
    heads: Number
    kv_heads: Number
    head_dim: Number
    ffn: Number
    vocab: Number
    gated_ffn: Number = 0
    tied_embeddings: Number = 0
    experts: Number = 0
    experts_per_token: Number = 0
    shared_experts: Number = 0
    expert_ffn: Number = 0
    dense_layers: Number = 0
    q_lora_rank: Number = 0
    kv_lora_rank: Number = 0
    qk_rope_head_dim: Number = 0
    qk_nope_head_dim: Number = 0
    v_head_dim: Number = 0
    attention_window: Number = 0
    windowed_layers: Number = 0
    attention_sinks: Number = 0
    attention_chunk: Number = 0
    chunked_layers: Number = 0
    linear_layers: Number = 0
    linear_key_heads: Number = 0
    linear_key_dim: Number = 0
    linear_value_heads: Number = 0
    linear_value_dim: Number = 0
    expert_biases: Number = 0
    routing_groups: Number = 0
    routed_groups: Number = 0
    parallel_norms: Number = 0
    tanh_gelu: Number = 0
    bidirectional: Number = 0
    params_given: Number = 0
    active_params_given: Number = 0

    @property
    def moe_layers(self) -> Number:
        """Layers whose feed-forward block is a mixture of experts."""
        return where(self.experts > 0, self.layers - self.dense_layers, 0)

    @property
    def moe_share(self) -> Number:
        """Share of the layers whose feed-forward block is a mixture of experts."""
        return self.moe_layers / self.layers

    @property
    def query_key_dim(self) -> Number:
        """Width of one head's query and key."""
        return where(
            self.kv_lora_rank > 0, self.qk_nope_head_dim + self.qk_rope_head_dim, self.head_dim
        )

    @property
    def value_dim(self) -> Number:
        """Width of one head's value."""
        return where(self.kv_lora_rank > 0, self.v_head_dim, self.head_dim)


def linear_heads(model: Transformer) -> tuple[Number, Number, Number, Number]:
    """(key heads, width of a key, value heads, width of a value) of a linear layer."""
    keys = (model.linear_key_heads, model.linear_key_dim)
    own = (*keys, model.linear_value_heads, model.linear_value_dim)
    plain = (model.heads, model.head_dim, model.heads, model.head_dim)
    return tuple(where(size > 0, size, other) for size, other in zip(own, plain, strict=True))


def linear_params(model: Transformer) -> Number:
    """Weights of one linear layer: queries and keys, values and their gates, output (Yang et al. 2025, section 3.4; the
    same five as B, C, x, z and the output of Dao and Gu 2024, section 7). Short convolutions and decay rates, well below
    1%, are left out."""
    key_heads, key, value_heads, value = linear_heads(model)
    return model.hidden * (2 * key_heads * key + 3 * value_heads * value)


def state_values(model: Transformer) -> Number:
    """Values of the state that one linear layer keeps of a sequence, however long it is."""
    _, key, value_heads, value = linear_heads(model)
    return value_heads * key * value


STATE_FLOPS = 4
"""FLOPs per value of the state and token: the product of key and value is added to it, the query multiplied with it
(Katharopoulos et al. 2020, equations 18 to 20)."""


def state_flops_per_token(model: Transformer) -> Number:
    """Forward FLOPs per token in the states of all linear layers."""
    return STATE_FLOPS * model.linear_layers * state_values(model)


def attention_params(model: Transformer) -> Number:
    """Weights of the mean layer's attention projections (query, key, value, output), linear layers' included."""
    linear = model.linear_layers / model.layers
    mixed = linear * linear_params(model) + (1 - linear) * _softmax_params(model)
    return where(model.linear_layers > 0, mixed, _softmax_params(model))


def _softmax_params(model: Transformer) -> Number:
    h = model.hidden
    plain = h * model.head_dim * (2 * model.heads + 2 * model.kv_heads)
    q_width = model.heads * model.query_key_dim
    latent_q = where(model.q_lora_rank > 0, model.q_lora_rank * (h + q_width), h * q_width)
    latent_kv = h * (
        model.kv_lora_rank + model.qk_rope_head_dim
    ) + model.kv_lora_rank * model.heads * (model.qk_nope_head_dim + model.v_head_dim)
    latent = latent_q + latent_kv + model.heads * model.v_head_dim * h
    return where(model.kv_lora_rank > 0, latent, plain)


def dense_ffn_params(model: Transformer) -> Number:
    """Weights of one dense feed-forward block: two matrices, three when gated."""
    return (2 + model.gated_ffn) * model.hidden * model.ffn


def expert_params(model: Transformer) -> Number:
    """Weights of one expert."""
    return (2 + model.gated_ffn) * model.hidden * model.expert_ffn


def embedding_params(model: Transformer) -> Number:
    """Input embedding plus output projection; one matrix when they are tied."""
    return model.vocab * model.hidden * (2 - model.tied_embeddings)


def derived_params(model: Transformer) -> Number:
    """All weights counted from the shape (norms and biases, well below 0.1%, are left out)."""
    routed = model.experts * expert_params(model) + model.hidden * model.experts
    return _with_moe_blocks(model, routed + model.shared_experts * expert_params(model))


def derived_active_params(model: Transformer) -> Number:
    """Weights one token passes through, input embedding included."""
    visited = model.experts_per_token + model.shared_experts
    used = visited * expert_params(model) + model.hidden * model.experts
    return _with_moe_blocks(model, used)


def _with_moe_blocks(model: Transformer, block: Number) -> Number:
    """Weights of all layers and embeddings where those of a mixture of experts count with `block`."""
    return (
        model.layers * attention_params(model)
        + (model.layers - model.moe_layers) * dense_ffn_params(model)
        + model.moe_layers * block
        + embedding_params(model)
    )


def params(model: Transformer) -> Number:
    """All weights: the published count where given, else the derived one."""
    return where(model.params_given > 0, model.params_given, derived_params(model))


def active_params(model: Transformer) -> Number:
    """Weights one token passes through: the published count where given, else the derived one."""
    return where(
        model.active_params_given > 0, model.active_params_given, derived_active_params(model)
    )


def expert_params_total(model: Transformer) -> Number:
    """Weights of all routed experts: the part that expert parallelism divides."""
    return model.moe_layers * model.experts * expert_params(model)


def layered_params(model: Transformer) -> Number:
    """Weights of all layers but their routed experts."""
    return params(model) - expert_params_total(model) - embedding_params(model)


def weights_problem(model: Transformer) -> list[tuple[Number, str]]:
    """Every way in which a model's counts contradict each other: (where they do, what it says).

    A given `params_b` wins over the count from the shape, so that it must leave room for what the shape says outright.
    """
    beside = layered_params(model)
    active, counted = model.active_params_given, derived_active_params(model)
    odd = (active > PLAUSIBLE_COUNT * counted) | (PLAUSIBLE_COUNT * active < counted)
    held, mended = "the embedding alone holds", "a smaller vocab"
    if some(model.experts):
        held = "the routed experts and the embedding alone hold"
        mended = "fewer layers with experts (dense_layers)"
    return [
        (
            beside <= 0,
            f"{held} as many weights as params_b says in all; expected a larger params_b, or {mended}",
        ),
        (
            model.active_params_given > 1.001 * params(model),
            "active_params_b is above params_b; expected at most the whole count",
        ),
        (
            (active > 0) & odd,
            f"active_params_b is more than {PLAUSIBLE_COUNT} times from what a token visits by the shape; expected a count that fits it",
        ),
        (
            params(model) > PLAUSIBLE_COUNT * derived_params(model),
            f"params_b is more than {PLAUSIBLE_COUNT} times what the shape holds; expected a count that fits it",
        ),
        (
            PLAUSIBLE_COUNT * params(model) < derived_params(model),
            f"the shape holds more than {PLAUSIBLE_COUNT} times params_b; expected a count that fits it",
        ),
        (
            model.windowed_layers + model.chunked_layers + model.linear_layers > model.layers,
            "windowed_layers, chunked_layers and linear_layers are together more than layers",
        ),
    ]


PLAUSIBLE_COUNT = 2
"""Ratio between a given count of weights and the shape's beyond which the two are not the same model."""


def layer_matmul_flops_per_token(model: Transformer) -> Number:
    """Forward matmul FLOPs per token in all layers' weight matrices, without attention scores.

    Two FLOPs per active weight (Kaplan et al. 2020, table 1), embeddings left out: looking a row up is
    no matmul.
    """
    return 2 * (derived_active_params(model) - embedding_params(model))


def _kinds_of_layers(model: Transformer) -> tuple[Number, Number, Number]:
    """Shares of the layers that look at everything, at a window, at a chunk; the rest are linear."""
    window = where(model.attention_window > 0, model.windowed_layers, 0) / model.layers
    chunk = where(model.attention_chunk > 0, model.chunked_layers, 0) / model.layers
    return 1 - window - chunk - model.linear_layers / model.layers, window, chunk


def attended_tokens(model: Transformer, context: Number) -> Number:
    """Mean number of past tokens a layer looks at, windows and chunks respected, causality not (full cost). Linear layers
    look at none."""
    whole, window, chunk = _kinds_of_layers(model)
    windowed = minimum(maximum(model.attention_window + model.attention_sinks, 1), context)
    chunked = minimum(maximum(model.attention_chunk, 1), context)
    return whole * context + window * windowed + chunk * chunked


FUSED_TILE = 128
"""Tokens of keys that fused attention kernels fetch at once (Dao 2023, section 3.3): a window is rounded up to tiles."""
SPLASH_TILE = 512
"""The same of the kernels for systolic matrix units, TPUs': MaxText's default, which its recipes raise (`sa_block_kv`)."""


def fused_attended_tokens(model: Transformer, context: Number, tile: Number = FUSED_TILE) -> Number:
    """Mean number of past tokens that a fused kernel visits per query and layer: half of the context, or chunk, under the
    causal mask; in windowed layers the window, which the first tokens have not filled yet, and the tile it is cut by, never
    more than that half. Where attention is `bidirectional`, nothing is masked. Of S tokens the first W see W/2 in the mean
    and the others W, $W (1 - W / 2S)$ in all."""
    whole, window, chunk = _kinds_of_layers(model)
    seen = where(model.bidirectional > 0, 1.0, 0.5) if some(model.bidirectional) else 0.5
    causal = context * seen
    window_tokens = minimum(model.attention_window, context)
    filled = window_tokens * (1 - window_tokens / (2 * context))
    windowed = minimum(filled + model.attention_sinks + tile, causal)
    chunked = minimum(model.attention_chunk, context) * seen
    return whole * causal + window * windowed + chunk * chunked


def heads_beside_usual(model: Transformer, unit: Number) -> Number:
    """How much of matrix units of that width the model's heads fill, against the usual heads in the widest units (`USUAL_HEAD`,
    `WIDEST_UNIT`; one where the unit is 0, not known): the width of queries and keys is the inner dimension of one of
    attention's two products, that of values a side of the other, and what they leave of the last unit stands idle."""
    if not some(unit):
        return 1.0
    width = where(unit > 0, unit, WIDEST_UNIT)
    taken = ceil(model.query_key_dim / width) + ceil(model.value_dim / width)
    filled = (model.query_key_dim + model.value_dim) / (taken * width)
    return where(unit > 0, filled / (USUAL_HEAD / WIDEST_UNIT), 1.0)


def attention_score_flops_per_token(model: Transformer, context: Number) -> Number:
    """Forward FLOPs per token of query x key and scores x values over `context` tokens, causal attention
    at full (not halved) cost (Narayanan et al. 2021, appendix), and of linear layers' states."""
    width = model.heads * (model.query_key_dim + model.value_dim)
    scores = 2 * model.layers * attended_tokens(model, context) * width
    return scores + state_flops_per_token(model)


def latent_flops_per_token(model: Transformer) -> Number:
    """Forward FLOPs per token of latent attention's up-projections in all layers, zero for others."""
    keys_values = model.kv_lora_rank * (model.qk_nope_head_dim + model.v_head_dim)
    widths = model.q_lora_rank * model.query_key_dim + keys_values
    return where(model.kv_lora_rank > 0, 2 * model.layers * model.heads * widths, 0.0)


def last_product_flops_per_token(model: Transformer, routed: Number = 1) -> Number:
    """Forward FLOPs per token of the products that end the layers, those of `routed` (0 or 1) experts among them."""
    visited = model.shared_experts + routed * model.experts_per_token
    dense = (model.layers - model.moe_layers) * model.ffn
    return 2 * model.hidden * (dense + model.moe_layers * visited * model.expert_ffn)


def vocabulary_flops_per_token(model: Transformer) -> Number:
    """Forward FLOPs per token of the output projection."""
    return 2 * model.hidden * model.vocab


def forward_flops_per_token(model: Transformer, context: Number) -> Number:
    """Forward matmul FLOPs per token: weights, attention scores and output projection."""
    return (
        layer_matmul_flops_per_token(model)
        + attention_score_flops_per_token(model, context)
        + vocabulary_flops_per_token(model)
    )


def kv_values_per_token(model: Transformer) -> Number:
    """Values kept per token in the key-value cache, over all layers, as if each looked at everything: times
    `attended_tokens` it is the cache of a sequence.

    Plain and grouped-query attention keep a key and a value per key-value head; latent attention keeps
    one compressed vector and one rotary key (DeepSeek-V2 2024, table 1).
    """
    plain = 2 * model.kv_heads * model.head_dim
    latent = model.kv_lora_rank + model.qk_rope_head_dim
    return model.layers * where(model.kv_lora_rank > 0, latent, plain)
