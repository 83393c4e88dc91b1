"""Serving: published cache sizes, bounds nothing may break, tiers, arrays as numbers."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_shapes import DEEPSEEK_V3, LLAMA

from training_moat.core import routing, serving_memory, serving_step
from training_moat.core.fabrics import Fabric
from training_moat.core.machine import Tier
from training_moat.core.tiers import place
from training_moat.core.workload import Transformer, active_params, embedding_params

LLAMA_70B, LLAMA_405B = LLAMA[70.6e9], LLAMA[405.9e9]
LINK = Fabric(450e9, 1e-6, eager_efficiency=0.3, launch_s=5e-6, bulk_step_latency_s=3e-6)


def machine(
    hbm_gb: float = 80, sram_gb: float = 0.0, flops: float = 1e15, bytes_per_s: float = 3.35e12
) -> serving_step.ServingMachine:
    tiers = (Tier("sram", sram_gb * 1e9, 80e12), Tier("hbm", hbm_gb * 1e9, bytes_per_s))
    network = replace(LINK, topology="fat_tree", bulk_step_latency_s=1e-4, step_latency_s=1e-4)
    return serving_step.ServingMachine(
        flops, flops, flops, tiers[0 if sram_gb else 1 :], LINK, LINK, network
    )


def test_cache_per_token_as_published() -> None:
    """ "Insights into DeepSeek-V3" (Zhao et al. 2025), table 1: 70.272 kB and 516.096 kB a token in BF16."""
    job = serving_step.Job(1, 1, 0)
    assert serving_memory.kv_bytes_per_sequence(DEEPSEEK_V3, job, 1) == pytest.approx(70_272)
    assert serving_memory.kv_bytes_per_sequence(LLAMA_405B, job, 1) == pytest.approx(516_096)
    assert serving_memory.kv_bytes_per_sequence(
        LLAMA_70B, replace(job, kv_bytes=1.0), 1
    ) == pytest.approx(163_840)


def test_latent_attention_is_not_cut_by_tensor_parallelism_and_grouped_heads_are_cut_to_one() -> (
    None
):
    plan = serving_step.ServingPlan(tp=16, expert_tp=16)
    assert serving_step.kv_shards(DEEPSEEK_V3, plan) == 1
    assert serving_step.kv_shards(LLAMA_70B, plan) == 8


def test_one_token_touches_its_experts_and_many_touch_all() -> None:
    assert routing.touched_experts(DEEPSEEK_V3, 1) == pytest.approx(8)
    assert routing.touched_experts(DEEPSEEK_V3, 4096) == pytest.approx(256, rel=1e-3)


def test_copies_of_one_prompt_read_the_experts_of_one_token() -> None:
    """Sixty-four copies read what one sequence reads, sixty-four prompts nearly all experts; a dense model's weights are
    read once either way."""
    step = serving_step.Software(expert_rows=0.0)

    def weights(model, sequences, copies):
        job = serving_step.Job(sequences, 1, 2, copies=copies)
        return serving_step.serve(
            model, job, serving_step.ServingPlan(tp=16, expert_tp=16), machine(hbm_gb=200), step
        ).step.weights

    assert weights(DEEPSEEK_V3, 64, 1.0) == pytest.approx(weights(DEEPSEEK_V3, 1, 0.0), rel=0.05)
    assert weights(DEEPSEEK_V3, 64, 0.0) > 4 * weights(DEEPSEEK_V3, 64, 1.0)
    assert weights(LLAMA_70B, 64, 1.0) == weights(LLAMA_70B, 64, 0.0)


def test_one_sequence_decodes_as_fast_as_memory_is_read() -> None:
    big = machine(hbm_gb=200)
    told = serving_step.serve(
        LLAMA_70B,
        serving_step.Job(1, 1, 2),
        serving_step.ServingPlan(),
        big,
        serving_step.Software(),
    )
    read = 2 * (active_params(LLAMA_70B) - LLAMA_70B.vocab * LLAMA_70B.hidden)
    assert told.step.weights == pytest.approx(read / 3.35e12, rel=1e-6)


def test_clients_beyond_the_memory_queue() -> None:
    job = serving_step.Job(512, 4096, 1024)
    plan = serving_step.ServingPlan(tp=4, expert_tp=4)
    small, large = (
        serving_step.serve(LLAMA_70B, job, plan, machine(gb), serving_step.Software())
        for gb in (60, 600)
    )
    assert small.running < 512 and large.running == 512
    assert small.ttft_s > large.ttft_s


def test_tiers_fill_from_the_fastest_and_say_what_overflows() -> None:
    tiers = (Tier("sram", 10.0, 100.0), Tier("ddr", 100.0, 1.0))
    found = place({"weights": 50.0, "kv_cache": 100.0}, tiers, usable_share=1.0)
    assert found.held["weights"] == (10.0, 40.0) and found.held["kv_cache"] == (0.0, 60.0)
    assert found.overflow == {"weights": 0.0, "kv_cache": 40.0}
    assert found.seconds_per_byte["weights"] == pytest.approx((10 / 100 + 40 / 1) / 50)


batches = st.integers(1, 512)
lengths = st.integers(1, 32768)
shapes = st.sampled_from([LLAMA_70B, DEEPSEEK_V3])


@given(sram=st.floats(0.01, 50), more=st.floats(1, 20), batch=batches, length=lengths, model=shapes)
def test_more_sram_never_slows_decoding(
    sram: float, more: float, batch: int, length: int, model: Transformer
) -> None:
    job, plan = (
        serving_step.Job(batch, length, 64, 1.0, 1.0),
        serving_step.ServingPlan(tp=8, expert_tp=8),
    )
    steps = []
    for size in (sram, sram * more):
        m = machine(hbm_gb=2000, sram_gb=size)
        where_ = serving_step.placement(serving_step.memory(model, job, plan), m)
        asked = serving_step.Service(model, job, plan, m, serving_step.Software())
        steps.append(serving_step.decode_step(asked, batch, where_).total)
    assert steps[1] <= steps[0] * (1 + 1e-9)


@given(length=lengths, more=st.integers(0, 32768), model=shapes, window=st.integers(0, 4096))
def test_longer_context_never_shrinks_the_cache(
    length: int, more: int, model: Transformer, window: int
) -> None:
    windowed = replace(model, attention_window=window, windowed_layers=model.layers // 2)
    job = serving_step.Job(1, length, 0)
    assert serving_memory.kv_bytes_per_sequence(
        windowed, job, length + more
    ) >= serving_memory.kv_bytes_per_sequence(windowed, job, length)


@given(
    batch=batches,
    length=lengths,
    output=st.integers(1, 4096),
    tp=st.sampled_from([1, 2, 4, 8]),
    efficiency=st.floats(0.1, 1.0),
    model=shapes,
)
@settings(max_examples=200)
def test_tokens_never_exceed_the_bandwidth_or_flop_bound(
    batch: int, length: int, output: int, tp: int, efficiency: float, model: Transformer
) -> None:
    m = replace(machine(hbm_gb=2000), bandwidth_efficiency=efficiency, matmul_efficiency=efficiency)
    job, plan = (
        serving_step.Job(batch, length, output, 1.0, 1.0),
        serving_step.ServingPlan(tp=tp, expert_tp=tp),
    )
    told = serving_step.serve(model, job, plan, m, serving_step.Software())
    flops = 2 * (active_params(model) - embedding_params(model))
    assert told.tokens_per_s * flops <= tp * 1e15 * (1 + 1e-9)
    read_at_least = active_params(model) - embedding_params(model)  # one byte each, once per step
    assert told.tokens_per_s / told.running * read_at_least <= tp * 3.35e12 * (1 + 1e-9)


@given(
    batch=st.lists(batches, min_size=2, max_size=4),
    length=lengths,
    tp=st.sampled_from([1, 4, 8]),
    dp=st.sampled_from([1, 8]),
)
@settings(max_examples=60)
def test_arrays_answer_as_numbers_do(batch: list[int], length: int, tp: int, dp: int) -> None:
    m = machine(hbm_gb=500)
    software = serving_step.Software(
        1e-5,
        2e-5,
        1e-5,
        1e-3,
        1e-5,
        3e-3,
        first_token_s=0.03,
        prefill_share=0.9,
        mixed=0.5,
        expert_rows=20.0,
    )
    plan = serving_step.ServingPlan(tp, 1, dp, tp * dp, 1)
    count = len(batch)
    spread = serving_step.ServingPlan(
        **{f.name: np.full(count, float(getattr(plan, f.name))) for f in fields(plan)}
    )
    job = serving_step.Job(
        np.array(batch, float), np.full(count, float(length)), np.full(count, 100.0)
    )
    together = serving_step.serve(DEEPSEEK_V3, job, spread, m, software)
    for index, one in enumerate(batch):
        alone = serving_step.serve(
            DEEPSEEK_V3, serving_step.Job(one, length, 100), plan, m, software
        )
        assert together.tpot_s[index] == pytest.approx(float(alone.tpot_s))
        assert together.ttft_s[index] == pytest.approx(float(alone.ttft_s))
        assert together.tokens_per_s[index] == pytest.approx(float(alone.tokens_per_s))


def test_a_request_meets_every_other_prefill_once() -> None:
    """Before its first token or while it decodes: what a client does not wait for in one it waits for in the other."""
    job, plan = serving_step.Job(64, 2048, 128), serving_step.ServingPlan(tp=4, expert_tp=4)
    asked = (LLAMA_70B, job, plan, machine(hbm_gb=600))
    stacks = [serving_step.Software(prefill_share=share) for share in (0.0, 0.4, 1.0)]
    told = [serving_step.serve(*asked, stack) for stack in stacks]
    assert told[0].ttft_s > told[1].ttft_s > told[2].ttft_s
    assert told[0].tpot_s < told[1].tpot_s < told[2].tpot_s
    assert [one.tokens_per_s for one in told] == pytest.approx([told[0].tokens_per_s] * 3)
    whole = told[0].ttft_s + 128 * told[0].tpot_s
    where = serving_step.placement(serving_step.memory(LLAMA_70B, job, plan), asked[-1])
    prefill_s = serving_step.prefill_s(serving_step.Service(*asked, stacks[0]), where)
    assert whole == pytest.approx(told[0].step.total * 129 + 64 * prefill_s)


def test_without_a_captured_graph_the_chip_waits_for_the_host() -> None:
    """The longer of the two counts: 80 layers of 1 ms beside 43 ms of weights, or beside a batch that takes longer."""
    plan, m = serving_step.ServingPlan(), machine(hbm_gb=2000)
    graph = serving_step.Software(layer_s=1e-5)
    eager = replace(graph, eager_layer_s=1e-3, eager_expert_s=1e-3)

    def step(model: Transformer, batch: float, stack: serving_step.Software) -> float:
        job = serving_step.Job(batch, 1, 2)
        return float(serving_step.serve(model, job, plan, m, stack).step.total)

    assert step(LLAMA_70B, 1, graph) < 0.08
    assert step(LLAMA_70B, 1, eager) == pytest.approx(0.08)
    assert step(LLAMA_70B, 8192, eager) == pytest.approx(step(LLAMA_70B, 8192, graph))
    # Every expert of a layer is asked for its tokens, touched or not.
    layers = DEEPSEEK_V3.layers + DEEPSEEK_V3.moe_layers * DEEPSEEK_V3.experts
    assert step(DEEPSEEK_V3, 1, eager) == pytest.approx(layers * 1e-3)


def test_a_framework_copies_the_cache_for_every_token() -> None:
    """Eight query heads a key-value head: joined (two passes over it), repeated (nine) and read (eight)."""
    plan, m, job = (serving_step.ServingPlan(), machine(hbm_gb=2000), serving_step.Job(1, 32768, 2))
    paged, copied = (
        serving_step.serve(LLAMA_70B, job, plan, m, serving_step.Software(cache_copied=flag)).step
        for flag in (0.0, 1.0)
    )
    assert copied.kv_cache / paged.kv_cache == pytest.approx(19.0)


def test_prompts_that_fall_on_one_step_go_through_together() -> None:
    """63 short prompts within a request of four steps are four passes, not 63: the weights are read four times."""
    plan, m = serving_step.ServingPlan(tp=4, expert_tp=4), machine(hbm_gb=600)
    stack = serving_step.Software(prefill_pass_s=0.01)

    def waited(job: serving_step.Job, stack: serving_step.Software = stack) -> float:
        told = serving_step.serve(LLAMA_70B, job, plan, m, stack)
        return float(told.prefill_wait_s * job.output_len)

    def one_prefill(job: serving_step.Job) -> float:
        where = serving_step.placement(serving_step.memory(LLAMA_70B, job, plan), m)
        asked = serving_step.Service(LLAMA_70B, job, plan, m, stack)
        return float(serving_step.prefill_s(asked, where))

    few, many = serving_step.Job(64, 16, 4), serving_step.Job(64, 16, 63)
    assert waited(many) == pytest.approx(63 * one_prefill(many))
    assert 4 * one_prefill(few) < waited(few) < 8 * one_prefill(few)
    quick = replace(stack, prefill_pass_s=0.0)
    assert waited(few) - waited(few, quick) == pytest.approx(4 * 0.01)
    full = serving_step.Job(64, 8192, 4)
    assert waited(full) == pytest.approx(63 * one_prefill(full))


def test_only_the_last_token_of_a_prompt_meets_the_output_projection() -> None:
    """A vocabulary adds to a prompt the reading of its weights; to a step of as many sequences their products."""
    plan, m, software = serving_step.ServingPlan(), machine(hbm_gb=2000), serving_step.Software()
    narrow, wide = (replace(LLAMA_70B, vocab=size) for size in (1, 128256))
    prompt, answers = serving_step.Job(1, 4096, 1), serving_step.Job(4096, 1, 1)

    def asked(model: Transformer, job: serving_step.Job) -> serving_step.Service:
        return serving_step.Service(model, job, plan, m, software)

    def prefill(model: Transformer) -> float:
        held = serving_memory.memory(model, prompt, plan)
        return serving_step.prefill_s(asked(model, prompt), serving_memory.placement(held, m))

    weights = (128256 - 1) * 8192
    read, multiplied = 2 * weights / 3.35e12, 2 * 4096 * weights / 1e15
    assert prefill(wide) - prefill(narrow) == pytest.approx(read, rel=1e-6)
    steps = [
        serving_step.matmuls_s(asked(model, answers), 4096, 1 / 3.35e12) for model in (narrow, wide)
    ]
    assert steps[1] - steps[0] == pytest.approx(multiplied - 2 * 8192 / 3.35e12, rel=1e-6)


def test_a_prompt_beyond_a_window_sees_what_the_mask_leaves() -> None:
    """Chunks of 8,192 cut 32,768 tokens into four: a quarter of the pairs of the whole (Llama 4)."""
    plan, m = serving_step.ServingPlan(), machine(hbm_gb=2000)
    job = serving_step.Job(1, 32768, 1)
    chunked = replace(LLAMA_70B, attention_chunk=8192, chunked_layers=80)
    whole, cut = (
        serving_step._scores_s(serving_step.Service(model, job, plan, m, serving_step.Software()))
        for model in (LLAMA_70B, chunked)
    )
    assert whole == pytest.approx(2 * 80 * 32768**2 / 2 * 2 * 8192 / 1e15)
    assert cut == pytest.approx(whole / 4)


def test_a_pass_that_mixes_prompts_and_answers_saves_a_step_but_not_the_cache() -> None:
    job, plan = serving_step.Job(16, 4096, 512), serving_step.ServingPlan(tp=4, expert_tp=4)
    apart, mixed = (
        serving_step.serve(
            LLAMA_70B, job, plan, machine(hbm_gb=600), serving_step.Software(mixed=share)
        )
        for share in (0.0, 1.0)
    )
    saved = 15 * (apart.step.total - apart.step.kv_cache) / 512
    assert apart.tpot_s - mixed.tpot_s == pytest.approx(saved)
    tiny = replace(job, input_len=1)
    told = serving_step.serve(
        LLAMA_70B, tiny, plan, machine(hbm_gb=600), serving_step.Software(mixed=1.0)
    )
    assert told.prefill_wait_s == pytest.approx(0.0, abs=1e-6)


def test_products_of_experts_with_few_rows_fill_their_tiles() -> None:
    """2,048 tokens of eight experts each are 64 rows for each of 256 experts: tiles of 64 rows more double their work."""
    plan, job = serving_step.ServingPlan(tp=8, expert_tp=8), serving_step.Job(4, 1, 2, 1.0)
    stacks = [serving_step.Software(expert_rows=rows) for rows in (0.0, 64.0)]
    asked = serving_step.Service(DEEPSEEK_V3, job, plan, machine(hbm_gb=600), stacks[0])
    exact, padded = (
        serving_step.expert_layer_s(asked._replace(software=stack), 2048, 0.0) for stack in stacks
    )
    assert padded / exact == pytest.approx(2.0, rel=0.05)


def test_a_product_of_few_rows_costs_a_tile() -> None:
    """Where memory is fast beside the units, as on H20, one row takes as long as the 64 of a tile, and 64 no longer."""
    plan, job = serving_step.ServingPlan(), serving_step.Job(1, 1, 2, 1.0)
    exact, tiled = (serving_step.Software(dense_rows=rows) for rows in (0.0, 64.0))
    asked = serving_step.Service(LLAMA_70B, job, plan, machine(hbm_gb=600), exact)
    tile = asked._replace(software=tiled)
    assert serving_step.matmuls_s(tile, 1, 0.0) == serving_step.matmuls_s(asked, 64, 0.0)
    assert serving_step.matmuls_s(tile, 1, 1e-9) == serving_step.matmuls_s(asked, 1, 1e-9)
    for tokens in (64, 1000):
        assert serving_step.matmuls_s(tile, tokens, 0.0) == serving_step.matmuls_s(
            asked, tokens, 0.0
        )


def test_a_draft_yields_what_is_accepted_for_the_experts_it_touches() -> None:
    """Leviathan et al. 2023, equation 1: (1 - a^(k+1)) / (1 - a) tokens a pass."""
    plain, drafted = serving_step.Job(4, 1024, 1024), serving_step.Job(4, 1024, 1024, drafted=3.0)
    software = serving_step.Software(layer_s=1e-5, acceptance=0.6)
    accepted = serving_step.accepted_tokens(drafted, software)
    assert serving_step.accepted_tokens(plain, software) == 1
    assert accepted == pytest.approx(1 + 0.6 + 0.36 + 0.216)
    assert serving_step.accepted_tokens(drafted, serving_step.Software()) == 1
    plan = serving_step.ServingPlan(tp=8, expert_tp=8)

    def gain(layer_s: float) -> float:
        told = replace(software, layer_s=layer_s)
        steps = [
            serving_step.serve(DEEPSEEK_V3, job, plan, machine(192), told).step.total
            for job in (plain, drafted)
        ]
        return steps[0] / steps[1]

    assert gain(1e-2) == pytest.approx(accepted / (1 + 3 / 61), rel=0.03)
    assert gain(1e-5) < 0.8 * gain(1e-2)


def test_a_pipeline_over_servers_pays_the_network_once_a_server() -> None:
    job = serving_step.Job(1, 1024, 128)
    software = serving_step.Software()

    def communication(tp: int, pp: int) -> float:
        plan = serving_step.ServingPlan(tp=tp, pp=pp, expert_tp=tp)
        found = serving_step.serve(LLAMA_405B, job, plan, machine(192), software)
        return float(found.step.communication)

    one_server, two_servers = communication(2, 4), communication(2, 8)
    assert 0.5e-4 < two_servers - one_server < 4e-4
    assert communication(16, 1) > communication(8, 2) + 50 * 1e-4


def test_every_copy_schedules_its_own_sequences() -> None:
    """Attention in many copies: each has a scheduler, which handles its own share. Copies with as many sequences each take
    as long for a step however many there are; with what they handled together counted to every one of them, wide groups
    came out ten times slower than DeepSeek's and SGLang's own."""
    software = serving_step.Software(sequence_s=1e-5)

    def overhead(copies: int) -> float:
        plan = serving_step.ServingPlan(dp=copies, ep=copies)
        job = serving_step.Job(64 * copies, 1024, 512)
        return serving_step.serve(DEEPSEEK_V3, job, plan, machine(2000), software).step.overhead

    assert overhead(1) == pytest.approx(64e-5)
    assert overhead(128) == pytest.approx(overhead(1))


@pytest.mark.parametrize("mean", [0.02, 0.3, 2.0, 50.0])
@pytest.mark.parametrize("places", [2, 8, 64])
def test_the_fullest_place_is_as_full_as_chance_makes_it(mean: float, places: int) -> None:
    """Against a million draws, within a quarter."""
    drawn = np.random.default_rng(1).poisson(mean, (20_000, places)).max(axis=1).mean()
    found = routing.fullest(mean, places, mean * places)
    assert found == pytest.approx(drawn, rel=0.25)
    assert routing.fullest(mean, 1, mean) == pytest.approx(mean)


def test_the_chip_whose_experts_are_chosen_most_decides() -> None:
    """Few tokens over many groups of experts: the fullest group reads more than the mean one; many tokens even out."""
    machine_, software = machine(2000), serving_step.Software(expert_rows=0.0)

    def seconds(tokens: float, groups: int) -> float:
        plan = serving_step.ServingPlan(tp=8, ep=groups, expert_tp=8 // groups)
        job = serving_step.Job(tokens, 1024, 512)
        asked = serving_step.Service(DEEPSEEK_V3, job, plan, machine_, software)
        return serving_step.expert_layer_s(asked, tokens, 1 / 3.35e12)

    assert seconds(4, 8) > 1.5 * seconds(4, 1)
    assert seconds(100_000, 8) == pytest.approx(seconds(100_000, 1), rel=0.05)


def test_prompts_of_copies_that_fall_on_one_step_pass_together() -> None:
    """Few prompts a step: a copy waits for every copy's. So many that every step has one: for no more than those."""
    software = serving_step.Software(copy_coupling=1.0)

    def waits(copies: int, output: int) -> float:
        plan = serving_step.ServingPlan(dp=copies, ep=copies)
        job = serving_step.Job(32 * copies, 1024, output)
        return serving_step.coupled_prefills(job, plan, software, job.batch)

    assert waits(8, 100_000) == pytest.approx(8, rel=0.01)
    assert waits(256, 512) < 0.1 * 256
