"""Serving a transformer: seconds per decoded token, and what a client sees at a concurrency.

A decode step reads the weights its tokens touch and the key-value cache, multiplies, exchanges partial sums
and pays the software's overheads (Pope et al. 2022, section 3; Yuan et al. 2024, section 2). With continuous
batching (Yu et al. 2022) the prefill of one request stretches the steps of all others.

Every numeric field may be an array; all arrays of one call have one length, and so has the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from training_moat.core.elementwise import Number, ceil, maximum, minimum, power, where
from training_moat.core.routing import fullest, touched_experts
from training_moat.core.serving_exchange import Exchange, exchange_s, exposed_s, sums_s
from training_moat.core.serving_memory import (
    WIDE_BYTES,
    Job,
    ServingMachine,
    ServingPlan,
    kv_shards,
    memory,
    placement,
    running_batch,
    state_bytes_per_sequence,
)
from training_moat.core.tiers import Placement
from training_moat.core.workload import (
    Transformer,
    attended_tokens,
    attention_params,
    dense_ffn_params,
    expert_params,
    fused_attended_tokens,
    kv_values_per_token,
    state_flops_per_token,
)


@dataclass(frozen=True)
class Software:
    """What the serving engine adds to the hardware's time.

    Seconds per layer (kernel starts), more per expert layer (routing) and per latent-attention layer, per step (scheduling,
    sampling), per sequence that a copy's own scheduler has in a step, and per prefill pass; `expert_group_s` per expert of
    a layer that a chip holds a share of (sorting tokens by expert, one group of a grouped matmul each); `cast_s` per layer
    where inputs are cast to a narrow format first. `kv_efficiency` and `expert_efficiency`: share of the sustained memory
    bandwidth and matmul rate that attention over the cache and grouped expert matmuls keep; `score_efficiency`: share of
    the peak that attention's products reach. `kv_reread`: 0 where attention reads a key-value head once for all its query
    heads, 1 where once for each. `expert_rows`: rows by which the product of each expert is padded (kernels work in tiles);
    `dense_rows`: rows that every other product computes at least.
    `prefill_share`: the part of others' prefill that meets a sequence while it decodes; the rest meets it before its first
    token. `mixed`: 1 where running sequences get their token in a prefill pass too (chunked prefill: Agrawal et al. 2024,
    section 4), 0 where they stand still. `copy_coupling`: 1 where attention copies that share experts wait for every copy's
    prefill, 0 for none. `eager_layer_s`, `eager_expert_s`: seconds in which the host starts the operations of a layer, and of
    each expert of a layer, one by one, where no graph of them was captured; zero where one was. `cache_copied`: 1 where every
    token's step writes the cache anew, once with the token at its end and once for each query head.
    """

    layer_s: Number = 0.0
    expert_layer_s: Number = 0.0
    expert_group_s: Number = 0.0
    latent_layer_s: Number = 0.0
    step_s: Number = 0.0
    sequence_s: Number = 0.0
    prefill_pass_s: Number = 0.0
    kv_efficiency: Number = 1.0
    kv_reread: Number = 0.0
    expert_efficiency: Number = 1.0
    expert_rows: Number = 0.0
    dense_rows: Number = 0.0
    score_efficiency: Number = 1.0
    prefill_share: Number = 1.0
    mixed: Number = 0.0
    copy_coupling: Number = 1.0
    first_token_s: Number = 0.0
    cast_s: Number = 0.0
    eager_layer_s: Number = 0.0
    eager_expert_s: Number = 0.0
    cache_copied: Number = 0.0
    routing_spread: Number = 1.0
    """How freely a token's experts differ from those of the tokens beside it: 1 where routing is uniform, 0 where all
    take the same."""
    tokens_per_step: Number = 1.0
    """Tokens one pass of the model yields: above one with speculative decoding (Leviathan et al. 2023), net of the
    time that drafting takes."""
    acceptance: Number = 0.0
    """Share of drafted tokens (`Job.drafted`) that the model accepts, each given that those before it were."""
    exchange: Exchange | None = None
    """How tokens travel to experts that copies share; None: in 16 bits, and every pass waits for it."""


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of one decode step by cause; they add up to `total`."""

    weights: Number
    kv_cache: Number
    communication: Number
    overhead: Number

    @property
    def total(self) -> Number:
        """Seconds of the whole step."""
        return self.weights + self.kv_cache + self.communication + self.overhead


@dataclass(frozen=True)
class ServingTime:
    """What a client sees: seconds to the first token and per further token; output tokens per second of all
    chips of the plan; sequences running at once; others' prefill in each token; the decode step behind it."""

    ttft_s: Number
    tpot_s: Number
    tokens_per_s: Number
    running: Number
    prefill_wait_s: Number
    step: StepSeconds


class Service(NamedTuple):
    """What is asked about: a model under a load, laid out on chips, run by an engine."""

    model: Transformer
    job: Job
    plan: ServingPlan
    machine: ServingMachine
    software: Software


def _matmul_s(
    weights: Number, tokens: Number, byte_s: Number, bytes_each: Number, flops: Number
) -> Number:
    """Roofline of one matmul: reading its weights or multiplying, whichever is slower."""
    return maximum(weights * bytes_each * byte_s, 2 * weights * tokens / flops)


def attention_core_s(
    asked: Service, tokens: Number, byte_s: Number, queries: Number = 1.0
) -> Number:
    """One step's attention of `tokens` sequences over their cache, all layers: reading it or multiplying it by the
    `queries` tokens of each.

    Latent attention multiplies every head with the compressed vector (DeepSeek-V2 2024, section 2.1.2).
    """
    model, job, plan, m, software = asked
    seen = attended_tokens(model, job.input_len + job.output_len / 2)
    groups = where(model.kv_lora_rank > 0, 1.0, model.heads / maximum(model.kv_heads, 1))
    # Joined: read and written. Repeated for the heads: read once, written and read by each.
    reads = where(software.cache_copied > 0, 3 + 2 * groups, power(groups, software.kv_reread))
    read = (
        tokens * seen * kv_values_per_token(model) * job.kv_bytes / kv_shards(model, plan) * reads
    )
    # A state is read and written for every token.
    read = read + 2 * tokens * state_bytes_per_sequence(model) / plan.tp
    width = where(
        model.kv_lora_rank > 0, 2 * model.kv_lora_rank + model.qk_rope_head_dim, 2 * model.head_dim
    )
    flops = 2 * tokens * queries * seen * model.layers * model.heads / plan.tp * width
    flops = flops + tokens * queries * state_flops_per_token(model) / plan.tp
    return maximum(
        read * byte_s / software.kv_efficiency, flops / (m.score_flops * software.score_efficiency)
    )


def expert_layer_s(asked: Service, tokens: Number, byte_s: Number) -> Number:
    """One layer's routed experts for `tokens` tokens pooled over the chips that share them: on the chip that tokens chose
    most, for which the others wait."""
    model, job, plan, m, software = asked
    size = expert_params(model) / plan.expert_tp
    choices = 1 + maximum(tokens - 1, 0.0) * software.routing_spread * (1 - job.copies)
    own = maximum(model.experts, 1) / plan.ep
    touched = fullest(touched_experts(model, choices) / plan.ep, plan.ep, own)
    read = touched * size * job.ffn_weight_bytes * byte_s
    drawn = maximum(choices * model.experts_per_token / plan.ep, 1e-9)
    uneven = fullest(drawn, plan.ep, drawn * plan.ep) / drawn
    rows = tokens * model.experts_per_token / plan.ep * uneven + touched * software.expert_rows
    flops = 2 * size * rows
    return maximum(read, flops / (m.ffn_flops * m.matmul_efficiency * software.expert_efficiency))


def attention_weights_s(asked: Service, tokens: Number, byte_s: Number) -> Number:
    """Seconds one chip spends on the attention's weight matrices of all layers, as `matmuls_s` counts them."""
    model, job, plan, m, software = asked
    flops = m.attention_flops * m.matmul_efficiency
    params, rows = attention_params(model) / plan.tp, maximum(tokens, software.dense_rows)
    return model.layers * _matmul_s(params, rows, byte_s, job.attention_weight_bytes, flops)


def matmuls_s(
    asked: Service, tokens: Number, byte_s: Number, sampled: Number | None = None
) -> Number:
    """Seconds one chip spends on the weight matrices of all layers for `tokens` tokens of its copy, and on the output
    projection of those that are `sampled` (default: all); `byte_s` is the sustained cost of reading one byte of weights."""
    model, job, plan, m, software = asked
    ffn_flops = m.ffn_flops * m.matmul_efficiency
    share, rows = 1.0 / plan.tp, maximum(tokens, software.dense_rows)
    attention = attention_weights_s(asked, tokens, byte_s)
    dense_params = dense_ffn_params(model) * share
    dense = _matmul_s(dense_params, rows, byte_s, job.ffn_weight_bytes, ffn_flops)
    shared_params = model.shared_experts * expert_params(model) * share
    shared = _matmul_s(shared_params, rows, byte_s, job.ffn_weight_bytes, ffn_flops)
    pooled = tokens * maximum(plan.expert_chips * share, 1.0)
    routed = expert_layer_s(asked, pooled, byte_s)
    head_flops = m.attention_flops * m.matmul_efficiency
    last = rows if sampled is None else maximum(sampled, software.dense_rows)
    head = _matmul_s(model.vocab * model.hidden * share, last, byte_s, WIDE_BYTES, head_flops)
    moe = model.moe_layers
    return attention + (model.layers - moe) * dense + moe * (shared + routed) + head


def decode_step(asked: Service, batch: Number, where_: Placement) -> StepSeconds:
    """Seconds per token until every one of `batch` running sequences has its next one, by cause.

    A pipeline works on `pp` groups of sequences at a time: a token passes all stages with its group, which has
    one sequence at least. With speculative decoding one pass verifies several tokens of each sequence, whose
    weights and cache it reads once. An engine that can work a batch off in parts, each computing while another's tokens
    travel, does so where that is faster.
    """
    at_once, exchange = _step_in_parts(asked, batch, where_, 1.0), asked.software.exchange
    if exchange is None:
        return at_once
    in_turns = _step_in_parts(asked, batch, where_, exchange.micro_batches)
    faster = in_turns.total < at_once.total
    chosen = {
        cause.name: where(faster, getattr(in_turns, cause.name), getattr(at_once, cause.name))
        for cause in fields(StepSeconds)
    }
    return StepSeconds(**chosen)


def _step_in_parts(asked: Service, batch: Number, where_: Placement, parts: Number) -> StepSeconds:
    """A decode step whose sequences are worked off in `parts`: each reads the weights and starts the kernels anew, and its
    tokens travel to their experts and back beside another's attention (DeepSeek-V3 2024, section 3.4.2)."""
    model, job, plan, m, software = asked
    sequences = maximum(batch / (plan.dp * plan.pp * parts), 1.0)
    verified = software.tokens_per_step + job.drafted
    tokens = sequences * verified
    # A draft is one layer more for every token it proposes.
    drafting = 1.0 + job.drafted / model.layers
    weight_byte_s = where_.seconds_per_byte["weights"] / m.bandwidth_efficiency
    cache_byte_s = where_.seconds_per_byte["kv_cache"] / m.bandwidth_efficiency
    attention_launches = (
        model.layers * drafting * (software.layer_s + job.casts * software.cast_s)
        + where(model.kv_lora_rank > 0, model.layers, 0.0) * software.latent_layer_s
    )
    launches = attention_launches + model.moe_layers * (
        software.expert_layer_s + model.experts / plan.ep * software.expert_group_s
    )
    scheduling = software.step_s + maximum(batch / plan.dp, 1.0) * verified * software.sequence_s
    per_token = 1.0 / (software.tokens_per_step * accepted_tokens(job, software))
    layered = parts * per_token * drafting
    weights = layered * matmuls_s(asked, tokens, weight_byte_s)
    cache = layered * attention_core_s(asked, sequences, cache_byte_s, verified)
    started = parts * per_token * launches
    attention = layered * attention_weights_s(asked, tokens, weight_byte_s)
    beside = attention + cache + parts * per_token * attention_launches
    exchange = layered * exchange_s(model, plan, m, tokens, software.exchange)
    exposed = exposed_s(exchange, beside, parts)
    sums = layered * sums_s(model, plan, m, tokens)
    chip = weights + cache + sums + exposed + started
    waited = maximum(parts * per_token * drafting * eager_pass_s(model, software) - chip, 0.0)
    return StepSeconds(weights, cache, sums + exposed, started + waited + per_token * scheduling)


def eager_pass_s(model: Transformer, software: Software) -> Number:
    """Seconds in which the host starts all operations of one pass where no graph of them was captured. The host runs ahead of
    the chip, which waits only where it is done sooner (vllm_pull_1926); each expert is asked for its tokens in turn
    (transformers, modeling_qwen2_moe.py)."""
    experts = model.moe_layers * model.experts * software.eager_expert_s
    return model.layers * software.eager_layer_s + experts


def accepted_tokens(job: Job, software: Software) -> Number:
    """Tokens a pass yields on average when `job.drafted` are proposed and each is accepted with the same probability
    once those before it were (Leviathan et al. 2023, equation 1); one without a draft."""
    share = software.acceptance
    return (1.0 - power(share, job.drafted + 1.0)) / (1.0 - share)


def prefill_s(asked: Service, where_: Placement) -> Number:
    """Seconds to process one prompt on an otherwise idle copy, pass by pass."""
    job = asked.job
    passes = ceil(job.input_len / job.prefill_chunk)
    return passes * _prefill_pass_s(asked, where_, job.input_len / passes) + _scores_s(asked)


def _prefill_pass_s(asked: Service, where_: Placement, tokens: Number) -> Number:
    """Seconds of one pass of `tokens` prompt tokens but for attention's scores, in parts where that is faster: one part's
    exchange runs beside another's products (DeepSeek-V3 2024, section 3.4.1). Of each prompt the last token alone meets the
    output projection (vLLM, gpu_model_runner.py: `compute_logits` of the states at `logits_indices`)."""
    model, job, plan, m, software = asked
    byte_s = where_.seconds_per_byte["weights"] / m.bandwidth_efficiency

    def in_parts(parts: Number) -> Number:
        each = tokens / parts
        sampled = maximum(each / job.input_len, 1.0)
        products = parts * matmuls_s(asked, each, byte_s, sampled)
        exchange = parts * exchange_s(model, plan, m, each, software.exchange)
        return (
            products
            + parts * sums_s(model, plan, m, each)
            + exposed_s(exchange, products, parts)
            + software.prefill_pass_s
        )

    fastest = in_parts(1.0)
    if software.exchange is not None:
        fastest = minimum(fastest, in_parts(software.exchange.micro_batches))
    return maximum(fastest, eager_pass_s(model, software))


def _scores_s(asked: Service) -> Number:
    """Seconds of attention's scores and sums over the values of one whole prompt."""
    model, job, plan, m, software = asked
    width = model.heads * (model.query_key_dim + model.value_dim) / plan.tp
    scores = 2 * model.layers * job.input_len * fused_attended_tokens(model, job.input_len) * width
    scores = scores + job.input_len * state_flops_per_token(model) / plan.tp
    return scores / (m.score_flops * software.score_efficiency)


def others_prefill_s(
    asked: Service, where_: Placement, step: StepSeconds, others: Number
) -> Number:
    """Seconds by which the prefills of `others` prompts lengthen one client's request.

    In a closed loop every other sequence of a copy passes one prefill while a client's own request passes through. Where
    more come than a request has steps, those that fall on one step go through together as far as a pass has room (Yu et
    al. 2022, section 3; Agrawal et al. 2024, section 4). A pass that mixes prompt and running sequences also gives these
    their token: it saves a step less its reading of the cache.
    """
    job, software = asked.job, asked.software
    alone = others * ceil(job.input_len / job.prefill_chunk)
    passes = minimum(alone, maximum(job.output_len, others * job.input_len / job.prefill_chunk))
    each = where(others > 0, others / maximum(passes, 1e-9), 1.0) * job.input_len
    together = passes * _prefill_pass_s(asked, where_, each)
    met = together + others * _scores_s(asked)
    saved = software.mixed * minimum(alone, job.output_len) * (step.total - step.kv_cache)
    return maximum(met - saved, 0.0)


def coupled_prefills(job: Job, plan: ServingPlan, software: Software, running: Number) -> Number:
    """How many times its own prefill passes a copy stands still for, where copies share experts and move in step: for every
    copy's, but those that fall on one step pass together."""
    passes = running / (plan.dp * plan.pp) * ceil(job.input_len / job.prefill_chunk)
    per_step = maximum(passes / job.output_len, 1e-9)
    met = fullest(per_step, plan.dp, per_step * plan.dp) / per_step
    return power(met, software.copy_coupling)


def serve(
    model: Transformer, job: Job, plan: ServingPlan, m: ServingMachine, software: Software
) -> ServingTime:
    """A closed loop of `batch` clients under continuous batching.

    A client's request meets the prefills of all others of its copy once: a part of them while it decodes, which lengthens
    its tokens, the rest before its first token. Clients beyond the running batch wait for whole requests.
    """
    asked = Service(model, job, plan, m, software)
    held = memory(model, job, plan)
    where_ = placement(held, m)
    running = running_batch(job, plan, m, held)
    step = decode_step(asked, running, where_)
    one_prefill = prefill_s(asked, where_)
    coupled = where(
        plan.expert_chips > plan.tp, coupled_prefills(job, plan, software, running), 1.0
    )
    others = maximum(running / (plan.dp * plan.pp) * coupled - 1, 0.0)
    met = others_prefill_s(asked, where_, step, others)
    wait = software.prefill_share * met / job.output_len
    tpot = step.total + wait
    ttft = software.first_token_s + step.total + one_prefill + (1 - software.prefill_share) * met
    ttft = ttft + (job.batch / running - 1) * (ttft + job.output_len * tpot)
    rate = job.batch * job.output_len / (ttft + job.output_len * tpot)
    return ServingTime(ttft, tpot, rate, running, wait, step)
