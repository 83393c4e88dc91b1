"""What one chip must hold to train: weights, gradients, optimizer state, activations, workspace.

Sharding of the model states follows ZeRO (Rajbhandari et al. 2020, section 5); what is kept of activations stands in
`activations`. All answers are bytes on the fullest chip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from training_moat.core.activations import (
    AUTOCAST_BYTES,
    FUSED,
    Kept,
    held_activation_bytes,
    layer_and_head_bytes,
)
from training_moat.core.adapters import lora_params
from training_moat.core.elementwise import Number, ceil, maximum, minimum, some, where
from training_moat.core.optimizer_states import (
    MASTER_BYTES,
    WEIGHT_BYTES,
    gradients_at_peak,
    optimizer_bytes,
)
from training_moat.core.plan import Plan, stage_layers
from training_moat.core.workload import (
    Transformer,
    embedding_params,
    expert_params,
    expert_params_total,
    layered_params,
)

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


@dataclass(frozen=True)
class Reserve:
    """What the runtime takes whatever the plan (contexts, communication buffers), and what the allocator loses as a share of
    the activations; both are calibrated."""

    bytes: Number = 0.0
    share: Number = 0.0


NO_RESERVE = Reserve()


def expert_data_ranks(plan: Plan) -> Number:
    """Chips of one stage that hold copies of the same part of an expert."""
    return maximum(plan.stage_chips / plan.expert_chips, 1)


def expert_sharing_ranks(plan: Plan) -> Number:
    """Those of them among which ZeRO shares that part out: all, or those in one `Plan.shard_group`."""
    return maximum(expert_data_ranks(plan) * plan.sharing_replicas / plan.replicas, 1)


def params_per_stage(model: Transformer, plan: Plan) -> tuple[Number, Number]:
    """Weights per chip before any ZeRO sharding, on the fullest stage: (dense, expert).

    The first and the last stage hold an embedding matrix on top of their layers; with one stage both are there.
    """
    experts = expert_params_total(model)
    layers = stage_layers(model, plan)
    dense = layered_params(model) * layers / model.layers / plan.tp
    dense = dense + embedding_per_stage(model, plan)
    # Few dense layers come first (DeepSeek-AI 2024), so that all layers of later stages have experts; many alternate with
    # those that have them (Lepikhin et al. 2020; Llama 4 Maverick).
    after_dense = minimum(layers / maximum(model.moe_layers, 1), 1)
    share = where(2 * model.dense_layers < model.layers, after_dense, layers / model.layers)
    return dense, experts * share / plan.expert_chips


def embedding_per_stage(model: Transformer, plan: Plan) -> Number:
    """Weights of an embedding, or of both with the output head where one stage has both, on one chip."""
    return where(plan.pp > 1, model.vocab * model.hidden, embedding_params(model)) / plan.tp


def trained_params_per_stage(
    model: Transformer, plan: Plan, every: tuple[Number, Number] | None = None
) -> tuple[Number, Number]:
    """Those of `every`, what `params_per_stage` gives, that are trained: all, or the adapters alone where the plan has a
    `lora_rank`."""
    dense, expert = every or params_per_stage(model, plan)
    if not some(plan.lora_rank):
        return dense, expert
    adapters = lora_params(model, plan.lora_rank, plan.lora_targets)
    adapters = adapters * stage_layers(model, plan) / model.layers
    adapted = plan.lora_rank > 0
    return where(adapted, adapters / plan.tp, dense), where(adapted, 0.0, expert)


def own_share(plan: Plan, weights: tuple[Number, Number], first_sharding_stage: int) -> Number:
    """Weights, dense and expert, that one chip holds where that stage of ZeRO and those above share them out."""
    dense, expert = weights
    sharded = plan.zero_stage >= first_sharding_stage
    dense_ranks = where(sharded, plan.sharing_replicas, 1)
    expert_ranks = where(sharded, expert_sharing_ranks(plan), 1)
    return dense / dense_ranks + expert / expert_ranks


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
    layer = layered_params(model) / model.layers
    experts = model.experts * expert_params(model) / plan.expert_chips
    gathered = 2 * weight_bytes * (layer / plan.tp + experts)
    dense, expert = every
    whole = (weight_bytes + FP32_GRADIENT_BYTES) * (dense + expert)
    fetched = (plan.zero_stage >= 3) | (plan.offload >= 2)
    if some(kept.torch_native):
        root = weight_bytes * embedding_params(model) / plan.tp
        rooted = (kept.torch_native > 0) & (plan.zero_stage >= 3)
        gathered = gathered + where(rooted, root, 0.0)
    sharded = where((plan.zero_stage >= 3) & (plan.pp > 1), whole, where(fetched, gathered, 0))
    if not some(plan.streamed):
        return sharded
    beside = layer_and_head_bytes(model, plan, kept)[1:]
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
    between = (plan.zero_stage == 2) & (plan.replicas > 1)
    beside = weight * own_share(plan, every, 2) + WEIGHT_BYTES * sum(every)
    return where((kept.torch_native > 0) & between, beside, held)


def _narrowed(model: Transformer, plan: Plan, every: tuple[Number, Number]) -> Number:
    """Bytes by which frozen layers take less than 16 bits a weight on one chip; embeddings and output head keep those."""
    if not some(WEIGHT_BYTES - plan.base_bytes):
        return 0.0
    dense, expert = every
    layers = own_share(plan, (dense - embedding_per_stage(model, plan), expert), 3)
    return where(plan.lora_rank > 0, (WEIGHT_BYTES - plan.base_bytes) * layers, 0.0)


def _bytes_a_weight(
    plan: Plan, optimizer: str | Number, master_is_weight: Number
) -> tuple[Number, Number]:
    """Bytes of a stored weight, and of the optimizer's states of a trained one."""
    alone = (master_is_weight > 0) | (plan.stream_bytes > WEIGHT_BYTES)
    stored = where(alone, MASTER_BYTES, WEIGHT_BYTES)
    states = optimizer_bytes(optimizer) - where(alone, MASTER_BYTES, 0)
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
    gathered = where(kept.autocast, AUTOCAST_BYTES, plan.stream_bytes)
    made = here * (gradient_bytes * own_share(plan, trained, 2))
    held = _weights_held(plan, whole, weight, kept) - _narrowed(model, plan, whole)
    return TrainingMemory(
        weights=here * held,
        gradients=gradients_at_peak(made, activations, plan, kept.torch_native),
        optimizer=states_here * (states * own_share(plan, trained, 1)),
        activations=activations,
        workspace=reserved + gathered_weight_bytes(model, plan, whole, gathered, kept),
        reserve=reserved,
        stored=(1 - aboard) * outside,
        gradients_made=made,
    )
