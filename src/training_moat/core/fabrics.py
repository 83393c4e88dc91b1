"""What a group of chips talks over: sustained rates and latencies by kind of network.

A chip's data sheet gives one direction of its links, all of them added. How much of that a group can use
depends on the network's shape: a switch lends all of it to any group, a full mesh only the links that lead
to members of the group, a torus only the axes the group spans, a ring or chain two neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from training_moat.core.elementwise import Number, ceil, log, maximum, minimum, some, where
from training_moat.core.errors import require_known
from training_moat.core.machine import Link

TORUS_AXES = {"torus2d": 2, "torus3d": 3}
"""Tori and their number of axes."""

HOPS = {
    "switched": 1.0,
    "fat_tree": 2.0,
    "dragonfly": 3.0,
    "mesh": 1.0,
    "torus2d": 1.0,
    "torus3d": 1.0,
    "ring": 1.0,
    "point_to_point": 1.0,
    "host": 2.0,
}
"""Link traversals between two neighbours of a collective's ring (dragonfly: local, global, local; Kim et al. 2008)."""


CUBE = 64
"""Chips of a cube of 4 x 4 x 4, of which slices with links around every axis are made (Jouppi et al. 2023, TPU v4, section 2;
Google Cloud, TPU v5p: "All 4x4x4 and larger slices (one cube) have full 3D torus")."""


@dataclass(frozen=True)
class Fabric:
    """A network as one rank of a collective sees it.

    `bytes_per_s`: one direction of a chip's links, all added, as the vendor states it. `launch_s`: fixed time
    to start a collective. Small messages go eagerly: `step_latency_s` a step and `eager_efficiency` of the
    link rate. Large ones go in bulk: `bulk_step_latency_s` a step, `bulk_launch_s` more to start, and
    `efficiency` of the link rate. `in_network_efficiency`: above zero where the switch itself reduces
    (NVLink SHARP), the share of line rate it then sustains. `domain_chips`: chips one such network joins.
    """

    bytes_per_s: Number
    step_latency_s: Number
    efficiency: Number = 1.0
    launch_s: Number = 0.0
    eager_efficiency: Number = 0.0
    bulk_step_latency_s: Number = 0.0
    bulk_launch_s: Number = 0.0
    domain_chips: Number = 8
    topology: str = "switched"
    in_network_efficiency: Number = 0.0
    sliced: Number = 0
    """1 where optical switches join any whole cubes (`CUBE`) to a torus of their own, 0 where every machine has one shape."""

    def __post_init__(self) -> None:
        require_known("topology", self.topology, HOPS)


SWITCHES = ("switched", "fat_tree", "dragonfly")
"""Networks with switches, which can add up on the way."""


def from_link(link: Link, **constants: Number) -> Fabric:
    """The fabric a chip's link makes, with calibrated `constants` (fields of `Fabric`) over the defaults,
    which are the plain latency-bandwidth model at the link's full rate. Where no switch stands between the chips
    none adds up, whatever the family's other machines do."""
    plain = Fabric(
        bytes_per_s=link.bytes_per_s,
        step_latency_s=link.latency_s,
        bulk_step_latency_s=link.latency_s,
        domain_chips=link.domain_chips or 1e9,
        topology=link.topology if link.topology in HOPS else "switched",
    )
    found = replace(plain, **constants)
    return found if found.topology in SWITCHES else replace(found, in_network_efficiency=0.0)


def of_slice(fabric: Fabric, chips: Number) -> Fabric:
    """The fabric as a run on so many chips has it: a slice of whole cubes is a torus whose sides are its own, so that groups
    span more of its axes than in the whole pod. Smaller slices have no links around and are left as they are."""
    if not some(fabric.sliced):
        return fabric
    own = (fabric.sliced > 0) & (chips >= CUBE)
    return replace(
        fabric, domain_chips=where(own, minimum(fabric.domain_chips, chips), fabric.domain_chips)
    )


def group_bytes_per_s(fabric: Fabric, ranks: Number) -> Number:
    """Bytes per second and direction that one rank's links to members of a group of `ranks` carry at line rate."""
    rate = fabric.bytes_per_s
    if fabric.topology == "mesh":
        return rate * minimum(1.0, (maximum(ranks, 2) - 1) / maximum(fabric.domain_chips - 1, 1))
    if fabric.topology in TORUS_AXES:
        axes = TORUS_AXES[fabric.topology]
        return rate * spanned_axes(fabric, ranks) / axes
    return rate


def spanned_axes(fabric: Fabric, ranks: Number) -> Number:
    """Axes of a torus that a compact group of `ranks` spans, at least one."""
    axes = TORUS_AXES[fabric.topology]
    side = maximum(fabric.domain_chips, 2) ** (1.0 / axes)
    return minimum(axes, maximum(1.0, ceil(log(maximum(ranks, 2)) / log(side) - 1e-9)))


def mean_hops(fabric: Fabric, ranks: Number) -> Number:
    """Links a byte crosses on its way to a uniformly random member of the group (loads an all-to-all).

    One through a switch or a full mesh; a quarter of the ring per axis on tori and rings (Dally and
    Towles 2004, section 5.2), at least one.
    """
    return _links(fabric, ranks, 4.0)


def diameter(fabric: Fabric, ranks: Number) -> Number:
    """Links a byte crosses on its way to the farthest member of the group: one through a switch or a full mesh,
    half of the ring per axis on tori and rings."""
    return _links(fabric, ranks, 2.0)


def _links(fabric: Fabric, ranks: Number, parts: float) -> Number:
    """One of so many parts of the ring per axis, at least a link; one where there is no ring."""
    if fabric.topology in TORUS_AXES:
        axes = spanned_axes(fabric, ranks)
        return maximum(1.0, axes * maximum(ranks, 2) ** (1.0 / axes) / parts)
    return maximum(1.0, ranks / parts) if fabric.topology in ("ring", "point_to_point") else 1.0
