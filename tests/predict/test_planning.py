"""The layouts a search tries: all possible, none absurd, none missing that published runs used."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_shapes import DEEPSEEK_V3, GPT3, LLAMA

from training_moat.core.machine import Chip, Link, Tier
from training_moat.core.plan import Plan, impossible
from training_moat.predict import planning
from training_moat.predict.planning import divisors

NODE_OF_8 = Chip(
    "eight", "eight", "any", {"bf16": 1e15}, (Tier("hbm", 80e9, 3e12),), Link(450e9, 1e-6, 8)
)
RACK_OF_72 = replace(NODE_OF_8, scaleup=Link(900e9, 1e-6, 72))
LONE = replace(NODE_OF_8, scaleup=None)
LLAMA_405B = LLAMA[405.9e9]


def layouts(*run):
    model, *_, fixed = run
    levels = () if "recompute" in fixed else planning.levels(model.experts)
    return planning.named(planning.layouts(*run), levels)


def has(found, **sizes):
    return any(all(layout[key] == value for key, value in sizes.items()) for layout in found)


def test_divisors():
    assert (
        divisors(12) == [1, 2, 3, 4, 6, 12]
        and divisors(12, 4) == [1, 2, 3, 4]
        and divisors(1) == [1]
    )


def test_published_layouts_are_among_them():
    """Narayanan et al. 2021, table 2: GPT-3 on 1,536 chips, model parallel 96 = 8 x 12. Dubey et al. 2024,
    table 4: tensor 8, pipeline 16, data 128 on 16,384 chips. DeepSeek-AI 2024, section 3.2: pipeline 16, expert 64."""
    assert has(
        layouts(GPT3, NODE_OF_8, 1536, 2048, 1536, {}),
        tp=8,
        pp=12,
        dp=16,
        micro_batch=1,
        recompute=2,
    )
    assert has(
        layouts(LLAMA_405B, NODE_OF_8, 16384, 8192, 2048, {}),
        tp=8,
        pp=16,
        dp=128,
        cp=1,
        virtual_stages=8,
    )
    assert has(layouts(LLAMA_405B, NODE_OF_8, 16384, 131072, 128, {}), tp=8, pp=16, cp=16, dp=8)
    assert has(layouts(DEEPSEEK_V3, NODE_OF_8, 2048, 4096, 15360, {}), tp=1, pp=16, dp=128, ep=64)


def test_no_tensor_group_spans_two_domains():
    sizes = {layout["tp"] for layout in layouts(GPT3, NODE_OF_8, 10752, 2048, 10752, {})}
    assert sizes == {1, 2, 4, 8}  # 3 and 6 divide chips and heads but not the eight of a node
    assert {layout["tp"] for layout in layouts(GPT3, LONE, 64, 2048, 64, {})} == {1}


def test_a_rack_of_72_may_be_used_as_64():
    sizes = {layout["tp"] for layout in layouts(GPT3, RACK_OF_72, 256, 2048, 256, {})}
    assert {1, 2, 4, 8, 16, 32} <= sizes
    assert 24 in {layout["tp"] for layout in layouts(GPT3, RACK_OF_72, 288, 2048, 288, {})}


def test_interleaving_needs_whole_rounds_of_micro_batches():
    """Narayanan et al. 2021, section 2.2.2."""
    found = layouts(GPT3, NODE_OF_8, 64, 2048, 12, {"tp": 8, "pp": 8})
    assert {layout["virtual_stages"] for layout in found if 12 // layout["micro_batch"] % 8} == {1}
    assert has(
        layouts(GPT3, NODE_OF_8, 64, 2048, 16, {"tp": 8, "pp": 8}), micro_batch=2, virtual_stages=6
    )


def test_short_sequences_are_not_split():
    assert {layout["cp"] for layout in layouts(GPT3, NODE_OF_8, 64, 2048, 64, {})} == {1}
    assert {layout["cp"] for layout in layouts(GPT3, NODE_OF_8, 64, 16384, 64, {})} == {1, 2, 4}


def test_dense_models_get_no_expert_groups():
    assert {layout["ep"] for layout in layouts(GPT3, NODE_OF_8, 64, 2048, 64, {})} == {1}


def test_zero_3_is_tried_only_without_a_pipeline():
    found = layouts(GPT3, NODE_OF_8, 64, 2048, 64, {})
    assert {layout["pp"] for layout in found if layout["zero_stage"] == 3} == {1}


def test_fixed_settings_are_kept_whatever_the_rules_of_thumb():
    fixed = {
        "tp": 3,
        "cp": 2,
        "zero_stage": 2,
        "virtual_stages": 4,
        "recompute": 1,
        "micro_batch": 2,
    }
    found = layouts(GPT3, NODE_OF_8, 96, 2048, 32, fixed)
    assert found and all(layout[key] == value for layout in found for key, value in fixed.items())


def test_large_clusters_stay_countable():
    """Memory is bounded by the count: tens of thousands of layouts of a dozen numbers."""
    assert 100 < len(layouts(LLAMA_405B, NODE_OF_8, 16384, 131072, 16384, {})) < 50_000
    assert 100 < len(layouts(DEEPSEEK_V3, NODE_OF_8, 16384, 32768, 16384, {})) < 50_000
    assert layouts(GPT3, NODE_OF_8, 10**15, 2048, 8, {}) == []


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([GPT3, LLAMA_405B, DEEPSEEK_V3]), st.sampled_from([NODE_OF_8, RACK_OF_72, LONE]),
    st.integers(1, 512), st.sampled_from([2048, 8192, 32768]), st.integers(1, 512),
)  # fmt: skip
def test_every_layout_is_possible_and_there_is_none_twice(model, chip, chips, seq_len, batch):
    found = layouts(model, chip, chips, seq_len, batch, {})
    assert len({tuple(layout.items()) for layout in found}) == len(found)
    for layout in found[:: max(1, len(found) // 50)]:
        plan = Plan(seq_len=seq_len, global_batch=batch, **layout)
        assert plan.chips == chips
        assert not [text for broken, text in impossible(model, plan) if broken]


@pytest.mark.parametrize("chips", [7, 11, 13])
def test_awkward_numbers_of_chips_still_get_data_parallelism(chips):
    assert has(layouts(GPT3, NODE_OF_8, chips, 2048, chips, {}), tp=1, pp=1, dp=chips)


def test_chips_that_stream_their_weights_are_replicas_alone():
    wafer = replace(LONE, homes={"training": ("ddr",)}, streamed=frozenset({"training"}))
    found = planning.written_out(planning.layouts(LLAMA_405B, wafer, 64, 8192, 2048, {}))
    each = dict(zip(planning.LAYOUT, found, strict=True))
    for name in ("tp", "pp", "cp", "ep", "virtual_stages"):
        assert set(each[name]) == {1}
    assert set(each["dp"]) == {64} and set(each["zero_stage"]) == {0}
    assert set(each["micro_batch"]) == {1, 2, 4, 8, 16, 32}
    rules = impossible(LLAMA_405B, Plan(8192, 2048, pp=2, dp=32, streamed=1))
    assert [text for broken, text in rules if broken] == [
        "chips that stream their weights share the batch alone: tp, pp, cp and ep must be 1"
    ]


def test_chips_that_stream_their_weights_share_no_expert():
    mixed, plan = (
        replace(LLAMA_405B, experts=8, experts_per_token=2, expert_ffn=LLAMA_405B.ffn),
        Plan(8192, 2048, dp=64, streamed=1),
    )
    for size in (1, 2):
        broken = [text for rule, text in impossible(mixed, replace(plan, expert_tp=size)) if rule]
        assert any("expert_tp must be 1" in text for text in broken) == (size > 1)
