"""What the chips of a plan tell one another in a pass: sums of tensor parallelism, tokens on their way to shared experts and
back, hand-overs of a pipeline; and how far an engine hides the experts' exchange behind computing.

Every numeric field may be an array; all arrays of one call have one length, and so has the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from training_moat.core.collectives import (
    direct_all_reduce,
    hierarchical_all_reduce,
    hierarchical_all_to_all,
    send_recv,
)
from training_moat.core.elementwise import Number, ceil, maximum, minimum, where
from training_moat.core.fabrics import Fabric
from training_moat.core.serving_memory import WIDE_BYTES, ServingMachine, ServingPlan
from training_moat.core.workload import Transformer


@dataclass(frozen=True)
class Exchange:
    """How an engine sends tokens to experts that several attention copies share.

    `sent_bytes`, `returned_bytes`: what one value takes on its way to the experts and back (DeepSeek-V3 2024, section 3.4;
    DeepEP's kernels send 8 bits and return 16). `micro_batches`: parts in which a batch may be worked off so that the
    exchange of one runs while another computes (the same report, section 3.4.2; SGLang 2025, "two-batch overlap").
    `between`: the network between servers as the engine's own kernels use it, None where its collectives do.
    """

    sent_bytes: Number = WIDE_BYTES
    returned_bytes: Number = WIDE_BYTES
    micro_batches: Number = 1.0
    between: Fabric | None = None


def sums_s(model: Transformer, plan: ServingPlan, m: ServingMachine, tokens: Number) -> Number:
    """Seconds of sums and hand-overs in one pass of `tokens` tokens through all layers of one copy.

    Tensor parallelism sums partial results twice a layer (Shoeybi et al. 2019, section 3); experts shared by several
    attention copies take an exchange (`exchange_s`) instead of the second sum. A pipeline hands over inside a server as long as
    its stages find room there, else from server to server.
    """
    size = tokens * model.hidden * WIDE_BYTES
    domain = m.scaleup.domain_chips
    per_sum = staged = hierarchical_all_reduce(size, plan.tp, domain, m.scaleup, m.scaleout)
    if m.scaleup.topology != "host":
        # Engines keep their own kernels off the bus of a server, which all ranks at once would choke.
        direct = direct_all_reduce(size, plan.tp, m.scaleup)
        per_sum = where(plan.tp <= domain, minimum(staged, direct), staged)
    stage = maximum(plan.tp, plan.expert_chips)
    leaving = minimum(plan.pp - 1, ceil(plan.pp * stage / m.server.domain_chips) - 1)
    hops = (plan.pp - 1 - leaving) * send_recv(size, m.server)
    hops = hops + leaving * send_recv(size, m.scaleout)
    return (2 * model.layers - _exchanged_layers(model, plan)) * per_sum + hops


def exchange_s(
    model: Transformer,
    plan: ServingPlan,
    m: ServingMachine,
    tokens: Number,
    exchange: Exchange | None = None,
) -> Number:
    """Seconds of the all-to-alls to shared experts and back in one pass of `tokens` tokens through all layers of one copy;
    zero where no copies share experts."""
    layers = _exchanged_layers(model, plan)
    if exchange is None:
        return layers * 2 * _one_way_s(model, plan, m, tokens, WIDE_BYTES, m.scaleout)
    between = m.scaleout if exchange.between is None else exchange.between
    there = _one_way_s(model, plan, m, tokens, exchange.sent_bytes, between)
    return layers * (there + _one_way_s(model, plan, m, tokens, exchange.returned_bytes, between))


def exposed_s(exchange: Number, beside: Number, micro_batches: Number) -> Number:
    """What is left of an exchange's seconds when it runs beside `beside` seconds of computing: all of it where the batch is
    worked off at once, else what computing is too short for.

    Two halves in turns keep the network and the chip busy at once where neither waits for the other, which engines see to by
    cutting attention in two steps (DeepSeek 2025, inference system overview; SGLang's strategy for decoding).
    """
    return where(micro_batches > 1, maximum(exchange - beside, 0.0), exchange)


def _exchanged_layers(model: Transformer, plan: ServingPlan) -> Number:
    return where(plan.expert_chips > plan.tp, model.moe_layers, 0.0)


def _one_way_s(
    model: Transformer,
    plan: ServingPlan,
    m: ServingMachine,
    tokens: Number,
    bytes_each: Number,
    between: Fabric,
) -> Number:
    """Seconds of one all-to-all among the chips that share experts: every token to each of its experts."""
    pooled = plan.expert_chips
    size = tokens * model.hidden * bytes_each
    routed = size * minimum(maximum(model.experts_per_token, 1), pooled) / plan.tp
    return hierarchical_all_to_all(routed, pooled, m.scaleup.domain_chips, m.scaleup, between)
