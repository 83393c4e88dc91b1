"""What serving a transformer holds on a chip: weights, key-value cache and activations of a job under a plan, where they live,
and how many sequences find room at once.

Every numeric field may be an array; all arrays of one call have one length, and so has the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core import tiers
from training_moat.core.elementwise import Number, ceil, maximum, minimum, where
from training_moat.core.fabrics import Fabric
from training_moat.core.machine import Tier
from training_moat.core.tiers import USABLE_SHARE, Placement, place
from training_moat.core.workload import (
    Transformer,
    attended_tokens,
    attention_params,
    dense_ffn_params,
    derived_params,
    embedding_params,
    expert_params,
    expert_params_total,
    kv_values_per_token,
    params,
    state_values,
)

WIDE_BYTES = 2.0
"""Activations, embeddings and the output projection stay in 16 bit."""
PREFILL_CHUNK = 8192.0
"""Prompt tokens processed in one pass at most (the default of vLLM and SGLang on datacentre chips)."""


@dataclass(frozen=True)
class Job:
    """What is asked for: `batch` sequences at once, `input_len` tokens in, `output_len` tokens out, and the
    bytes one stored value takes in feed-forward weights, attention weights and the key-value cache. Prompts are
    processed in passes of at most `prefill_chunk` tokens."""

    batch: Number
    input_len: Number
    output_len: Number
    ffn_weight_bytes: Number = 2.0
    attention_weight_bytes: Number = 2.0
    kv_bytes: Number = 2.0
    prefill_chunk: Number = PREFILL_CHUNK
    wide_ffn_layers: Number = 0.0
    """Dense layers whose feed-forward weights keep the attention's format (partly quantised checkpoints)."""
    casts: Number = 0.0
    """One where inputs are cast to 8 bits or fewer before each product, else zero."""
    drafted: Number = 0.0
    """Tokens that the model's own draft layer proposes before each pass (multi-token prediction: DeepSeek-V3 2024,
    section 2.2), all verified in it."""
    copies: Number = 0.0
    """One where all sequences are copies of one, token by token, so that all of them take the same experts; else zero."""


@dataclass(frozen=True)
class ServingPlan:
    """How the model is cut.

    Attention runs in `dp` copies of `tp` chips and `pp` stages, each with its share of the batch. Experts
    spread over `ep` groups of `expert_tp` chips; where `ep x expert_tp` exceeds `tp`, several attention copies
    share one set of experts and move in step (attention data parallelism, DeepSeek-V3 2024, section 3.4).
    """

    tp: Number = 1
    pp: Number = 1
    dp: Number = 1
    ep: Number = 1
    expert_tp: Number = 1

    @property
    def chips(self) -> Number:
        """Chips the plan occupies."""
        return self.tp * self.pp * self.dp

    @property
    def expert_chips(self) -> Number:
        """Chips of one stage that share one set of experts."""
        return maximum(self.ep * self.expert_tp, 1)


@dataclass(frozen=True)
class ServingMachine:
    """One chip and its links, with the shares of its data sheet that serving software sustains.

    `ffn_flops` and `attention_flops`: matmul peaks in the formats of their weights; `score_flops` in that of the cache,
    which attention's products over the tokens before take. `tiers`: memory, fastest
    first. `scaleup`: the fabric that joins the chips of a plan's sums; `server`: the one inside a server, the same for most
    chips; `scaleout`: the one between them.
    """

    ffn_flops: Number
    attention_flops: Number
    score_flops: Number
    tiers: tuple[Tier, ...]
    scaleup: Fabric
    server: Fabric
    scaleout: Fabric
    bandwidth_efficiency: Number = 1.0
    matmul_efficiency: Number = 1.0


@dataclass(frozen=True)
class ServingMemory:
    """Bytes one chip holds."""

    weights: Number
    kv_cache: Number
    activations: Number

    @property
    def total(self) -> Number:
        """All of them."""
        return self.weights + self.kv_cache + self.activations


def kv_shards(model: Transformer, plan: ServingPlan) -> Number:
    """Parts into which tensor parallelism cuts the cache of one sequence: at most one per key-value head;
    latent attention keeps one vector for all heads, which is not cut."""
    return where(model.kv_lora_rank > 0, 1.0, minimum(plan.tp, model.kv_heads))


STATE_BYTES = 4.0
"""Bytes of a value of linear layers' states, which engines keep in 32 bits."""


def state_bytes_per_sequence(model: Transformer) -> Number:
    """Bytes of all linear layers' states of one sequence, whatever its length."""
    return model.linear_layers * state_values(model) * STATE_BYTES


def kv_bytes_per_sequence(model: Transformer, job: Job, tokens: Number) -> Number:
    """Bytes of the key-value cache of one sequence of `tokens`, all layers; windowed layers keep a window."""
    return kv_values_per_token(model) * attended_tokens(model, tokens) * job.kv_bytes


def wide_ffn_params(model: Transformer, job: Job) -> Number:
    """Dense feed-forward weights that a partly quantised checkpoint keeps in the attention's format."""
    return minimum(job.wide_ffn_layers, model.layers - model.moe_layers) * dense_ffn_params(model)


def weight_bytes(model: Transformer, job: Job) -> tuple[Number, Number]:
    """Stored bytes of (routed experts, everything else); a published parameter count scales both."""
    scale = params(model) / derived_params(model)
    attention = model.layers * attention_params(model) * job.attention_weight_bytes
    shared = model.moe_layers * model.shared_experts * expert_params(model)
    dense = (model.layers - model.moe_layers) * dense_ffn_params(model)
    wide = wide_ffn_params(model, job) * (job.attention_weight_bytes - job.ffn_weight_bytes)
    embedded = embedding_params(model) * WIDE_BYTES
    rest = attention + (shared + dense) * job.ffn_weight_bytes + wide + embedded
    return expert_params_total(model) * job.ffn_weight_bytes * scale, rest * scale


def memory(model: Transformer, job: Job, plan: ServingPlan) -> ServingMemory:
    """Bytes on one chip with all `batch` sequences at full length."""
    experts, rest = weight_bytes(model, job)
    weights = experts / (maximum(plan.expert_chips, plan.tp) * plan.pp) + rest / (plan.tp * plan.pp)
    full = kv_bytes_per_sequence(model, job, job.input_len + job.output_len)
    kept = full / kv_shards(model, plan) + state_bytes_per_sequence(model) / plan.tp
    kv_cache = ceil(job.batch / plan.dp) * kept / plan.pp
    inner = maximum(model.ffn, model.experts_per_token * model.expert_ffn) / plan.tp
    activations = (
        minimum(job.input_len, job.prefill_chunk) * (4 * model.hidden + 2 * inner) * WIDE_BYTES
    )
    return ServingMemory(weights, kv_cache, activations)


def placement(held: ServingMemory, machine: ServingMachine) -> Placement:
    """Where activations, weights and cache live on one chip."""
    wanted = {"activations": held.activations, "weights": held.weights, "kv_cache": held.kv_cache}
    return place(wanted, machine.tiers, USABLE_SHARE["serving"])


def running_batch(
    job: Job, plan: ServingPlan, machine: ServingMachine, held: ServingMemory
) -> Number:
    """Sequences whose cache finds room at once, at least one a copy and at most `batch`; the others queue."""
    room = tiers.room(machine.tiers, "serving") - held.weights - held.activations
    per_copy = ceil(job.batch / plan.dp)
    fitting = per_copy * minimum(1.0, maximum(room, 0.0) / maximum(held.kv_cache, 1.0))
    return minimum(job.batch, plan.dp * maximum(fitting, 1.0))
