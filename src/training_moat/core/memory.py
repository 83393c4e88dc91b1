"""What one chip must hold to train: weights, gradients, optimizer state, activations, workspace.

Activation bytes follow Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer
Models"), equations 1 to 5, written for any feed-forward width, gated blocks and grouped-query attention;
sharding of the model states follows ZeRO (Rajbhandari et al. 2020, section 5). All answers are bytes on the
fullest chip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from training_moat.core.elementwise import (
    Number,
    ceil,
    logical_and,
    logical_or,
    maximum,
    minimum,
    some,
    where,
)
from training_moat.core.optimizer_states import (
    MASTER_BYTES,
    WEIGHT_BYTES,
    gradients_at_peak,
    optimizer_bytes,
)
from training_moat.core.output_head import kept_output_bytes, logit_bytes
from training_moat.core.plan import Plan, stage_layers
from training_moat.core.workload import (
    Transformer,
    embedding_params,
    expert_params,
    expert_params_total,
    lora_params,
    params,
)

RESIDUAL_BYTES = 2.0
"""A value of the stream between layers: 16 bits."""
AUTOCAST_BYTES = 4.0
"""Of that stream, and of a gathered weight, where `torch.autocast` alone lowers the precision: parameters are FP32, and so is
what an embedding looks up in them and what is added to it (PyTorch, Automatic Mixed Precision: op eligibility). The cache of
casts holds no copy of sharded weights: it takes leaves that require a gradient and are no views (PyTorch, autocast_mode.cpp),
and FSDP computes with views of what it gathered."""
FP32_GRADIENT_BYTES = 4.0
"""Gradients accumulated in FP32, as Megatron-Core does for BF16 runs."""


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes one chip holds, by kind. `reserve` is the part of the workspace that the runtime takes beside the tensors:
    contexts, communication buffers, the allocator's slack. `stored`: what a store outside all chips holds, counted once.
    `gradients` are those that stand at the peak, `gradients_made` all of them once the backward pass is done."""

    weights: Number
    gradients: Number
    optimizer: Number
    activations: Number
    workspace: Number
    reserve: Number = 0.0
    stored: Number = 0.0
    gradients_made: Number = 0.0

    @property
    def total(self) -> Number:
        """All kinds together, in bytes: what the chip must have room for."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.workspace

    @property
    def allocated(self) -> Number:
        """Bytes of tensors alone, as frameworks report their peak ("max allocated")."""
        return self.total - self.reserve


class Kept(NamedTuple):
    """What a stack keeps of its activations.

    `input_bytes`: a value of a matmul's kept input. `factor`: what its layers keep, where they are not recomputed, against
    those of one whose operations are fused. `spare_layers`: layers' activations that it holds beyond those under way, as
    stacks on Transformer Engine do, which also make the output head's weight gradient in 16 bits before they add it up.
    `autocast` (0 or 1): FP32 parameters under `torch.autocast` and no mixed precision of the sharding, so that layers are
    gathered in FP32 and read an FP32 stream; `kv` (0 or 1): see `kept_output_bytes`; `torch_native` (0 or 1): optimizer and
    sharding are PyTorch's own, see `gradients_at_peak` and `gathered_weight_bytes`.
    """

    input_bytes: Number = 2.0
    factor: Number = 1.0
    spare_layers: Number = 0.0
    autocast: Number = 0
    kv: Number = 0
    torch_native: Number = 0

    @property
    def residual_bytes(self) -> Number:
        """Bytes of a value of the stream between layers."""
        return where(self.autocast, AUTOCAST_BYTES, RESIDUAL_BYTES)


FUSED = Kept()
"""What stacks with fused operations keep of 16-bit runs."""


class Reserve(NamedTuple):
    """What the runtime takes whatever the plan (contexts, communication buffers), and what the allocator loses as a share of
    the activations; both are calibrated."""

    bytes: Number = 0.0
    share: Number = 0.0


NO_RESERVE = Reserve()


def expert_data_ranks(plan: Plan) -> Number:
    """Chips of one stage that hold copies of the same part of an expert."""
    shared = maximum(plan.ep, 1) * plan.expert_tensor
    return maximum(plan.tp * plan.cp * plan.dp / shared, 1)


def params_per_stage(model: Transformer, plan: Plan) -> tuple[Number, Number]:
    """Weights per chip before any ZeRO sharding, on the fullest stage: (dense, expert).

    The first and the last stage hold an embedding matrix on top of their layers; with one stage both are there.
    """
    experts = expert_params_total(model)
    layered = params(model) - experts - embedding_params(model)
    embedding = where(plan.pp > 1, model.vocab * model.hidden, embedding_params(model))
    layers = stage_layers(model, plan)
    dense = (layered * layers / model.layers + embedding) / plan.tp
    # Few dense layers come first (DeepSeek-AI 2024), so that all layers of later stages have experts; many alternate with
    # those that have them (Lepikhin et al. 2020; Llama 4 Maverick).
    after_dense = minimum(layers / maximum(model.moe_layers, 1), 1)
    share = where(2 * model.dense_layers < model.layers, after_dense, layers / model.layers)
    return dense, experts * share / (maximum(plan.ep, 1) * plan.expert_tensor)


def trained_params_per_stage(
    model: Transformer, plan: Plan, every: tuple[Number, Number] | None = None
) -> tuple[Number, Number]:
    """Those of `every`, what `params_per_stage` gives, that are trained: all, or the adapters alone where the plan has a
    `lora_rank`."""
    dense, expert = every or params_per_stage(model, plan)
    if not some(plan.lora_rank):
        return dense, expert
    adapters = lora_params(model, plan.lora_rank) * stage_layers(model, plan) / model.layers
    adapted = plan.lora_rank > 0
    return where(adapted, adapters / plan.tp, dense), where(adapted, 0.0, expert)


def own_share(plan: Plan, weights: tuple[Number, Number], first_sharding_stage: int) -> Number:
    """Weights, dense and expert, that one chip holds where that stage of ZeRO and those above share them out."""
    dense, expert = weights
    sharded = plan.zero_stage >= first_sharding_stage
    dense_ranks = where(sharded, plan.dp * plan.cp, 1)
    expert_ranks = where(sharded, expert_data_ranks(plan), 1)
    return dense / dense_ranks + expert / expert_ranks


def layer_activation_bytes(
    model: Transformer,
    plan: Plan,
    recompute: Number,
    input_bytes: Number = 2.0,
    residual_bytes: Number = RESIDUAL_BYTES,
) -> Number:
    """Activations one layer keeps for the backward pass of one micro-batch, per chip.

    `recompute` is given apart from the plan's own level because a fully recomputed layer needs the room
    of an unrecomputed one while it is being redone. `input_bytes`: what a matmul's kept input takes per value;
    runs in 8 bits keep it as cast (Micikevicius et al. 2022; NVIDIA Transformer Engine). `residual_bytes`: a value of
    the stream that the layer and its two norms read.
    """
    tokens = plan.micro_batch * plan.seq_len / plan.cp
    # What drops out keeps its mask and its output beside the softmax; recipes with gated blocks, since LLaMA (Touvron et
    # al. 2023), have none.
    dropout = where(logical_or(plan.flash_attention > 0, model.gated_ffn > 0), 0.0, 1.0)
    shares = where(plan.sequence_parallel > 0, plan.tp, 1)
    light = logical_and(recompute == 1, plan.flash_attention > 0)
    norms = 2 * residual_bytes + where(light, 1, 2) * input_bytes
    replicated = (norms + 2 * dropout) * model.hidden / shares
    projections = 2 * _projected_width(model, light)
    kept_scores = (2.0 + 3.0 * dropout) * model.heads * plan.seq_len
    scores = where(plan.flash_attention > 0, 0.0, kept_scores)
    scores = where(recompute >= 1, 0.0, scores)
    split = (projections + scores) / plan.tp + _ffn_activation_bytes_per_token(
        model, plan, input_bytes, light
    )
    # Fully recomputed layers keep their input, which sequence parallelism has already split.
    kept_input = tokens * residual_bytes * model.hidden / shares
    if some(plan.attention_kept):
        attention = 2.0 * tokens * model.heads * model.value_dim / plan.tp
        kept_input = kept_input + where(plan.attention_kept > 0, attention, 0.0)
    return where(recompute >= 2, kept_input, tokens * (replicated + split))


def _projected_width(model: Transformer, light: Number) -> Number:
    """Values per token of queries, keys, values and the attention's output; of latent attention's the compressed ones
    alone where the rest is made again (`light`)."""
    keys_values = where(model.kv_lora_rank > 0, model.heads, model.kv_heads)
    whole = model.heads * model.query_key_dim + keys_values * (
        model.query_key_dim + model.value_dim
    )
    latent = model.q_lora_rank + model.kv_lora_rank + model.qk_rope_head_dim
    return (
        where(logical_and(light, model.kv_lora_rank > 0), latent, whole)
        + model.heads * model.value_dim
    )


def _ffn_activation_bytes_per_token(
    model: Transformer, plan: Plan, input_bytes: Number, light: Number
) -> Number:
    """Inner activations of the mean layer's feed-forward block: dense, or the experts a token visits; `light`: what the
    activation function gives is made again."""
    per_width = 2 + 2 * model.gated_ffn + where(light, 0, input_bytes)
    dense = per_width * model.ffn / plan.tp
    routed = per_width * model.expert_ffn + (2 + input_bytes) * model.hidden
    shared = per_width * model.shared_experts * model.expert_ffn / plan.tp
    expert = model.experts_per_token * routed / plan.tp + shared
    moe_share = model.moe_layers / model.layers
    return (1 - moe_share) * dense + moe_share * expert


def layers_in_flight(model: Transformer, plan: Plan) -> Number:
    """Layer-activations alive at once on the first stage: one per layer and micro-batch under way
    (1F1B: Narayanan et al. 2021, section 2.2; interleaving: Korthikanti et al. 2022, section 4.2.3)."""
    waiting = minimum(plan.pp, maximum(plan.micro_batches, 1))
    interleaving = where(
        plan.virtual_stages > 1, 1 + (plan.pp - 1) / (plan.pp * plan.virtual_stages), 1
    )
    return stage_layers(model, plan) * waiting * interleaving


def activation_bytes(model: Transformer, plan: Plan, kept: Kept = FUSED) -> Number:
    """Activations on the fullest chip: the first stage with all its micro-batches, or the last with the logits."""
    layer, redone, logits = _layer_and_head(model, plan, kept)
    first = layers_in_flight(model, plan) * layer + where(
        plan.pp > 1, redone, maximum(redone, logits)
    )
    last = stage_layers(model, plan) * layer + maximum(redone, logits)
    return maximum(first, last)


def _layer_and_head(model: Transformer, plan: Plan, kept: Kept) -> tuple[Number, Number, Number]:
    """Bytes that the mean layer keeps, those of a layer being made again, and those of the logits."""
    factor, widths = kept.factor, (kept.input_bytes, kept.residual_bytes)
    whole = lightest = factor * layer_activation_bytes(model, plan, 0 * plan.recompute, *widths)
    if some(plan.recompute):
        lightest = layer_activation_bytes(model, plan, plan.recompute, *widths)
        lightest = where(plan.recompute >= 2, 1.0, factor) * lightest
    layer = where(
        plan.recompute >= 2,
        plan.recompute_share * lightest + (1 - plan.recompute_share) * whole,
        lightest,
    )
    # The layer being redone has its input kept already.
    redone = where(plan.recomputed_layers > 0, whole - lightest, 0)
    return layer, redone, logit_bytes(model, plan, where(factor > 1, 1, 0), kept.torch_native)


def held_activation_bytes(model: Transformer, plan: Plan, kept: Kept) -> Number:
    """Activations on the fullest chip with what the stack holds beyond those under way."""
    held = activation_bytes(model, plan, kept)
    if some(kept.spare_layers):
        widths = (kept.input_bytes, kept.residual_bytes)
        spare = kept.spare_layers * layer_activation_bytes(model, plan, plan.recompute, *widths)
        head = WEIGHT_BYTES * model.vocab * model.hidden / plan.tp
        held = held + spare + where(kept.spare_layers > 0, head, 0.0)
    if some(kept.kv):
        held = held + where(kept.kv, kept_output_bytes(model, plan), 0.0)
    return held


def least_recompute_share(
    model: Transformer, plan: Plan, weigh: Callable[[Plan], Number], capacity_bytes: Number
) -> Number:
    """The smallest share of layers to recompute for a chip to hold the run, in whole layers of a stage; one where
    even that is too much. `weigh` gives the bytes of a plan.

    Between a single recomputed layer and all of them memory falls linearly with the share.
    """
    most = weigh(replace(plan, recompute=2, recompute_share=1e-9))
    fewest = weigh(replace(plan, recompute=2, recompute_share=1.0))
    share = (most - capacity_bytes) / maximum(most - fewest, 1.0)
    own = stage_layers(model, plan)
    return minimum(maximum(ceil(share * own - 1e-9), 1) / own, 1.0)


def gathered_weight_bytes(
    model: Transformer, plan: Plan, every: tuple[Number, Number], weight_bytes: Number, kept: Kept
) -> Number:
    """Weights a ZeRO-3 chip has unsharded at once, of `every` that `params_per_stage` gives: the layer at work and the one
    fetched ahead; inside a pipeline the whole stage's, with the gradients that add up over its micro-batches (torchtitan,
    docs/fsdp.md: no resharding there). PyTorch's FSDP keeps its outermost unit, the embeddings and the head, gathered from
    the forward pass on (PyTorch, `fully_shard`: `reshard_after_forward`)."""
    layer = (params(model) - expert_params_total(model) - embedding_params(model)) / model.layers
    experts = model.experts * expert_params(model) / (maximum(plan.ep, 1) * plan.expert_tensor)
    gathered = 2 * weight_bytes * (layer / plan.tp + experts)
    dense, expert = every
    whole = (weight_bytes + FP32_GRADIENT_BYTES) * (dense + expert)
    fetched = logical_or(plan.zero_stage >= 3, plan.offload >= 2)
    if some(kept.torch_native):
        root = weight_bytes * embedding_params(model) / plan.tp
        rooted = logical_and(kept.torch_native > 0, plan.zero_stage >= 3)
        gathered = gathered + where(rooted, root, 0.0)
    sharded = where(
        logical_and(plan.zero_stage >= 3, plan.pp > 1), whole, where(fetched, gathered, 0)
    )
    if not some(plan.streamed):
        return sharded
    beside = _layer_and_head(model, plan, kept)[1:]
    return where(plan.streamed > 0, _layer_at_work(model, gathered / 2, *beside), sharded)


def _layer_at_work(model: Transformer, layer: Number, redone: Number, logits: Number) -> Number:
    """Weights that a chip has aboard to which they are streamed: one `layer`, or the output head, whichever takes more with
    the activations made beside it, of which `activation_bytes` counts the larger (Cerebras documentation, Weight Streaming
    Execution: the weights of one layer must fit)."""
    beyond = logits - redone
    head = WEIGHT_BYTES * model.vocab * model.hidden
    return maximum(layer - maximum(beyond, 0.0), head + minimum(beyond, 0.0))


def _weights_held(plan: Plan, every: tuple[Number, Number], weight: Number, kept: Kept) -> Number:
    """Bytes of `every` weight that a chip holds throughout. Under ZeRO-2 PyTorch's FSDP has them gathered in 16 bits from the
    forward pass to the end of the backward one, beside its share of those stored (`SHARD_GRAD_OP`)."""
    held = weight * own_share(plan, every, 3)
    if not some(kept.torch_native):
        return held
    between = logical_and(plan.zero_stage == 2, plan.dp * plan.cp > 1)
    beside = weight * own_share(plan, every, 2) + WEIGHT_BYTES * sum(every)
    return where(logical_and(kept.torch_native > 0, between), beside, held)


def _bytes_a_weight(
    plan: Plan, optimizer: str | Number, master_is_weight: Number
) -> tuple[Number, Number]:
    """Bytes of a stored weight, and of the optimizer's states of a trained one."""
    stored = where(master_is_weight, MASTER_BYTES, WEIGHT_BYTES)
    states = optimizer_bytes(optimizer) - where(master_is_weight, MASTER_BYTES, 0)
    return where(plan.lora_rank > 0, WEIGHT_BYTES, stored), maximum(states, 0.0)


def training_memory(
    model: Transformer,
    plan: Plan,
    optimizer: str | Number = "adamw",
    gradient_bytes: Number = FP32_GRADIENT_BYTES,
    reserve: Reserve = NO_RESERVE,
    kept: Kept = FUSED,
    master_is_weight: Number = 0,
) -> TrainingMemory:
    """Bytes per chip to train `model` under `plan`.

    `optimizer` is a name of `OPTIMIZER_BYTES` or the bytes of state per weight. `gradient_bytes` is what a weight's
    gradient takes. `master_is_weight` (0 or 1): the FP32 weights are the only stored copy, cast layer by layer as they are
    used (PyTorch FSDP, JAX), instead of living beside a 16-bit one. Under adapters only they have gradients and states;
    what is offloaded or streamed takes no room on the chip.
    """
    activations = held_activation_bytes(model, plan, kept)
    weight, states = _bytes_a_weight(plan, optimizer, master_is_weight)
    whole = params_per_stage(model, plan)
    trained = trained_params_per_stage(model, plan, whole)
    aboard = where(plan.streamed > 0, 0.0, 1.0)
    here, states_here = (where(plan.offload >= least, 0.0, aboard) for least in (2, 1))
    outside = weight * sum(whole) + (gradient_bytes + states) * sum(trained)
    reserved = reserve.bytes + reserve.share * activations
    gathered = where(kept.autocast, AUTOCAST_BYTES, WEIGHT_BYTES)
    made = here * (gradient_bytes * own_share(plan, trained, 2))
    return TrainingMemory(
        weights=here * _weights_held(plan, whole, weight, kept),
        gradients=gradients_at_peak(made, activations, plan, kept.torch_native),
        optimizer=states_here * (states * own_share(plan, trained, 1)),
        activations=activations,
        workspace=reserved + gathered_weight_bytes(model, plan, whole, gathered, kept),
        reserve=reserved,
        stored=(1 - aboard) * outside,
        gradients_made=made,
    )
