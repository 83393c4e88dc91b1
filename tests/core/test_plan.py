"""Which plans are possible, and what each broken rule says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_moat.core.plan import (
    Plan,
    impossible,
    layers_fit_pipeline,
    layers_split_evenly,
    stage_layers,
)
from training_moat.core.workload import Transformer

MODEL = Transformer("dense", 96, 12288, 96, 96, 128, 4 * 12288, 50257)
MIXTURE = replace(MODEL, experts=8, experts_per_token=2, expert_ffn=4096)
GOOD = Plan(seq_len=2048, global_batch=64, micro_batch=2, tp=8, pp=8, dp=4)


def broken(model, plan):
    return [text for condition, text in impossible(model, plan) if condition]


def test_a_good_plan_breaks_nothing():
    assert broken(MODEL, GOOD) == []
    assert broken(MIXTURE, replace(GOOD, ep=8)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"pp": 97}, "pp x virtual_stages is above the number of layers"),
     ({"virtual_stages": 13}, "pp x virtual_stages is above the number of layers"),
     ({"expert_tp": 2}, "expert_tp above 1 needs a model with experts"),
     ({"tp": 5}, "the attention heads do not divide over tp"),
     ({"micro_batch": 3}, "global_batch is not a multiple of dp x micro_batch"),
     ({"global_batch": 4}, "global_batch is too small for dp x micro_batch"),
     ({"cp": 3}, "seq_len is not a multiple of cp"),
     ({"ep": 2}, "ep above 1 needs a model with experts"),
     ({"pp": 1, "virtual_stages": 2}, "virtual_stages above 1 needs pp above 1")],
)  # fmt: skip
def test_each_rule_says_what_is_wrong(change, sentence):
    assert sentence in broken(MODEL, replace(GOOD, **change))


def test_experts_must_divide_and_fit():
    assert broken(MIXTURE, replace(GOOD, ep=3)) == [
        "the experts do not divide over ep",
        "ep does not divide tp x cp x dp",
        "ep x expert_tp does not divide tp x cp x dp",
    ]
    assert broken(MIXTURE, replace(GOOD, tp=1, dp=4, ep=8)) == [
        "ep does not divide tp x cp x dp",
        "ep x expert_tp does not divide tp x cp x dp",
    ]


def test_experts_are_cut_by_tensor_parallelism_unless_there_are_as_many_groups():
    """Megatron-Core's expert_tensor_parallel_size defaults to the tensor-parallel size."""
    assert Plan(4096, 8, tp=8).expert_tensor == 8
    assert Plan(4096, 8, tp=8, ep=8).expert_tensor == 1
    assert Plan(4096, 64, tp=4, ep=2, dp=2).expert_tensor == 4
    assert Plan(4096, 64, tp=8, expert_tp=2).expert_tensor == 2


def test_layers_as_published_runs_lay_them_out():
    """BLOOM: 70 layers and two embeddings over 12 stages (Scao et al. 2022, section 3.4.2). Llama 3.1 405B: 126
    and two over 16 (Dubey et al. 2024, section 3.3.2). DeepSeek-V3: 61 over 16 by hand (DeepSeek-AI 2024, 3.2)."""
    assert layers_fit_pipeline(replace(MODEL, layers=70), Plan(2048, 2048, pp=12))
    assert layers_fit_pipeline(replace(MODEL, layers=126), Plan(8192, 2048, pp=16))
    assert layers_fit_pipeline(
        replace(MIXTURE, layers=61, dense_layers=3), Plan(4096, 15360, pp=16)
    )
    assert layers_fit_pipeline(replace(MODEL, layers=61), Plan(4096, 15360, pp=16))
    assert not layers_split_evenly(replace(MODEL, layers=61), Plan(4096, 15360, pp=16))
    assert layers_fit_pipeline(
        replace(MODEL, layers=126), Plan(8192, 2048, pp=16, virtual_stages=8)
    )
    assert not layers_fit_pipeline(
        replace(MIXTURE, layers=61, dense_layers=3), Plan(4096, 15360, pp=62)
    )


def test_the_fullest_stage_rounds_its_share_up():
    assert stage_layers(replace(MODEL, layers=61), Plan(4096, 64, pp=16)) == 4
    assert stage_layers(replace(MODEL, layers=80), Plan(4096, 64, pp=32)) == 3
    assert stage_layers(replace(MODEL, layers=126), Plan(4096, 64, pp=16, virtual_stages=8)) == 8
    assert stage_layers(replace(MODEL, layers=96), Plan(4096, 64, pp=8, virtual_stages=3)) == 12
    # Where rounding up would leave virtual stages empty, five layers beyond one each go to five of the stages.
    assert stage_layers(replace(MODEL, layers=61), Plan(4096, 64, pp=8, virtual_stages=7)) == 8
    assert stage_layers(replace(MODEL, layers=61), Plan(4096, 64, pp=2, virtual_stages=8)) == 32


def test_derived_sizes():
    """Narayanan et al. 2021, table 1, last row: 3,072 GPUs, tensor 8, pipeline 64, batch 3,072, so 6 replicas of 512."""
    plan = Plan(seq_len=2048, global_batch=3072, tp=8, pp=64, dp=6)
    assert (plan.chips, plan.micro_batches, plan.tokens_per_step) == (3072, 512, 3072 * 2048)


plans = st.builds(
    Plan, seq_len=st.sampled_from([1024, 4096, 5000]), global_batch=st.integers(1, 96), micro_batch=st.integers(1, 4),
    tp=st.integers(1, 16), pp=st.integers(1, 16), dp=st.integers(1, 8), cp=st.integers(1, 4), ep=st.integers(1, 16),
    virtual_stages=st.integers(1, 6),
)  # fmt: skip


@given(
    st.lists(plans, min_size=2, max_size=6),
    st.sampled_from([MODEL, MIXTURE, replace(MIXTURE, dense_layers=3)]),
)
def test_arrays_of_plans_break_the_same_rules(rows, model):
    together = Plan(
        **{
            name: np.array([getattr(row, name) for row in rows], float)
            for name in rows[0].__dataclass_fields__
        }
    )
    found = impossible(model, together)
    for index, row in enumerate(rows):
        flags = [bool(np.broadcast_to(condition, len(rows))[index]) for condition, _ in found]
        assert flags == [bool(condition) for condition, _ in impossible(model, row)]
