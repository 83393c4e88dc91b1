"""Shapes of published models, as their papers print them: what tests of several folders count and lay out."""

from training_moat.core.workload import Transformer

GPT3 = Transformer("GPT-3 175B", 96, 12288, 96, 96, 128, 4 * 12288, 50257, tied_embeddings=1)
"""Brown et al. 2020, table 2.1."""

LLAMA = {
    # Dubey et al. 2024, table 3: layers, hidden, heads, key-value heads, feed-forward width; vocabulary 128,256 (8B: untied).
    8.03e9: Transformer("Llama 3.1 8B", 32, 4096, 32, 8, 128, 14336, 128256, gated_ffn=1),
    70.6e9: Transformer("Llama 3.1 70B", 80, 8192, 64, 8, 128, 28672, 128256, gated_ffn=1),
    405.9e9: Transformer("Llama 3.1 405B", 126, 16384, 128, 8, 128, 53248, 128256, gated_ffn=1),
}

MIXTRAL = Transformer(
    "Mixtral 8x7B",
    32,
    4096,
    32,
    8,
    128,
    14336,
    32000,
    gated_ffn=1,
    experts=8,
    experts_per_token=2,
    expert_ffn=14336,
)
"""Jiang et al. 2024, table 1."""

DEEPSEEK_V3 = Transformer(
    "DeepSeek-V3", 61, 7168, 128, 128, 192, 18432, 129280, gated_ffn=1, experts=256, experts_per_token=8,
    shared_experts=1, expert_ffn=2048, dense_layers=3, q_lora_rank=1536, kv_lora_rank=512, qk_rope_head_dim=64,
    qk_nope_head_dim=128, v_head_dim=128,
)  # fmt: skip
"""DeepSeek-AI 2024, section 4.2."""


def gpt(layers, hidden, heads, vocab=51200, **more):
    """A dense model of GPT's shape: every head its own keys, a feed-forward four times as wide."""
    sizes = (layers, hidden, heads, heads, hidden // heads, 4 * hidden, vocab)
    return Transformer("GPT", *sizes, **more)
