"""Counts of weights, FLOPs and cached values against the papers that print them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_shapes import DEEPSEEK_V3, GPT3, LLAMA, MIXTRAL, gpt

from training_moat.core import adapters, workload
from training_moat.core.workload import Transformer

NARAYANAN_TABLE_1 = [
    # Narayanan et al. 2021, table 1: billions of parameters, heads, hidden, layers (vocabulary 51,200, 2,048 tokens).
    (1.7, 24, 2304, 24), (3.6, 32, 3072, 30), (7.5, 32, 4096, 36), (18.4, 48, 6144, 40), (39.1, 64, 8192, 48),
    (76.1, 80, 10240, 60), (145.6, 96, 12288, 80), (310.1, 128, 16384, 96), (529.6, 128, 20480, 105), (1008.0, 160, 25600, 128),
]  # fmt: skip


def test_gpt3_has_175_billion_weights():
    """Brown et al. 2020, table 2.1."""
    assert workload.params(GPT3) == pytest.approx(175e9, rel=0.005)


@pytest.mark.parametrize("published", LLAMA)
def test_llama_3_counts(published):
    """The model cards' exact counts: 8.03, 70.6 and 405.9 billion."""
    assert workload.params(LLAMA[published]) == pytest.approx(published, rel=0.002)


def test_mixtral_stores_47_and_uses_13_billion():
    """Jiang et al. 2024, section 2.1: "47B parameters, but only uses 13B active parameters"."""
    assert workload.params(MIXTRAL) == pytest.approx(46.7e9, rel=0.002)
    assert workload.active_params(MIXTRAL) == pytest.approx(12.9e9, rel=0.002)


def test_deepseek_v3_stores_671_and_uses_37_billion():
    """DeepSeek-AI 2024, abstract: 671B total, 37B activated."""
    assert workload.params(DEEPSEEK_V3) == pytest.approx(671e9, rel=0.002)
    assert workload.active_params(DEEPSEEK_V3) == pytest.approx(37e9, rel=0.02)


@pytest.mark.parametrize(("billions", "heads", "hidden", "layers"), NARAYANAN_TABLE_1)
def test_megatron_counts(billions, heads, hidden, layers):
    assert workload.params(gpt(layers, hidden, heads, tied_embeddings=1)) / 1e9 == pytest.approx(
        billions, rel=0.035
    )


@pytest.mark.parametrize(("billions", "heads", "hidden", "layers"), NARAYANAN_TABLE_1)
def test_flops_of_a_step_are_narayanans_equation_3(billions, heads, hidden, layers):
    """F = 96 B s l h^2 (1 + s / 6h + V / 16 l h) with activation recomputation: four forward passes' worth in the
    layers, three in the vocabulary; without recomputation 72 B s l h^2 (1 + s / 6h + V / 12 l h)."""
    s, vocab = 2048, 51200
    model = gpt(layers, hidden, heads, tied_embeddings=1)
    recomputed = 4 * (
        workload.layer_matmul_flops_per_token(model)
        + workload.attention_score_flops_per_token(model, s)
    )
    with_vocabulary = recomputed + 3 * workload.vocabulary_flops_per_token(model)
    assert with_vocabulary == pytest.approx(
        96 * layers * hidden**2 * (1 + s / (6 * hidden) + vocab / (16 * layers * hidden))
    )
    plain = 72 * layers * hidden**2 * (1 + s / (6 * hidden) + vocab / (12 * layers * hidden))
    assert adapters.training_flops_per_token(model, s) == pytest.approx(plain)


def test_flops_per_token_are_six_per_active_weight_beside_attention():
    """Kaplan et al. 2020, section 2.1: C = 6 N, embeddings apart."""
    model = LLAMA[70.6e9]
    no_context = adapters.training_flops_per_token(model, 0)
    weights = workload.params(model) - model.vocab * model.hidden
    assert no_context == pytest.approx(6 * weights)


def test_cached_values_per_token():
    """DeepSeek-V2 2024, table 1 and section 2.1.4: 2 n_g d_h per layer for grouped queries, d_c + d_rope for latent."""
    assert workload.kv_values_per_token(LLAMA[70.6e9]) == 80 * 2 * 8 * 128
    assert workload.kv_values_per_token(DEEPSEEK_V3) == 61 * (512 + 64)
    assert workload.kv_values_per_token(GPT3) == 96 * 2 * 12288


def test_latent_attention_weights():
    """DeepSeek-V3's attention by hand: 7168 x 1536 + 1536 x 128 x 192, 7168 x 576 + 512 x 128 x 256, 128 x 128 x 7168."""
    by_hand = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168
    assert workload.attention_params(DEEPSEEK_V3) == by_hand


def test_a_window_limits_what_layers_look_at():
    """Three of four layers see 100 tokens, one all 1,000: the mean is 325."""
    model = replace(LLAMA[8.03e9], layers=4, attention_window=100, windowed_layers=3)
    assert workload.attended_tokens(model, 1000) == pytest.approx(325)
    assert workload.attended_tokens(model, 50) == pytest.approx(50)
    assert workload.attended_tokens(LLAMA[8.03e9], 1000) == 1000


def test_given_counts_win():
    model = replace(MIXTRAL, params_given=50e9, active_params_given=15e9)
    assert (workload.params(model), workload.active_params(model)) == (50e9, 15e9)


sizes = st.tuples(
    st.integers(1, 200),
    st.integers(1, 64),
    st.sampled_from([64, 128]),
    st.integers(0, 4),
    st.integers(1, 10**6),
)


@given(st.lists(sizes, min_size=2, max_size=4), st.integers(1, 10**6))
def test_scalar_and_array_models_agree(rows, context):
    def build(layers, heads, head_dim, used, vocab):
        hidden = heads * head_dim
        experts = where_positive(used, 8)
        more = {"experts": experts, "experts_per_token": used, "expert_ffn": hidden}
        return gpt(layers, hidden, heads, vocab, **more)

    def where_positive(value, then):
        return np.where(value > 0, then, 0) if isinstance(value, np.ndarray) else then * (value > 0)

    together = build(*(np.array(column, float) for column in zip(*rows, strict=True)))
    apart = [build(*row) for row in rows]
    for count in (
        workload.params,
        workload.active_params,
        workload.expert_params_total,
        workload.kv_values_per_token,
    ):
        assert count(together) == pytest.approx([count(model) for model in apart])
    flops = adapters.training_flops_per_token
    assert flops(together, context) == pytest.approx([flops(model, context) for model in apart])


@given(sizes)
def test_active_weights_never_exceed_all(row):
    layers, heads, head_dim, used, vocab = row
    hidden = heads * head_dim
    experts = {"experts": 8 * (used > 0), "experts_per_token": used, "expert_ffn": hidden}
    model = gpt(layers, hidden, heads, vocab, **experts)
    assert 0 < workload.active_params(model) <= workload.params(model)


QWEN3_NEXT = Transformer(
    "Qwen3-Next 80B-A3B",
    48, 2048, 16, 2, 256, 5120, 151936,
    gated_ffn=1, experts=512, experts_per_token=10, shared_experts=1, expert_ffn=512,
    linear_layers=36, linear_key_heads=16, linear_key_dim=128, linear_value_heads=32, linear_value_dim=128,
)  # fmt: skip
"""config.json of Qwen/Qwen3-Next-80B-A3B-Instruct: one layer in four attends."""


def test_linear_layers_keep_a_state_and_no_cache():
    """By hand: 32 heads of 128 x 128 values a layer; 12 layers cache 2 x 2 heads x 256 values a token."""
    assert workload.state_values(QWEN3_NEXT) == 32 * 128 * 128
    assert workload.state_flops_per_token(QWEN3_NEXT) == 4 * 36 * 32 * 128 * 128
    cached = workload.kv_values_per_token(QWEN3_NEXT) * workload.attended_tokens(QWEN3_NEXT, 1000)
    assert cached == pytest.approx(1000 * 12 * 2 * 2 * 256)
    assert workload.params(QWEN3_NEXT) == pytest.approx(80e9, rel=0.01)


def test_linear_layers_cost_the_same_however_long_the_context():
    """Doubling the context adds the scores of the 12 layers that attend, and nothing else."""
    more = [
        workload.attention_score_flops_per_token(QWEN3_NEXT, tokens) for tokens in (65536, 131072)
    ]
    assert more[1] - more[0] == pytest.approx(2 * 12 * 65536 * 16 * (256 + 256))


def test_a_linear_layer_without_sizes_of_its_own_has_the_models_heads():
    plain = replace(LLAMA[8.03e9], linear_layers=8)
    assert workload.state_values(plain) == 32 * 128 * 128
    assert workload.linear_params(plain) == 4096 * 5 * 32 * 128


@pytest.mark.parametrize(
    ("layers", "expected", "visited"),
    [
        # 36 of 48 layers look at chunks of 8,192 (Llama 4); at a window of 1,024, 16 less in the mean, and four first tokens.
        ({"attention_chunk": 8192, "chunked_layers": 36}, (12 * 32768 + 36 * 8192) / 48, (12 * 16384 + 36 * 4096) / 48),
        ({"attention_window": 1024, "windowed_layers": 36, "attention_sinks": 4}, (12 * 32768 + 36 * 1028) / 48, (12 * 16384 + 36 * 1140) / 48),
    ],
)  # fmt: skip
def test_chunks_and_sinks_bound_what_a_layer_sees(layers, expected, visited):
    model = Transformer("any", 48, 5120, 40, 8, 128, 16384, 202048, **layers)
    assert workload.attended_tokens(model, 32768) == pytest.approx(expected)
    assert workload.fused_attended_tokens(model, 32768) == pytest.approx(visited)
    windowed = model.windowed_layers / model.layers
    wider = workload.fused_attended_tokens(model, 32768, 512) - visited
    assert wider == pytest.approx(windowed * (512 - 128))
    assert workload.attended_tokens(model, 512) == 512


@pytest.mark.parametrize("window", [128, 1024, 4096, 8192, 16384])
def test_a_window_is_counted_as_the_mask_leaves_it(window):
    """Pairs of tokens under a causal mask and a window, counted one query after another; no tile larger than a token."""
    context = 8192
    model = Transformer("any", 2, 4096, 32, 8, 128, 14336, 32000, gated_ffn=1)
    model = replace(model, attention_window=window, windowed_layers=2)
    seen = sum(min(query + 1, window) for query in range(context)) / context
    assert workload.fused_attended_tokens(model, context, 0) == pytest.approx(seen, abs=0.5)
    assert workload.fused_attended_tokens(model, context) <= context / 2


def test_kinds_of_layers_cannot_be_more_than_the_layers():
    crowded = replace(QWEN3_NEXT, chunked_layers=13, attention_chunk=8192)
    said = [text for broken, text in workload.weights_problem(crowded) if broken]
    assert said == [
        "windowed_layers, chunked_layers and linear_layers are together more than layers"
    ]


def test_a_model_without_experts_is_told_nothing_of_them():
    dense = Transformer("any", 32, 4096, 32, 32, 128, 16384, 32000, params_given=1e6)
    mixed = replace(dense, experts=8, experts_per_token=2, expert_ffn=16384)
    for model, expected in ((dense, "smaller vocab"), (mixed, "dense_layers")):
        text = next(text for broken, text in workload.weights_problem(model) if broken)
        assert expected in text and ("experts" in text) == (model is mixed)


def test_attention_both_ways_masks_nothing():
    """BERT's tokens look at all others (Devlin et al. 2019, section 3): twice what a causal mask leaves."""
    causal, both = (replace(GPT3, bidirectional=way) for way in (0, 1))
    assert workload.fused_attended_tokens(causal, 512) == 256
    assert workload.fused_attended_tokens(both, 512) == 512
    cut = replace(both, attention_chunk=128, chunked_layers=both.layers)
    assert workload.fused_attended_tokens(cut, 512) == 128
