"""What a run keeps of its activations: for the backward pass, and while a layer is made again.

Bytes follow Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer Models"), equations 1 to 5,
written for any feed-forward width, gated blocks and grouped-query attention. All answers are bytes on the fullest chip.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core.adapters import kept_inputs
from training_moat.core.elementwise import Number, maximum, minimum, some, where
from training_moat.core.optimizer_states import WEIGHT_BYTES
from training_moat.core.output_head import kept_output_bytes, logit_bytes
from training_moat.core.plan import STREAM_BYTES, Plan, stage_layers
from training_moat.core.workload import Transformer

AUTOCAST_BYTES = 4.0
"""Of that stream, and of a gathered weight, where `torch.autocast` alone lowers the precision: parameters are FP32, and so is
what an embedding looks up in them and what is added to it (PyTorch, Automatic Mixed Precision: op eligibility). The cache of
casts holds no copy of sharded weights: it takes leaves that require a gradient and are no views (PyTorch, autocast_mode.cpp),
and FSDP computes with views of what it gathered."""


ONE_HOT_BYTES = 3.0
"""Of a value of the masks that put one sequence's tokens into their experts' rows and back: one of 16 bits, one of a byte
(MaxText, `generate_masks`)."""


IN_TRANSIT = 2
"""Layers whose activations are on the chip although their place is the host's memory: the one at work, and the one on its
way (torchtune and ALST copy them on a stream of their own beside the work)."""


@dataclass(frozen=True)
class Kept:
    """What a stack keeps of its activations.

    `input_bytes`: a value of a matmul's kept input. `factor`: what its layers keep, where they are not recomputed, against
    those of one whose operations are fused. `spare_layers`: layers' activations that it holds beyond those under way, as
    stacks on Transformer Engine do, which also make the output head's weight gradient in 16 bits before they add it up.
    `autocast` (0 or 1): FP32 parameters under `torch.autocast` and no mixed precision of the sharding, so that layers are
    gathered in FP32 and read an FP32 stream; `kv` (0 or 1): see `kept_output_bytes`; `torch_native` (0 or 1): optimizer and
    sharding are PyTorch's own, see `gradients_at_peak` and `gathered_weight_bytes`; `loss_chunks` and `in_place`: see
    `logit_bytes`.
    """

    input_bytes: Number = 2.0
    factor: Number = 1.0
    spare_layers: Number = 0.0
    autocast: Number = 0
    kv: Number = 0
    torch_native: Number = 0
    loss_chunks: Number = 0
    in_place: Number = 0

    @property
    def residual_bytes(self) -> Number:
        """Bytes of a value of the stream between layers."""
        return where(self.autocast, AUTOCAST_BYTES, STREAM_BYTES)


FUSED = Kept()
"""What stacks with fused operations keep of 16-bit runs."""


def layer_activation_bytes(
    model: Transformer, plan: Plan, recompute: Number, kept: Kept = FUSED
) -> Number:
    """Activations one layer keeps for the backward pass of one micro-batch, per chip.

    `recompute` is given apart from the plan's own level because a fully recomputed layer needs the room
    of an unrecomputed one while it is being redone. A matmul's kept input takes `kept.input_bytes` per value: runs in 8
    bits keep it as cast (Micikevicius et al. 2022; NVIDIA Transformer Engine). The layer and its two norms read a stream
    of `kept.residual_bytes`.
    """
    tokens = plan.micro_tokens
    # What drops out keeps its mask and its output beside the softmax; recipes with gated blocks, since LLaMA (Touvron et
    # al. 2023), have none.
    dropout = where((plan.flash_attention > 0) | (model.gated_ffn > 0), 0.0, 1.0)
    light = (recompute == 1) & (plan.flash_attention > 0)
    width = plan.stream_bytes
    inputs = where(light, 1, 2)
    if some(plan.lora_rank):
        inputs = minimum(inputs, sum(_kept_beside_adapters(plan)[:2]))
    norms = 2 * maximum(kept.residual_bytes, width) + inputs * kept.input_bytes
    replicated = (norms + 2 * dropout) * model.hidden / plan.stream_chips
    projections = width * _projected_width(model, light)
    kept_scores = (width + (1 + width) * dropout) * model.heads * plan.seq_len
    scores = where(plan.flash_attention > 0, 0.0, kept_scores)
    scores = where(recompute >= 1, 0.0, scores)
    split = (projections + scores) / plan.tp + _ffn_activation_bytes_per_token(
        model, plan, kept.input_bytes, light
    )
    kept_input = _input_bytes(model, plan, kept)
    if some(plan.attention_kept):
        attention = width * tokens * model.heads * model.value_dim / plan.tp
        kept_input = kept_input + where(plan.attention_kept > 0, attention, 0.0)
    if some(plan.outputs_kept):
        kept_input = kept_input + width * tokens * plan.outputs_kept / plan.tp
    return where(recompute >= 2, kept_input, tokens * (replicated + split))


def _kept_beside_adapters(plan: Plan) -> tuple[Number, Number, Number]:
    """Whether the inputs of a layer's dense products are kept (`adapters.kept_inputs`): all where all weights are trained."""
    adapted = plan.lora_rank > 0
    first, second, last = kept_inputs(plan.inputs_kept)
    return where(adapted, first, 1.0), where(adapted, second, 1.0), where(adapted, last, 1.0)


def _input_bytes(model: Transformer, plan: Plan, kept: Kept) -> Number:
    """Bytes of a layer's input, all that a fully recomputed one keeps; sequence parallelism has already split it."""
    width = maximum(kept.residual_bytes, plan.stream_bytes)
    return plan.micro_tokens * width * model.hidden / plan.stream_chips


def _projected_width(model: Transformer, light: Number) -> Number:
    """Values per token of queries, keys, values and the attention's output; of latent attention's the compressed ones
    alone where the rest is made again (`light`)."""
    keys_values = where(model.kv_lora_rank > 0, model.heads, model.kv_heads)
    whole = model.heads * model.query_key_dim + keys_values * (
        model.query_key_dim + model.value_dim
    )
    latent = model.q_lora_rank + model.kv_lora_rank + model.qk_rope_head_dim
    return where(light & (model.kv_lora_rank > 0), latent, whole) + model.heads * model.value_dim


def _ffn_activation_bytes_per_token(
    model: Transformer, plan: Plan, input_bytes: Number, light: Number
) -> Number:
    """Inner activations of the mean layer's feed-forward block: dense, or the experts a token visits; `light`: what the
    activation function gives is made again."""
    width = plan.stream_bytes
    per_width = routed_width = width * (1 + model.gated_ffn) + where(light, 0, input_bytes)
    if some(plan.lora_rank):
        last = _kept_beside_adapters(plan)[2]
        per_width = per_width - where(light, 0, input_bytes) * (1 - last)
    per_width = where(written_out(model, plan), written_out_width(plan, input_bytes), per_width)
    dense = per_width * model.ffn / plan.tp
    routed = routed_width * model.expert_ffn + (width + input_bytes) * model.hidden
    shared = per_width * model.shared_experts * model.expert_ffn / plan.tp
    # Masks of 16 bits for the way back and of a byte for the way there.
    masks = where(plan.one_hot_dispatch > 0, ONE_HOT_BYTES * plan.seq_len / plan.cp, 0.0)
    copies = model.experts_per_token * plan.padded_copies
    expert = copies * (routed / plan.tp + masks) + shared
    return (1 - model.moe_share) * dense + model.moe_share * expert


def written_out(model: Transformer, plan: Plan) -> Number:
    """Whether the operations of a layer's activation function run one by one (`Plan.written_out_bytes`)."""
    return (model.tanh_gelu > 0) & (plan.written_out_bytes > 0)


def written_out_width(plan: Plan, input_bytes: Number) -> Number:
    """Bytes that such a function keeps of one of its values: x for its power, tanh and one more than that as the power is, half
    of x and what the next product takes as values between products are (`layer_step.WRITTEN_OUT_FORWARD` has the formula;
    PyTorch's derivatives.yaml: a power keeps its base, tanh its result, a product both factors)."""
    wide = maximum(plan.written_out_bytes, plan.stream_bytes)
    return 3 * wide + plan.stream_bytes + input_bytes


def layers_in_flight(model: Transformer, plan: Plan) -> tuple[Number, Number]:
    """Layer-activations alive at once on the first stage and on the last: one per layer and micro-batch under way.

    Of p stages the first has p micro-batches under way, the last one (1F1B: Narayanan et al. 2021, section 2.2). With v
    virtual stages, the first has v p + p - 1 of their shares, the last v p - p + 1 (Megatron-LM, schedules.py, interleaved:
    the micro-batches of the warm-up and one more), neither more than the step has.
    """
    stages, virtual = plan.pp, plan.virtual_stages
    first = where(virtual > 1, stages + (stages - 1) / virtual, stages)
    last = stages - (stages - 1) / virtual
    last = where(virtual > 1, last, 1)
    own, most = stage_layers(model, plan), maximum(plan.micro_batches, 1)
    return own * minimum(first, most), own * minimum(last, most)


def activation_bytes(model: Transformer, plan: Plan, kept: Kept = FUSED) -> Number:
    """Activations on the fullest chip: the first stage with all its micro-batches, or the last with the logits."""
    layer, redone, logits = layer_and_head_bytes(model, plan, kept)
    away = offloaded_layer_bytes(model, plan, layer, kept)
    on_first, on_last = layers_in_flight(model, plan)
    share = plan.activation_offload_share
    beside = where(plan.pp > 1, redone, maximum(redone, logits))
    first = _on_chip(on_first, layer, away, share) + beside
    last = _on_chip(on_last, layer, away, share) + maximum(redone, logits)
    return maximum(first, last)


def _on_chip(layers: Number, layer: Number, away: Number, share: Number) -> Number:
    """Bytes on the chip of the activations of so many layers, each of which keeps `layer` bytes; a `share` of them has `away`
    of those in the host's memory."""
    held = layers * layer
    return held - maximum(share * layers - IN_TRANSIT, 0.0) * away if some(away) else held


def offloaded_layer_bytes(model: Transformer, plan: Plan, layer: Number, kept: Kept) -> Number:
    """Of the bytes that a layer keeps, those that wait in the host's memory (`plan.activation_offload`)."""
    if not some(plan.activation_offload):
        return 0.0
    outputs = maximum(layer - _input_bytes(model, plan, kept), 0.0)
    return where(
        plan.activation_offload >= 2, layer, where(plan.activation_offload > 0, outputs, 0.0)
    )


def layer_and_head_bytes(
    model: Transformer, plan: Plan, kept: Kept
) -> tuple[Number, Number, Number]:
    """Bytes that the mean layer keeps, those of a layer being made again, and those of the logits."""
    # What such layers keep is counted, and the norms beside those functions are one kernel each.
    factor = where(written_out(model, plan), 1.0, kept.factor)
    whole = lightest = factor * layer_activation_bytes(model, plan, 0 * plan.recompute, kept)
    if some(plan.recompute):
        lightest = layer_activation_bytes(model, plan, plan.recompute, kept)
        lightest = where(plan.recompute >= 2, 1.0, factor) * lightest
    share = plan.recompute_share
    if some(plan.outputs_kept):
        share = where(plan.outputs_kept > 0, 1.0, share)
    layer = where(plan.recompute >= 2, share * lightest + (1 - share) * whole, lightest)
    # The layer being redone has its input kept already.
    redone = where(plan.recomputed_layers > 0, whole - lightest, 0)
    eager = where(kept.factor > 1, 1, 0)
    logits = logit_bytes(model, plan, eager, kept.torch_native, kept.loss_chunks, kept.in_place)
    return layer, redone, logits


def held_activation_bytes(model: Transformer, plan: Plan, kept: Kept) -> Number:
    """Activations on the fullest chip with what the stack holds beyond those under way."""
    held = activation_bytes(model, plan, kept)
    if some(kept.spare_layers):
        spare = kept.spare_layers * layer_activation_bytes(model, plan, plan.recompute, kept)
        head = WEIGHT_BYTES * model.vocab * model.hidden / plan.tp
        held = held + spare + where(kept.spare_layers > 0, head, 0.0)
    if some(kept.kv):
        held = held + where(kept.kv, kept_output_bytes(model, plan), 0.0)
    return held
