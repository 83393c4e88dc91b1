"""How long a collective takes: latency plus bytes over bandwidth, by topology and message size.

`message_bytes` follows the convention of nccl-tests: the whole tensor a rank ends with (all-reduce, all-gather),
starts with (reduce-scatter) or exchanges in total (all-to-all). Every argument may be an array; every answer
is in seconds and zero for a group of one.

Libraries keep two ways of moving data and take the faster: eagerly, with flags beside the payload, a short
latency and a part of the link rate; or in bulk, synchronised per chunk, with a longer latency and most of the
link rate (NCCL's LL and Simple protocols: Hu et al. 2025, section III). Each follows the latency-bandwidth
model of Hockney (Thakur, Rabenseifner and Gropp 2005, section 3):

    T = launch + steps x latency + bytes on the wire / bandwidth                                (equation 1)
"""

from __future__ import annotations

from collections.abc import Callable

from training_moat.core.elementwise import Number, log2, maximum, minimum, where
from training_moat.core.fabrics import HOPS, Fabric, diameter, group_bytes_per_s, mean_hops

_TINY = 1e-30
"""Keeps a rate of zero (a protocol the fabric lacks) from dividing by zero."""


def _fastest_s(
    steps: Number, wire_s: Number, fabric: Fabric, ranks: Number, in_switch_s: Number = 1e30
) -> Number:
    """Equation 1 for the faster protocol, zero for a group of one. `wire_s` is at line rate; `in_switch_s`
    is the sustained wire time of a reduction in the switch."""
    hops = steps * HOPS[fabric.topology]
    eager = hops * fabric.step_latency_s + wire_s / maximum(fabric.eager_efficiency, _TINY)
    bulk_wire = minimum(wire_s / fabric.efficiency, in_switch_s)
    bulk = hops * fabric.bulk_step_latency_s + fabric.bulk_launch_s + bulk_wire
    return where(ranks > 1, fabric.launch_s + minimum(eager, bulk), 0.0)


def _steps(ranks: Number, passes: int) -> Number:
    """Steps one after another: `passes` times round a ring, or up and down a tree where that is shorter
    (Thakur et al. 2005, sections 4.1 and 4.4)."""
    n = maximum(ranks, 1)
    return minimum(passes * (n - 1), 2 * passes * log2(n))


def _share_wire_s(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """Line-rate seconds to send (n-1)/n of the message."""
    n = maximum(ranks, 1)
    return (n - 1) / n * message_bytes / group_bytes_per_s(fabric, ranks)


def _in_switch_s(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """Wire seconds of an all-reduce added up by the switch: (n+1)/n of the tensor cross each link
    (Klenk et al. 2020); endless where the switch cannot."""
    n = maximum(ranks, 1)
    sustained = maximum(fabric.bytes_per_s * fabric.in_network_efficiency, _TINY)
    return (n + 1) / n * message_bytes / sustained


def all_reduce_wire_s(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """Sustained seconds on the wire: each rank sends 2 (n-1)/n of the tensor (Thakur et al. 2005,
    section 4.4), or the switch adds up on the way where that is faster."""
    ring = 2 * _share_wire_s(message_bytes, ranks, fabric) / fabric.efficiency
    return where(ranks > 1, minimum(ring, _in_switch_s(message_bytes, ranks, fabric)), 0.0)


def all_reduce(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """Sum a tensor over all ranks and give everyone the result (reduce-scatter, then all-gather)."""
    wire = 2 * _share_wire_s(message_bytes, ranks, fabric)
    return _fastest_s(
        _steps(ranks, 2), wire, fabric, ranks, _in_switch_s(message_bytes, ranks, fabric)
    )


def _gather_wire_s(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """The same of an all-gather, which sends (n-1)/n of the tensor."""
    return _share_wire_s(message_bytes, ranks, fabric) / fabric.efficiency


def reduce_scatter(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """Sum a tensor over all ranks and give each rank its share (ring; Thakur et al. 2005, section 4.3)."""
    return _fastest_s(_steps(ranks, 1), _share_wire_s(message_bytes, ranks, fabric), fabric, ranks)


def all_gather(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """Give every rank the whole tensor from the ranks' shares (ring; Thakur et al. 2005, section 4.1)."""
    return reduce_scatter(message_bytes, ranks, fabric)


def all_to_all(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """Each rank sends a different n-th of its tensor to every other. The sends go out together, so that one
    step's latency shows; on rings and tori every byte loads several links."""
    hops = mean_hops(fabric, ranks)
    return _fastest_s(
        maximum(1.0, hops), _share_wire_s(message_bytes, ranks, fabric) * hops, fabric, ranks
    )


def direct_all_reduce(message_bytes: Number, ranks: Number, fabric: Fabric) -> Number:
    """All-reduce of a small tensor in two exchanges, every rank with every other: all send the shares they owe,
    then all send the sums (Rabenseifner 2004, "all-to-all" variant; the two-shot kernels of serving engines).

    Two steps behind a switch or on a full mesh; on rings and tori each takes as many hops as the way is long.
    """
    hops = mean_hops(fabric, ranks)
    wire = 2 * _share_wire_s(message_bytes, ranks, fabric) * hops
    return _fastest_s(2 * diameter(fabric, ranks), wire, fabric, ranks)


def send_recv(message_bytes: Number, fabric: Fabric) -> Number:
    """One chip sends a tensor to its neighbour, over the links that lead there."""
    return _fastest_s(1.0, message_bytes / group_bytes_per_s(fabric, 2), fabric, 2)


def round_all_chips(ranks: Number, domains: Number, inner: Fabric) -> Number:
    """How much more leaves a domain without a switch than between domains need be exchanged: its chips lie on one ring with
    all others, which carries (n-1)/n of the tensor past every chip, not (d-1)/d of it (Jeaugey 2019: NCCL's rings and
    trees)."""
    if inner.topology != "mesh":
        return 1.0
    between = (domains - 1) / maximum(domains, 1)
    return where(domains > 1, (1 - 1 / maximum(ranks, 1)) / maximum(between, _TINY), 1.0)


def _two_levels(
    collective: Callable[[Number, Number, Fabric], Number],
    wire_s: Callable[[Number, Number, Fabric], Number],
    message_bytes: Number,
    ranks: Number,
    ranks_per_domain: Number,
    inner: Fabric,
    outer: Fabric,
) -> Number:
    """A collective inside the domains and one of their shares between them, whose chunks overlap: both latencies, but only
    the slower wire."""
    local = minimum(maximum(ranks_per_domain, 1), ranks)
    domains = ranks / local
    share = message_bytes / local * round_all_chips(ranks, domains, inner)
    both = collective(message_bytes, local, inner) + collective(share, domains, outer)
    return both - minimum(wire_s(message_bytes, local, inner), wire_s(share, domains, outer))


def hierarchical_all_reduce(
    message_bytes: Number, ranks: Number, ranks_per_domain: Number, inner: Fabric, outer: Fabric
) -> Number:
    """All-reduce over several scale-up domains: reduce-scatter inside, all-reduce of the shares between
    the domains, all-gather inside, chunk by chunk (Goyal et al. 2017, section 4; Cho et al. 2019).

    `outer` is the scale-out link of one chip. With one domain, or one chip a domain, it is the plain all-reduce.
    """
    levels = (message_bytes, ranks, ranks_per_domain, inner, outer)
    return _two_levels(all_reduce, all_reduce_wire_s, *levels)


def hierarchical_all_gather(
    message_bytes: Number, ranks: Number, ranks_per_domain: Number, inner: Fabric, outer: Fabric
) -> Number:
    """All-gather over several domains: the shares cross between domains, then spread inside."""
    levels = (message_bytes, ranks, ranks_per_domain, inner, outer)
    return _two_levels(all_gather, _gather_wire_s, *levels)


def distinct_others(domains: Number, copies: Number) -> Number:
    """Expected number of other domains that `copies` random choices among `domains` hit at least once."""
    return (domains - 1) * (1 - (1 - 1 / domains) ** copies)


def first_copies(ranks: Number, copies: Number) -> Number:
    """Share of an all-to-all's parts for other members that are no second copy of what the same member is sent."""
    whole = maximum(copies, 1)
    apart = distinct_others(ranks, whole) / maximum(whole * (1 - 1 / ranks), _TINY)
    return where(ranks > 1, minimum(apart, 1.0), 1.0)


def hierarchical_all_to_all(
    message_bytes: Number,
    ranks: Number,
    ranks_per_domain: Number,
    inner: Fabric,
    outer: Fabric,
    copies: Number = 1,
    places: Number | None = None,
) -> Number:
    """All-to-all over several domains: what stays inside uses the scale-up links, the rest the scale-out
    links, side by side; the slower of the two decides.

    `copies`: how many of the message's parts are the same data for random members (a token for several experts). A
    domain is sent such data once and spreads it inside, a member once as well (DeepSeek-AI 2024, section 3.2.2). `places`:
    at how many places such parts are chosen, where they keep together (default: `copies`).
    """
    local = minimum(maximum(ranks_per_domain, 1), ranks)
    whole = maximum(copies, 1)
    inside = all_to_all(message_bytes * first_copies(ranks, whole) * local / ranks, local, inner)
    choices = whole if places is None else minimum(maximum(places, 1), whole)
    leaving = message_bytes / whole * distinct_others(ranks / local, choices)
    wire = leaving / group_bytes_per_s(outer, ranks)
    outside = _fastest_s(1.0, wire, outer, where(ranks > local, 2, 1))
    return maximum(inside, outside)
