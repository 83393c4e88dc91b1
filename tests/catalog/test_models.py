"""Architectures: the weights counted from each shape against the published count."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_moat.catalog import models, tables
from training_moat.core import workload
from training_moat.core.errors import InputError

ROUNDED = 0.035
"""Two printed digits hide this much of a count below two billion."""

CLOSE = 0.012
"""Biases, norms and rounding to three digits stay below this."""


def counted_shapes():
    """Models whose published count holds no weights outside their shape."""
    frame = tables.load("models")
    return frame[
        (frame["params_basis"] == "shape")
        & (frame["confirmed"] == "yes")
        & frame["params_b"].notna()
    ]


@pytest.mark.parametrize(
    ("model_id", "published_b"),
    list(counted_shapes()[["id", "params_b"]].itertuples(index=False, name=None)),
)
def test_counted_weights_are_the_published_ones(model_id, published_b):
    counted_b = workload.derived_params(models.model(model_id)) / 1e9
    assert counted_b == pytest.approx(published_b, rel=ROUNDED if published_b < 5 else CLOSE)


def test_published_counts_win_where_weights_lie_outside_the_shape():
    """Gopher 280B: relative-position matrices come on top of the shape (Rae et al. 2021, table 1)."""
    gopher = models.model("gopher-280b")
    assert workload.params(gopher) == 280e9
    assert workload.derived_params(gopher) < 0.95 * 280e9


def test_latent_attention_keeps_a_small_cache():
    """DeepSeek-V2 2024, table 1: 512 + 64 values a layer."""
    assert workload.kv_values_per_token(models.model("deepseek-v3")) == 61 * 576


@pytest.mark.parametrize(
    ("spelling", "model_id"),
    [
        ("Llama-3.1-70B", "llama3.1-70b"),
        ("LLAMA3_70B", "llama3.1-70b"),
        ("GPT-3 175B (MLPerf)", "gpt3-175b"),
        ("GPT-2 2B", "gpt2-2b"),
        ("GPT 22B", "megatron-22b"),
        ("GPT 175B", "megatron-175b"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-v3"),
        ("GPT-3", "gpt3-175b"),
        ("palm", "palm-540b"),
        ("MT-NLG", "megatron-530b"),
    ],
)
def test_spellings_of_the_measurements(spelling, model_id):
    assert models.resolve(spelling) == model_id


def test_unknown_model_names_the_nearest():
    with pytest.raises(
        InputError, match="unknown model 'llama3.1-7Ob'; did you mean 'llama3.1-70b'"
    ):
        models.model("llama3.1-7Ob")
    assert models.find("no such model") is None


def test_a_fourfold_width_is_a_plain_block_and_other_widths_are_gated():
    assert models.from_record({"layers": 2, "hidden": 64, "heads": 4, "ffn": 256}).gated_ffn == 0
    assert models.from_record({"layers": 2, "hidden": 64, "heads": 4, "ffn": 172}).gated_ffn == 1


def test_a_given_count_settles_the_shape_and_wins():
    """Llama 2 7B's sizes and count alone tell a gated block and untied embeddings."""
    shape = {
        "layers": 32,
        "hidden": 4096,
        "heads": 32,
        "ffn": 11008,
        "vocab": 32000,
        "params_b": 6.74,
    }
    model = models.from_record(shape)
    assert (model.gated_ffn, model.tied_embeddings) == (1, 0)
    assert workload.params(model) == 6.74e9


def test_changing_a_shape_drops_its_bases_count():
    smaller = models.from_record({"base": "gopher-280b", "layers": 40})
    assert workload.params(smaller) == workload.derived_params(smaller) < 140e9


def test_naming_a_base_alone_is_the_base():
    assert models.from_record({"base": "llama3.1-8b", "name": "Llama 3.1 8B"}) == models.model(
        "llama3.1-8b"
    )


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            {"layers": 3, "heads": 5},
            "hidden is missing; a model needs at least layers and hidden, or params_b, or a base",
        ),
        (
            {"layers": 2, "hidden": 64, "heads": 0},
            "column heads: '0' is wrong; expected a whole number above 0",
        ),
        ({"layers": 2, "hidden": 64, "heads": 9}, "expected heads that divide it, or head_dim"),
        (
            {"layers": 2, "hidden": 64, "heads": 8, "kv_heads": 3},
            "8 heads and 3 kv_heads; expected kv_heads that divide the heads",
        ),
        (
            {"layers": 2, "hidden": 64, "heads": 8, "experts": 4, "experts_per_token": 5},
            "experts_per_token is 5; expected at most experts, 4",
        ),
        (
            {"layers": 2, "hidden": 64, "heads": 8, "experts_per_token": 2},
            "experts_per_token is 2, but there are no experts; expected their number, or neither",
        ),
        (
            {"layers": True, "hidden": 64, "heads": 8},
            "column layers: expected a whole number from 1",
        ),
        (
            {"experts": float("nan"), "experts_per_token": 2, "params_b": 7},
            "column experts: 'nan' is wrong; expected a whole number from 0",
        ),
        ({"kv_heads": 10**400}, "column kv_heads: '1000000"),
        ({"params_b": 10**400}, "column params_b: '1000000"),
        (
            {"params_b": float("nan")},
            "column params_b: 'nan' is wrong; expected a number in billion",
        ),
        (
            {"params_b": 8, "active_params_b": 9},
            "active_params_b is 9; expected at most params_b, 8",
        ),
        ({}, "layers is missing"),
        ({"layers": 3, "hidden": 5, "heads": 1, "experts": 8}, "experts_per_token is missing"),
        (
            {"layers": "many", "hidden": 5, "heads": 1},
            "column layers: 'many' is wrong; expected a whole number",
        ),
        (
            {"layers": 2.5, "hidden": 5, "heads": 1},
            "column layers: '2.5' is wrong; expected a whole number",
        ),
        (
            {"base": "deepseek-v3", "dense_layers": 62},
            "dense_layers is 62; expected at most layers, 61",
        ),
        (
            {"base": "deepseek-v3", "expert_ffn": 0},
            "expert_ffn is 0; expected the inner width of an",
        ),
        (
            {"base": "deepseek-v3", "routing_groups": 7},
            "expected a number that divides the experts",
        ),
        (
            {"base": "deepseek-v3", "routed_groups": 9},
            "routed_groups is 9; expected at most routing_g",
        ),
        (
            {"base": "llama3.1-8b", "experts": 8},
            "experts_per_token is 0; expected at least 1 of the",
        ),
        (
            {"base": "gemma3-12b", "attention_window": 0},
            "attention_window is 0; expected more, with 40",
        ),
        (
            {"base": "llama3.1-8b", "attention": "mla"},
            "attention is mla; expected kv_lora_rank with it",
        ),
        ({"layers": 2, "hiden": 5, "heads": 1}, "unknown column 'hiden'; did you mean 'hidden'"),
        ({"base": "lama3.1-8b"}, "unknown model 'lama3.1-8b'; did you mean 'llama3.1-8b'"),
    ],
)
def test_bad_records_say_what_is_wrong(record, sentence):
    with pytest.raises(InputError) as caught:
        models.from_record(record)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("linear", [{"linear_layers": 24}, {"full_attention_interval": 4}])
def test_linear_layers_without_sizes_have_the_models_own_heads(linear):
    """As the data package says of blanks: a state for each of 32 heads, 128 by 128."""
    model = models.from_record({"base": "llama3.1-8b"} | linear)
    assert model.linear_layers == 24
    assert workload.state_values(model) == 32 * 128 * 128


@settings(deadline=None, max_examples=25)
@given(
    layers=st.integers(1, 200),
    heads=st.integers(1, 128),
    head_dim=st.integers(1, 256),
    params_b=st.one_of(st.none(), st.floats(0.001, 1e4)),
)
def test_any_sizes_make_a_complete_model(layers, heads, head_dim, params_b):
    model = models.from_record(
        {"layers": layers, "hidden": heads * head_dim, "heads": heads, "params_b": params_b}
    )
    assert model.kv_heads == heads and model.head_dim == head_dim
    assert workload.derived_params(model) > 0
    if params_b is not None:
        assert workload.params(model) == pytest.approx(params_b * 1e9)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7.62),
        ("gemma-2-9b", 9.24),
        ("google/gemma-3-27b-it", 27.0),
        ("phi-4", 14.7),
        ("Phi-3", 3.82),
        ("mistral-small", 23.6),
        ("Mistral-Nemo-Instruct-2407", 12.2),
        ("mistral-large", 123.0),
        ("olmo-2-13b", 13.7),
        ("meta-llama/Llama-3.2-1B", 1.24),
        ("falcon-180b", 179.0),
        ("gpt2-xl", 1.56),
        ("qwen3-next", 80.0),
        ("glm-4.5-air", 106.0),
        ("Kimi-K2-Instruct", 1040.0),
        ("allenai/OLMo-2-0325-32B", 32.2),
        ("google/gemma-4-26B-A4B-it", 25.2),
        ("01-ai/Yi-34B-Chat", 34.4),
        ("LGAI-EXAONE/EXAONE-3.5-32B-Instruct", 32.0),
        ("ibm-granite/granite-3.2-8b-instruct", 8.17),
        ("Command R+", 104.0),
        ("Codestral-22B-v0.1", 22.2),
        ("MiniMax-M1", 456.0),
        ("bert-base-uncased", 0.109),
        ("DeepSeek-V3.2", 671.0),
        ("Qwen/Qwen3.5-397B-A17B", 397.0),
        ("Qwen/Qwen3.5-122B-A10B", 122.0),
        ("Qwen/Qwen3-Coder-480B-A35B-Instruct", 480.0),
        ("deepseek-ai/DeepSeek-V4-Flash", 284.0),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B", 120.0),
        ("nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B", 550.0),
        ("nvidia/Nemotron-H-56B-Base-8K", 56.0),
        ("EleutherAI/pythia-2.8b-deduped", 2.8),
        ("HuggingFaceTB/SmolLM2-1.7B-Instruct", 1.7),
        ("mistralai/Mistral-Large-3-675B-Instruct-2512", 673.0),
        ("Mistral Small 4", 119.0),
        ("zai-org/GLM-4.7-Flash", 29.9),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", 8.89),
        ("nvidia/Nemotron-H-47B-Base-8K", 46.8),
        ("facebook/opt-66b", 65.7),
        ("bigscience/bloom-3b", 3.0),
        ("deepseek-ai/deepseek-llm-67b-chat", 67.4),
        ("ai21labs/Jamba-v0.1", 51.6),
        ("databricks/dbrx-instruct", 131.6),
        ("allenai/OLMoE-1B-7B-0924", 6.92),
        ("Qwen/Qwen-14B-Chat", 14.2),
    ],
)
def test_names_of_widely_used_models_lead_to_shapes_of_their_size(name, billions):
    """The published counts of weights, which also tell whether input and output share their embedding."""
    assert workload.params(models.model(name)) == pytest.approx(billions * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("said", "model_id"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3.1-8b"), ("Llama-2-70b-chat-hf", "llama2-70b"),
        ("Qwen2.5-72B-Instruct", "qwen2.5-72b"), ("Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"), ("DeepSeek-V3-0324", "deepseek-v3"),
        ("google/gemma-2-9b-it", "gemma2-9b"), ("codellama/CodeLlama-34b-hf", "code-llama-34b"),
        ("tiiuae/falcon-40b-instruct", "falcon-40b"), ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b"),
    ],
)  # fmt: skip
def test_a_tuned_release_has_the_sizes_of_its_model(said, model_id):
    assert models.resolve(said) == model_id


@pytest.mark.parametrize(
    "said",
    ["Qwen2.5-72B-Instruct-AWQ", "neuralmagic/Meta-Llama-3-8B-Instruct-FP8", "instruct", "a/"],
)
def test_a_format_in_a_models_name_is_not_lost(said):
    with pytest.raises(InputError, match="unknown model"):
        models.resolve(said)


def test_a_models_name_cut_short_is_answered_with_the_models_that_it_begins():
    for name, expected in (
        ("llama3.1", "did you mean 'llama3.1-8b', 'llama3.1-70b' or 'llama3.1-405b'?"),
        ("gpt-4", "did you mean 'gpt4-report'?"),
        ("Llama 70B", "did you mean 'llama2-70b'?"),
        ("Qwen2.7-72B", "did you mean 'qwen2.5-72b'?"),
        ("gpt5", "did you mean 'gpt"),  # and not GPT 530B, whose number it would cut
    ):
        with pytest.raises(InputError) as problem:
            models.resolve(name)
        assert expected in str(problem.value)
    assert models.resolve("gpt2") == "gpt2-124m"


@pytest.mark.parametrize(
    ("said", "model_id"),
    [
        ("MiniMax-M2.7", "minimax-m2.5"), ("Kimi-K2.5", "kimi-k2.5"), ("Kimi-K2-Instruct-0905", "kimi-k2"), ("DeepSeek-R1-0528", "deepseek-v3"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "llama3.1-70b"), ("Qwen/QwQ-32B", "qwen2.5-32b"),
        ("Qwen3-Coder-30B-A3B-Instruct", "qwen3-30b-a3b"), ("Mistral-7B-Instruct-v0.3", "mistral-7b-v0.2"),
        ("zai-org/GLM-4.6", "glm-4.7"), ("GLM-5.1", "glm-5"), ("Qwen3.6-35B-A3B", "qwen3.5-35b-a3b"),
        ("Mistral-Small-3.2-24B-Instruct-2506", "mistral-small-24b"), ("Qwen3-VL-235B-A22B", "qwen3-235b-a22b"),
        ("moonshotai/Kimi-K2-Thinking", "kimi-k2.5"), ("Qwen3-30B-A3B-Thinking-2507", "qwen3-30b-a3b"),
        ("Qwen2.5-Coder-32B-Instruct", "qwen2.5-32b"), ("Qwen/Qwen2.5-Math-7B", "qwen2.5-7b"),
        ("Qwen/Qwen3-VL-32B-Instruct", "qwen3-32b"), ("Qwen2.5-VL-7B-Instruct", "qwen2.5-7b"),
        ("llama-3.3-70b-versatile", "llama3.1-70b"), ("vicuna-13b-v1.5", "llama2-13b"),
    ],
)  # fmt: skip
def test_a_release_is_known_without_its_owner_and_by_the_shape_it_was_trained_from(said, model_id):
    assert models.resolve(said) == model_id


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen3.5-397B", 17), ("Qwen3.5-122B", 10), ("Qwen3-Coder-480B-A35B", 35), ("DeepSeek-V4-Flash", 13),
        ("DeepSeek-V4-Pro", 49), ("Mistral Large 3", 39), ("OLMoE-1B-7B-0924", 1.3), ("Jamba", 12), ("Ling-mini-2.0", 1.43),
        ("Nemotron 3 Super", 12), ("Nemotron 3 Ultra", 55), ("MiMo-V2-Flash", 15),
    ],
)  # fmt: skip
def test_what_a_token_visits_of_a_model_of_experts_is_what_its_name_says(name, billions):
    counted = workload.derived_active_params(models.model(name))
    assert counted == pytest.approx(billions * 1e9, rel=0.08)


def test_a_hybrids_layers_are_counted_by_what_they_are():
    """23 Mamba-2, six attention layers and 23 mixtures of experts (the pattern in its configuration): the cache is that of
    six layers, and a mixture stands behind 23 mixers of 29."""
    nano = models.model("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B")
    assert (nano.layers - nano.linear_layers, nano.moe_layers) == (6, 23)
    assert workload.state_values(nano) == 64 * 64 * 128
    one_token = workload.kv_values_per_token(nano) * workload.attended_tokens(nano, 1000) / 1000
    assert one_token == pytest.approx(6 * 2 * 2 * 128)


@pytest.mark.parametrize(
    ("said", "model_id"),
    [
        ("Qwen3-4B-Thinking-2507", "qwen3-4b"), ("Qwen3-Next-80B-A3B-Thinking", "qwen3-next-80b-a3b"),
        ("Olmo-3-32B-Think", "olmo3-32b"), ("allenai/OLMo-2-1124-13B-DPO", "olmo2-13b"),
        ("nvidia/DeepSeek-R1-0528-FP4-v2", "deepseek-v3"), ("Kimi-K2-Thinking", "kimi-k2.5"),
        ("EleutherAI/pythia-1.4b-deduped", "pythia-1.4b"), ("codellama/CodeLlama-7b-Python-hf", "code-llama-7b"),
        ("Command R+", "command-r-plus"), ("CohereForAI/c4ai-command-r-v01", "command-r-35b"),
    ],
)  # fmt: skip
def test_what_a_release_was_tuned_for_does_not_hide_its_model(said, model_id):
    assert models.resolve(models.stored_as(said)[0]) == model_id


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Llama-3.1-405B-Instruct-FP8", ("Llama-3.1-405B-Instruct", "fp8")),
        ("amd/Llama-3.1-405B-Instruct-FP8-KV", ("amd/Llama-3.1-405B-Instruct", "fp8-kv")),
        ("Qwen2.5-72B-Instruct-GPTQ-Int4", ("Qwen2.5-72B-Instruct", "gptq-int4")),
        ("Meta-Llama-3.1-70B-quantized.w4a16", ("Meta-Llama-3.1-70B", "w4a16")),
        ("Qwen3-30B-A3B", ("Qwen3-30B-A3B", "")),
    ],
)
def test_a_checkpoints_name_tells_its_format(said, expected):
    assert models.stored_as(said) == expected
