"""How long one training step takes, part by part.

A step is the layers' work (`layer_step`), collectives on the fabric their group spans, the pipeline's bubble, the
optimizer's pass over the weights, and overheads. Each part is a closed formula; the few measured constants come in as an
`Efficiency`. All fields may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from training_moat.core import messages as exchange
from training_moat.core.activations import Kept, layer_and_head_bytes, offloaded_layer_bytes
from training_moat.core.adapters import training_flops_per_token
from training_moat.core.elementwise import Number, log2, maximum, minimum, some, where
from training_moat.core.fabrics import Fabric, of_slice
from training_moat.core.layer_step import Layer, fullest_load, layer_time, vocabulary_seconds
from training_moat.core.memory import own_share, params_per_stage, trained_params_per_stage
from training_moat.core.messages import Message
from training_moat.core.node import Efficiency, Node
from training_moat.core.optimizer_states import (
    FACTORED_VALUES,
    MASTER_BYTES,
    WEIGHT_BYTES,
    optimizer_bytes,
)
from training_moat.core.orthogonal_steps import orthogonal_seconds
from training_moat.core.plan import Plan, stage_layers
from training_moat.core.workload import (
    Transformer,
    attention_score_flops_per_token,
    last_product_flops_per_token,
    latent_flops_per_token,
    layer_matmul_flops_per_token,
)


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step by part; the parts add up to `total`."""

    compute: Number
    memory_bound: Number
    tensor_parallel: Number
    pipeline: Number
    bubble: Number
    data_parallel: Number
    expert_parallel: Number
    other: Number

    @property
    def total(self) -> Number:
        """Seconds of the whole step."""
        return sum(vars(self).values())


def _hidden(communication: Number, computation: Number, overlap: Number) -> Number:
    """Seconds of a collective that hide behind `computation` when a share `overlap` of it may."""
    return minimum(overlap * communication, computation)


def _expert_overlap(plan: Plan, eff: Efficiency) -> Number:
    """Share of an exchange between experts that may hide: most of it where the schedule sees to it."""
    scheduled = maximum(eff.overlap_scheduled, eff.overlap_expert)
    return where(plan.overlapped_exchange > 0, scheduled, eff.overlap_expert)


def _exposed(
    part: dict[str, Number], cover: Number, plan: Plan, eff: Efficiency
) -> list[tuple[Number, Number]]:
    """Seconds of tensor-parallel and of expert-parallel collectives that the step waits for, and that hide. They share the
    computation they hide behind, and the launches beyond it (`cover`): what covers one cannot cover another."""
    tensor, expert = part["tensor_parallel"], part["expert_parallel"]
    first = _hidden(tensor, cover, eff.overlap_tensor)
    second = _hidden(expert, cover - first, _expert_overlap(plan, eff))
    return [(tensor - first, first), (expert - second, second)]


def _optimizer_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency, state_bytes: Number
) -> Number:
    """One pass over gradients, states and weights at the sustained memory bandwidth, or the host's where they live there:
    then gradients go out and weights come back over the host's link as well; where states are paged, these alone come in
    and go out, and the chip steps them (Dettmers et al. 2023, section 3). A store outside all chips steps by itself, as the
    gradients come in (Cerebras, MemoryX)."""
    own = own_share(plan, trained_params_per_stage(model, plan), 1)
    # Beside the states FP32 gradients in and 16-bit weights out; without masters 16-bit gradients in, weights in and out.
    traffic = 2 * state_bytes + 4 + 2
    chained = FACTORED_VALUES * where(state_bytes > 0, MASTER_BYTES, WEIGHT_BYTES)
    traffic = where(plan.factored > 0, chained, traffic)
    moved = 2 * WEIGHT_BYTES
    home = where(node.weight_bytes_per_s > 0, node.weight_bytes_per_s, node.memory_bytes_per_s)
    on_chip = traffic * own / (home * eff.memory)
    on_host = (traffic + moved) * own / node.host_bytes_per_s
    paged = on_chip + 2 * state_bytes * own / node.host_bytes_per_s
    elsewhere = where(plan.paged > 0, paged, on_host)
    return where(plan.offload >= 1, elsewhere, where(plan.streamed > 0, 0.0, on_chip))


def _waits_for_weights(
    plan: Plan, weights_s: Number, gradients_s: Number, working: Number, kept_s: Number = 0.0
) -> Number:
    r"""Seconds of a micro-batch, whose work takes `working`, in which a chip waits for weights that live elsewhere and take
    `weights_s` to come in, their gradients `gradients_s` to go out, activations `kept_s` either way.

    Weights come once for the forward pass, once for the backward pass and once more for layers that are recomputed; while
    the backward pass takes them in, gradients go out in the other direction. Layers come in while the one before computes
    (Rajbhandari et al. 2021, ZeRO-Infinity, section 6.2; Cerebras, MemoryX), so that only what takes longer than the work
    shows: $t = \max(W - f, 0)(1 + r) + \max(\max(W, G) - (n - 1)f, 0)$ with f the work of one of n products. Activations that
    wait elsewhere go out in the forward pass and come in from the time on that layers are done again, as far as the link is
    not taken by weights then: of $A$ seconds $A - r \max(f - W, 0)$ are left for the backward pass.
    """
    again, passes = plan.recomputed_layers, where(plan.lora_rank > 0, 2, 3)
    one = working / (passes + again)
    redone = maximum(weights_s - one, 0.0) * again
    forward = maximum(maximum(weights_s, kept_s) - one, 0.0)
    left = maximum(kept_s - again * maximum(one - weights_s, 0.0), 0.0)
    inward = maximum(weights_s + left, gradients_s)
    return forward + redone + maximum(inward - (passes - 1) * one, 0.0)


def _fetch_seconds(model: Transformer, plan: Plan, node: Node, working: Number) -> Number:
    """Seconds of a step that offloaded weights, of which each chip fetches its shard from the host, gradients sent there
    and activations that wait there keep it waiting, with `working` seconds of a micro-batch's work that cover nothing else
    (Rajbhandari et al. 2021, section 6)."""
    lifted = plan.offload >= 2
    if not (some(lifted) or some(plan.activation_offload)):
        return 0.0
    own = where(lifted, own_share(plan, params_per_stage(model, plan), 3), 0.0)
    shard_s = WEIGHT_BYTES * own / node.host_bytes_per_s
    kept = Kept(node.value_bytes)
    away = offloaded_layer_bytes(model, plan, layer_and_head_bytes(model, plan, kept)[0], kept)
    lifted_layers = plan.activation_offload_share * stage_layers(model, plan)
    moved_s = lifted_layers * away / node.host_bytes_per_s
    waits = _waits_for_weights(plan, shard_s, shard_s, working, moved_s)
    return plan.micro_batches * waits


def _straggling_factor(plan: Plan, eff: Efficiency) -> Number:
    """Every step waits for the slowest of the replicas, whose expected excess grows with the logarithm of
    their number (Dean and Barroso 2013, on stragglers)."""
    return eff.straggling * log2(maximum(plan.replicas, 1))


def _exchange_seconds(sent: dict[str, Message], node: Node, kind: str) -> Number:
    """Seconds per step of all messages of a kind, nothing hidden. What groups of replicas that each fill a domain sum with
    one another takes the network while their own exchanges take the links inside: the longer of the two shows (PyTorch,
    _fsdp_param_group.py: all-reduces of hybrid sharding run in a stream of their own, as they use other resources)."""
    inside, across, apart = 0.0, 0.0, True
    for name, message in sent.items():
        if message.kind != kind or not (some(message.times) and some(message.ranks > 1)):
            continue
        seconds = message.times * exchange.seconds(message, node.scaleup, node.scaleout)
        if name.endswith(exchange.ACROSS):
            across = across + seconds
            apart = apart & (message.spacing == node.scaleup.domain_chips)
        else:
            inside = inside + seconds
    if not some(across):
        return inside
    return where(apart, maximum(inside, across), inside + across)


def _seconds_alongside(sent: dict[str, Message], plan: Plan, node: Node) -> Number:
    """Seconds per step of what is sent alongside work that does not wait for it: keys and values go round while attention
    works on those that came before (`Plan.rings`), and a product's input is gathered again while the gradient of that input
    is made (Megatron-LM, tensor_parallel/layers.py: waited for after that product)."""
    found = 0.0
    for message, goes in ((sent["gathered_again"], True), (sent["context"], plan.rings)):
        if some(message.times) and some(message.ranks > 1):
            seconds = message.times * exchange.seconds(message, node.scaleup, node.scaleout)
            found = found + where((message.ranks > 1) & goes, seconds, 0.0)
    return found


def _alongside(layer: Layer, plan: Plan, layers: Number) -> Number:
    """Seconds of the work beside which that is sent, of so many layers: attention, half of the products for the gradients of
    their inputs, those that begin a block, and what the host's launches add."""
    products = (layer.compute - layer.attention) / (3 + plan.recomputed_layers)
    return layers * (layer.attention + products / 2 + layer.launches)


def _posting_seconds(sent: dict[str, Message], node: Node, eff: Efficiency) -> Number:
    """Seconds per step in which messages to experts in other domains are posted: where the network takes none from a GPU, a
    thread of the host sends one after another (Mao et al. 2025, UCCL-EP, section 3)."""
    if not some(eff.peer_seconds):
        return 0.0
    message = sent["exchange"]
    far = message.ranks - exchange.neighbours(message, node.scaleup)
    return message.times * eff.peer_seconds * where(message.ranks > 1, far, 0.0)


def _head_share(model: Transformer, plan: Plan, layer_s: Number, head_s: Number) -> Number:
    """Share of the output head's time that the fullest stage bears on top of its layers.

    Stacks give the stage with the head fewer layers (Dubey et al. 2024, section 3.3.2), so that all stages take the
    mean: layers and head over the number of stages; a stage whose layers alone take longer decides."""
    beyond = (stage_layers(model, plan) - model.layers / plan.pp) * layer_s
    return maximum(1 / plan.pp - beyond / maximum(head_s, 1e-30), 0.0)


def _on_slice(plan: Plan, node: Node) -> Node:
    """The node in the part of its machine that a run has."""
    inner = of_slice(node.scaleup, plan.chips)
    return node if inner is node.scaleup else replace(node, scaleup=inner)


def _with_resident_weights(model: Transformer, plan: Plan, node: Node) -> Node:
    """The node with its weights in the fast tier, where they take no more than half of it or come in while it works
    (`streaming_seconds`)."""
    if not some(node.weight_bytes_per_s):
        return node
    own = WEIGHT_BYTES * sum(params_per_stage(model, plan))
    far = (own > node.near_bytes / 2) & (plan.streamed <= 0)
    return replace(node, weight_bytes_per_s=where(far, node.weight_bytes_per_s, 0.0))


def streaming_seconds(model: Transformer, plan: Plan, node: Node, working: Number) -> Number:
    """Seconds of a step in which chips wait for weights from the store that all share, `working` of one micro-batch: what
    `_waits_for_weights` says of every micro-batch. Between two steps nothing hides: the first layer waits for its own
    gradient, out and back."""
    if not some(plan.streamed):
        return 0.0
    rate = where(node.weight_bytes_per_s > 0, node.weight_bytes_per_s, node.memory_bytes_per_s)
    every, trained = sum(params_per_stage(model, plan)), sum(trained_params_per_stage(model, plan))
    weights, gradients = WEIGHT_BYTES * every, plan.gradient_bytes * trained
    waits = plan.micro_batches * _waits_for_weights(plan, weights / rate, gradients / rate, working)
    turning = (weights + gradients) / model.layers / rate
    return where(plan.streamed > 0, waits + turning, 0.0)


def step_time(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency, optimizer: str | Number = "adamw"
) -> StepTime:
    """Seconds of one training step of `model` under `plan` on `node` chips, by part.

    `optimizer` is a name of `optimizer_states.OPTIMIZER_BYTES` or the bytes of state per weight.
    """
    layers, batches = stage_layers(model, plan), plan.micro_batches
    stack = 1 / eff.software
    node = _on_slice(plan, node)
    cluster, node = node, _with_resident_weights(model, plan, node)
    layer = layer_time(model, plan, node, eff)
    vocabulary, softmax = vocabulary_seconds(model, plan, node, eff)
    head_compute, head_traffic = vocabulary / eff.matmul_software, stack * softmax
    launches = batches * layers * layer.launches
    sent = exchange.messages(model, plan)
    part = {kind: _exchange_seconds(sent, node, kind) for kind in exchange.KINDS}
    part["expert_parallel"] = part["expert_parallel"] * fullest_load(plan, eff)
    part["expert_parallel"] = part["expert_parallel"] + _posting_seconds(sent, node, eff)
    beside = minimum(
        _seconds_alongside(sent, plan, node), _alongside(layer, plan, batches * layers)
    )
    part["tensor_parallel"] = part["tensor_parallel"] - beside
    cover = batches * layers * layer.compute + launches - beside
    (tensor, tensor_hidden), (expert, expert_hidden) = _exposed(part, cover, plan, eff)
    one_layer = layer.compute + layer.traffic + layer.overhead + layer.launches
    # What a layer waits for its collectives counts where stages are balanced, as its work does.
    one_layer = one_layer + (tensor + expert) / (batches * layers)
    head = _head_share(model, plan, one_layer, head_compute + head_traffic)
    compute = batches * (layers * layer.compute + head * head_compute)
    traffic = batches * (layers * layer.traffic + head * head_traffic)
    overhead = batches * layers * layer.overhead + launches
    hop = part["pipeline"]
    busy = compute + traffic + overhead + tensor + expert + hop
    # While the pipeline fills and drains, each stage waits for a micro-batch to pass the others.
    bubble = eff.bubble * (plan.pp - 1) / plan.virtual_stages * (busy - hop / 2) / batches
    behind = compute + traffic + launches - beside - tensor_hidden - expert_hidden
    # Where it comes once a step, only the last micro-batch's backward pass can hide the gradient reduction.
    behind = where(plan.reduces_every, 1.0, 1 / batches) * behind
    data_hidden = _hidden(part["data_parallel"], behind, eff.overlap_data)
    data = part["data_parallel"] - data_hidden
    data = data + streaming_seconds(model, plan, cluster, busy / batches)
    other = (
        _optimizer_seconds(model, plan, node, eff, optimizer_bytes(optimizer))
        + orthogonal_seconds(model, plan, node, eff)
        + _fetch_seconds(model, plan, node, (busy - data_hidden) / batches)
        + stack * eff.step_seconds
        + overhead
    )
    return StepTime(
        compute=compute,
        memory_bound=traffic,
        tensor_parallel=tensor,
        pipeline=hop,
        bubble=bubble,
        data_parallel=data,
        expert_parallel=expert,
        other=other + _straggling_factor(plan, eff) * (busy + bubble),
    )


@dataclass(frozen=True)
class Shown:
    """Seconds that every plan with such layers, such a head and such replicas shows at least, wherever its weights lie. Of
    one micro-batch: the mean layer with nothing recomputed, what a layer that is recomputed whole adds, and the output
    head. Of a step: exchanges among replicas, and those that are repeated with every micro-batch (ZeRO-3)."""

    layer: Number
    again: Number
    head: Number
    exchanged: Number = 0.0
    exchanged_again: Number = 0.0


def shown_seconds(model: Transformer, plan: Plan, node: Node, eff: Efficiency) -> Shown:
    """What `Shown` tells of a plan's layers: what the chip does, and the share of its exchanges that cannot hide."""
    node = _on_slice(plan, node)
    near = replace(node, weight_bytes_per_s=0.0)

    def layer_seconds(level: float) -> Number:
        own = replace(plan, recompute=level, recompute_share=1.0)
        layer = layer_time(model, own, near, eff)
        each = stage_layers(model, own) * own.micro_batches
        sent = exchange.messages(model, own)
        # What work leaves of the exchanges beside it does not grow evenly with the share of layers done again.
        tensor = _exchange_seconds(sent, node, "tensor_parallel")
        tensor = tensor - _seconds_alongside(sent, own, node)
        tensor = tensor * (1 - eff.overlap_tensor)
        expert = _exchange_seconds(sent, node, "expert_parallel") * fullest_load(plan, eff)
        expert = expert * (1 - _expert_overlap(plan, eff))
        # What one chip waits for its host does not grow evenly with the share of its layers that are recomputed.
        gaps = where(own.alone, 0.0, layer.overhead)
        return layer.compute + layer.traffic + gaps + (tensor + expert) / each

    once = layer_seconds(0.0)
    product, softmax = vocabulary_seconds(model, plan, near, eff)
    head = product / eff.matmul_software + softmax / eff.software
    return Shown(once, layer_seconds(2.0) - once, head)


def shown_exchange_seconds(
    model: Transformer, plan: Plan, node: Node, eff: Efficiency
) -> tuple[Number, Number]:
    """(seconds a step, seconds a micro-batch) of the exchanges among replicas that hide behind nothing, whatever the
    micro-batches and virtual stages are."""
    node = _on_slice(plan, node)
    one = replace(plan, global_batch=plan.dp, micro_batch=1, virtual_stages=1)
    sent = exchange.messages(model, one)
    whole = (1 - eff.overlap_data) * _exchange_seconds(sent, node, "data_parallel")
    fully = plan.gathers_every
    return where(fully, 0.0, whole), where(fully, whole, 0.0)


def least_step_seconds(
    model: Transformer, plan: Plan, eff: Efficiency, shown: Shown, interleaved: Number | None = None
) -> Number:
    """A bound below `step_time`, worked out in a few operations: layers, head and exchanges that take what is `shown`, the
    bubble and the stragglers that go with the former. With `interleaved`, a bound for as many virtual stages as well."""
    batches = plan.micro_batches
    layer = shown.layer + plan.recomputed_layers * shown.again
    mean = (model.layers * layer + shown.head) / plan.pp
    busy = batches * maximum(stage_layers(model, plan) * layer, mean)
    virtual_stages = plan.virtual_stages if interleaved is None else interleaved
    busy = busy * (1 + eff.bubble * (plan.pp - 1) / (virtual_stages * batches))
    busy = busy * (1 + _straggling_factor(plan, eff)) + eff.step_seconds / eff.software
    return busy + shown.exchanged + batches * shown.exchanged_again


def step_bytes(model: Transformer, plan: Plan, scaleup: Fabric) -> dict[str, Number]:
    """Bytes that one chip of the fullest stage sends per step, by kind of exchange (those of the pipeline go to the
    next stage alone). Worked out from the messages whose seconds `step_time` counts."""
    sent = exchange.messages(model, plan)
    return {
        kind: sum(
            message.times * sum(exchange.sent_bytes(message, scaleup))
            for message in sent.values()
            if message.kind == kind
        )
        for kind in exchange.KINDS
    }


def model_flops_per_step(model: Transformer, plan: Plan) -> Number:
    """Matmul FLOPs of a step without recomputation, causal attention at full cost."""
    adapters = plan.lora_rank, plan.lora_targets
    return plan.tokens_per_step * training_flops_per_token(model, plan.seq_len, *adapters)


def masked_flops_per_step(model: Transformer, plan: Plan) -> Number:
    """FLOPs of a step, among `model_flops_per_step`, that fused attention leaves out: the masked half of its scores."""
    scores = plan.tokens_per_step * attention_score_flops_per_token(model, plan.seq_len)
    masked = (plan.flash_attention > 0) & (model.bidirectional <= 0)
    return where(masked, 1.5 * scores, 0.0)


def hardware_flops_per_step(model: Transformer, plan: Plan) -> Number:
    """Matmul FLOPs of a step with recomputation: a third of the layers' on top when full, but for the last product where that
    is left out (`STOPS_EARLY`); when selective the attention core's forward (Korthikanti et al. 2022, equations 7 and 8) or,
    where fused attention keeps nothing there, latent attention's up-projections."""
    tokens = plan.tokens_per_step
    score = attention_score_flops_per_token(model, plan.seq_len)
    layered = layer_matmul_flops_per_token(model) + where(plan.attention_kept > 0, 0.0, score)
    last = last_product_flops_per_token(model, where(plan.one_hot_dispatch > 0, 0, 1))
    single = where(plan.flash_attention > 0, latent_flops_per_token(model), score)
    extra = plan.recomputed_layers * layered + where(plan.recompute == 1, single, 0.0)
    extra = extra - plan.unfinished_layers * last
    return model_flops_per_step(model, plan) + tokens * extra
