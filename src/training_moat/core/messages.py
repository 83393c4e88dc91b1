"""What the chips of a training run send one another in one step: the one list from which both the bytes on the wire and
the seconds they take are worked out.

A message is one collective of one kind: the tensor it moves, over how many chips, how far apart they sit, and how often a
step does it. All fields may be arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core import collectives
from training_moat.core.elementwise import Number, log, maximum, minimum, some, where
from training_moat.core.fabrics import Fabric
from training_moat.core.memory import (
    embedding_per_stage,
    expert_data_ranks,
    expert_sharing_ranks,
    params_per_stage,
    trained_params_per_stage,
)
from training_moat.core.optimizer_states import WEIGHT_BYTES
from training_moat.core.plan import Plan, stage_layers
from training_moat.core.workload import Transformer

KINDS = ("tensor_parallel", "pipeline", "data_parallel", "expert_parallel")
"""What is exchanged, named as the parts of a step's time."""

ACROSS = "_across"
"""How the names of sums among groups of replicas end."""

_PLAIN = Fabric(bytes_per_s=1.0, step_latency_s=0.0)
"""A link of one byte a second without latency: seconds over it are bytes."""


@dataclass(frozen=True)
class Message:
    """One collective as one chip takes part in it.

    `kind` is one of `KINDS`, `collective` one of all_reduce, all_gather, all_to_all, send_recv, store. `bytes` follows the
    convention of `core.collectives`. The group has `ranks` members, neighbours `spacing` chips apart. `times` it runs
    per step. `copies`: how many of an all-to-all's parts are the same data for different members; where those members lie
    in `groups` equal groups, `visited` is in how many at most.
    """

    kind: str
    collective: str
    bytes: Number
    ranks: Number
    spacing: Number
    times: Number
    copies: Number = 1
    groups: Number = 0
    visited: Number = 0


def passes(plan: Plan) -> Number:
    """How often a layer's collectives run per micro-batch: forward, backward, and again where it is recomputed."""
    return 2 + plan.recomputed_layers


def messages(model: Transformer, plan: Plan) -> dict[str, Message]:
    """Every message of a step by name. `times` counts those of the fullest pipeline stage's chips."""
    layers = stage_layers(model, plan) * plan.micro_batches
    return {
        **_layer_messages(model, plan, layers),
        **_expert_messages(model, plan, layers),
        "stage": _stage_message(model, plan),
        **_data_messages(model, plan),
    }


def _layer_messages(model: Transformer, plan: Plan, layers: Number) -> dict[str, Message]:
    """Sums of the activations after attention and after the feed-forward block (Shoeybi et al. 2019, section 3), and
    the keys and values that context parallelism hands round (Liu et al. 2023), in the backward pass with their gradients
    (Transformer Engine, context_parallel.py: keys, values and both gradients in one buffer), where a program that keeps those
    it gathered scatters the gradients alone. Layers of experts without a dense block sum once: what cuts their experts is
    counted with the experts. A layer done again but for its last product leaves the sum after that out. Under sequence
    parallelism each sum is a scatter and a gather, and what goes into the products before it is gathered once more for the
    gradient of their weights (`Plan.gathers_again`). Blocks side by side (`Transformer.parallel_norms`) sum their results
    once, and what goes into both as well where they share a norm."""
    m, each = plan.micro_tokens, passes(plan)
    summed_twice = 1 - model.moe_share * where(model.shared_experts > 0, 0.0, 1.0)
    heads = where(model.kv_lora_rank > 0, model.heads, model.kv_heads) / plan.tp
    # A head is not cut: where chips are more than heads, several hold the same.
    width = maximum(heads, 1) * (model.query_key_dim + model.value_dim)
    ring = plan.stream_bytes * m * plan.cp * width
    with_keys = where(plan.rings, each + 1, each)
    handed_round = layers * (1 - model.linear_layers / model.layers) * with_keys
    hidden = plan.stream_bytes * m * model.hidden
    second = (each - plan.unfinished_layers) * summed_twice
    if some(model.parallel_norms):
        # Of two inputs with a norm each the gradients are summed apart.
        backward = where(model.parallel_norms > 1, summed_twice, 0.0)
        second = where(model.parallel_norms > 0, backward, second)
        summed_twice = where(model.parallel_norms == 1, 0.0, summed_twice)
    sums = each + second
    anew = (plan.sequence_parallel > 0) & (plan.lora_rank == 0) & (plan.gathers_again > 0)
    gathered_again = where(anew, layers * (1 + summed_twice), 0.0)
    return {
        "tensor": Message("tensor_parallel", "all_reduce", hidden, plan.tp, 1, layers * sums),
        "gathered_again": Message(
            "tensor_parallel", "all_gather", hidden, plan.tp, 1, gathered_again
        ),
        "context": Message("tensor_parallel", "all_gather", ring, plan.cp, plan.tp, handed_round),
    }


def _expert_messages(model: Transformer, plan: Plan, layers: Number) -> dict[str, Message]:
    """Tokens to their experts and back (Lepikhin et al. 2020); where experts are cut, their routed tokens are gathered
    over the chips that share them and the results summed (Megatron-Core's expert tensor parallelism). Padding travels too."""
    moe, each, cut = model.moe_share, passes(plan), plan.expert_tensor
    # Ranks of a tensor-parallel group each send their share of the tokens.
    copies = model.experts_per_token * plan.padded_copies
    sent = plan.micro_tokens * copies * model.hidden / plan.tp
    routed = plan.stream_bytes * sent
    # Dispatch and the gradient's way there may be cast; what comes back is summed in 16 bits.
    exchanged = (plan.dispatch_bytes + plan.stream_bytes) / 2 * sent
    return {
        "exchange": Message(
            "expert_parallel",
            "all_to_all",
            exchanged,
            plan.expert_groups,
            cut,
            layers * moe * (2 * each - plan.unreturned_copies),
            where(plan.dispatch_once > 0, model.experts_per_token, 1),
            model.routing_groups,
            model.routed_groups,
        ),
        "cut_experts": Message(
            "expert_parallel", "all_reduce", routed * cut, cut, 1, layers * moe * each
        ),
    }


def _stage_message(model: Transformer, plan: Plan) -> Message:
    """One micro-batch to the next pipeline stage and its gradient back (the tensor-parallel ranks each send their
    share: Narayanan et al. 2021, section 4.1), once for every virtual stage."""
    size = plan.stream_bytes * plan.micro_tokens * model.hidden / plan.tp
    times = where(plan.pp > 1, 2 * plan.virtual_stages * plan.micro_batches, 0)
    return Message(
        "pipeline", "send_recv", size, where(plan.pp > 1, 2, 1), plan.tp * plan.cp, times
    )


def _data_messages(model: Transformer, plan: Plan) -> dict[str, Message]:
    """Gradients and weights among the replicas (Rajbhandari et al. 2020, section 7).

    Up to ZeRO-2 the gradients are reduced once a step and, where the optimizer is sharded, the weights gathered: as much as
    an all-reduce of the mean of the two widths; embeddings and output head keep 16 bits where layers are gathered in fewer
    (Megatron-Core, `fp8_param_gather`; torchao, `enable_fsdp_float8_all_gather`). Under ZeRO-3 the weights are gathered
    twice and the gradients scattered once for every micro-batch, but in a pipeline (`Plan.gathers_every`); so are the latter
    under ZeRO-2 where the stack does not wait for the last one (`Plan.scatters_every`). Adapters alone are reduced where
    only they are trained.
    Where groups of replicas each share out (`Plan.shard_group`), a group gathers and scatters, and what a chip has scattered
    is summed with the same part in the other groups (Zhao et al. 2023, section 3.2.2; Megatron-Core, distributed/
    param_and_grad_buffer.py: a scatter within an instance of the optimizer, then a sum among these).
    Where weights stream from a store, each micro-batch's gradients go there once, and the network adds them up on the way
    (Cerebras, SwarmX).
    """
    dense, expert = params_per_stage(model, plan)
    narrow = WEIGHT_BYTES - plan.gathered_bytes
    saved = narrow * maximum(dense - embedding_per_stage(model, plan), 0) if some(narrow) else 0.0
    trained, trained_expert = trained_params_per_stage(model, plan, (dense, expert))
    sharded = plan.zero_stage >= 1
    back = where(sharded, WEIGHT_BYTES, plan.gradient_bytes)
    width = (plan.gradient_bytes + back) / 2
    fully = plan.gathers_every
    among = where(plan.streamed > 0, 0.0, 1.0)
    once, each = where(fully, 0.0, among), where(fully, plan.micro_batches * among, 0.0)
    # The last micro-batch's are part of what is exchanged once a step.
    before = where(plan.reduces_every, (plan.micro_batches - 1) * among, 0.0)
    scattered = where(fully, each, before)
    found: dict[str, Message] = {}
    if some(plan.streamed):
        sent = plan.gradient_bytes * (trained + trained_expert)
        times = (1 - among) * plan.micro_batches
        found["stored_gradients"] = Message("data_parallel", "store", sent, 1, 1, times)
    groups = (
        ("dense", dense, trained, saved, plan.replicas, plan.sharing_replicas, plan.tp),
        (
            "expert",
            expert,
            trained_expert,
            narrow * expert,
            # A dense model has none to reduce, and no latency of reducing nothing.
            where(model.experts > 0, expert_data_ranks(plan), 1),
            where(model.experts > 0, expert_sharing_ranks(plan), 1),
            plan.expert_chips,
        ),
    )
    for name, weights, moving, less, ranks, sharing, spacing in groups:
        kind = "data_parallel"
        # Adapters keep 16 bits, and frozen weights are not gathered after a step.
        narrower = where(sharded & (plan.lora_rank == 0), less, 0.0)
        reduced = width * moving - narrower / 2
        found[f"{name}_gradients"] = Message(kind, "all_reduce", reduced, sharing, spacing, once)
        found[f"{name}_weights"] = Message(
            kind, "all_gather", WEIGHT_BYTES * weights - less, sharing, spacing, 2 * each
        )
        sent = plan.gradient_bytes * moving
        found[f"{name}_scatter"] = Message(kind, "all_gather", sent, sharing, spacing, scattered)
        if some(plan.shard_group):
            found[f"{name}{ACROSS}"] = Message(
                kind, "all_reduce", sent / sharing, ranks / sharing, spacing * sharing, each + once
            )
    return found


def neighbours(message: Message, scaleup: Fabric) -> Number:
    """Members of the message's group inside one scale-up domain."""
    return minimum(message.ranks, maximum(scaleup.domain_chips / message.spacing, 1))


def _places(message: Message, domains: Number) -> Number:
    """At how many places a message's copies are chosen over so many domains: groups that fit into one keep theirs together.

    Groups are chosen for their two best experts, so that all are visited (DeepSeek-AI 2024, section 2.1.2), and no group
    twice: of G groups M distinct ones miss a domain of g with a chance of $(1 - g / (G - (M - 1) / 2))^M$ (Wise 1954, on the
    hypergeometric tail), as so many choices at random would."""
    together = (message.groups > 0) & (domains <= message.groups) & (domains > 1)
    if not some(together):
        return message.copies
    several, groups = maximum(domains, 1 + 1e-9), maximum(message.groups, 1)
    visited = minimum(message.visited, message.copies)
    missed = 1 - groups / several / (groups - (visited - 1) / 2)
    chosen = visited * log(maximum(missed, 1e-9)) / log(1 - 1 / several)
    return where(together, minimum(chosen, message.copies), message.copies)


def seconds(message: Message, scaleup: Fabric, scaleout: Fabric) -> Number:
    """Seconds that one run of the message takes (what goes to a store is timed with what comes from it,
    `training_step.streaming_seconds`)."""
    local = neighbours(message, scaleup)
    if message.collective == "send_recv":
        near = collectives.send_recv(message.bytes, scaleup)
        far = collectives.send_recv(message.bytes, scaleout)
        return where(message.ranks > 1, where(local > 1, near, far), 0.0)
    levels = (message.ranks, local, scaleup, scaleout)
    if message.collective == "all_reduce":
        return collectives.hierarchical_all_reduce(message.bytes, *levels)
    if message.collective == "all_gather":
        return collectives.hierarchical_all_gather(message.bytes, *levels)
    places = _places(message, message.ranks / local)
    return collectives.hierarchical_all_to_all(message.bytes, *levels, message.copies, places)


def sent_bytes(message: Message, scaleup: Fabric) -> tuple[Number, Number]:
    """Bytes that one chip sends in one run of the message: (inside its scale-up domain, beyond it)."""
    size, ranks = message.bytes, message.ranks
    if message.collective == "store":
        return 0.0, size
    local = neighbours(message, scaleup)
    domains = ranks / local
    if message.collective == "send_recv":
        sent = where(ranks > 1, size, 0.0)
        return where(local > 1, sent, 0.0), where(local > 1, 0.0, sent)
    if message.collective == "all_to_all":
        first = collectives.first_copies(ranks, message.copies)
        inside = collectives.all_to_all(size * first * local / ranks, local, _PLAIN)
        places = maximum(_places(message, domains), 1)
        beyond = size / maximum(message.copies, 1) * collectives.distinct_others(domains, places)
        return inside, where(domains > 1, beyond, 0.0)
    whole = collectives.all_reduce if message.collective == "all_reduce" else collectives.all_gather
    leaving = size / local * collectives.round_all_chips(ranks, domains, scaleup)
    return whole(size, local, _PLAIN), whole(leaving, domains, _PLAIN)
