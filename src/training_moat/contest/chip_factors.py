"""A chip with some of its qualities taken from another: what the counterfactual asks the model about.

Ten qualities make a chip's cost of a job. Six are the machine's and are mixed here into one `Chip`, so that the model
answers for it as for any other; uptime, supply, price and power are multiplied in afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog.relatives import wide_format, wide_peak
from training_moat.core import tiers
from training_moat.core.machine import Chip, Tier

GROUPS: Mapping[str, tuple[str, ...]] = {
    "compute": ("compute",),
    "memory": ("memory capacity", "memory bandwidth"),
    "network": ("network",),
    "precision": ("precision",),
    "software": ("software",),
    "uptime": ("uptime",),
    "supply": ("supply",),
    "price and power": ("price", "power"),
}
"""The article's arguments and what else could decide, as sets of factors."""

CAUSES = ("memory", "network", "precision")
"""The groups that the article names as technical causes."""

FACTORS = tuple(name for group in GROUPS.values() for name in group)
"""The qualities a gap is split into, in the order of a coalition's bits."""

MACHINE_FACTORS = FACTORS[:6]
"""Those that change what the machine does; the others change what it costs."""

JOB = "training"
"""The job whose memory is mixed."""


def training_formats(chip: Chip) -> tuple[str, ...]:
    """Formats in which a chip can train: its 16-bit one, and FP8 where the table or the scenario says it trains in it."""
    own = wide_format(chip)
    if own is None:
        return ()
    claimed = _claimed(chip)
    words = (claimed or "").lower().replace("no bf16/fp8", "").replace("no fp8", "")
    narrow = chip.peak_flops.get("fp8") and (claimed is None or "fp8" in words)
    return (own, "fp8") if narrow else (own,)


def _claimed(chip: Chip) -> str | None:
    """The table's words on low-precision training; None for a chip that the table does not describe."""
    words = chip_catalog.row(chip.id).get("lowprec_training_formats")
    return str(words) if isinstance(words, str) else None


def mixed_peaks(compute: Chip, precision: Chip) -> dict[str, float]:
    """Peaks of a chip with one's multipliers and the other's number formats."""
    formats = training_formats(precision)
    own = precision.peak_flops
    if not formats:
        return {}
    wide = wide_peak(compute)
    narrow = {name: wide * (own[name] / own[formats[0]]) for name in formats[1:]}
    return {formats[0]: wide} | narrow


@dataclass(frozen=True)
class _Memory:
    """A chip's memory as training uses it: `home` holds the states, `near` the activations where that is another tier."""

    home: Tier
    near: Tier | None
    streamed: bool


def _memory(chip: Chip) -> _Memory:
    homes = tiers.home(chip, JOB)
    home = replace(homes[-1], capacity_bytes=sum(tier.capacity_bytes for tier in homes))
    aboard = [tier for tier in tiers.usable_tiers(chip) if tier not in homes]
    near = aboard[0] if aboard and home.name != "hbm" else None
    return _Memory(home, near, JOB in chip.streamed)


def mixed_memory(capacity: Chip, bandwidth: Chip) -> dict[str, Any]:
    """Memory as large as one's and as fast as the other's, as fields of a `Chip`.

    The tier that holds the states goes by the fast one's name, because that tells the model what keeps the activations; a
    store outside the chips stays one.
    """
    if capacity is bandwidth:
        return {name: getattr(capacity, name) for name in ("tiers", "homes", "streamed")}
    large, fast = _memory(capacity), _memory(bandwidth)
    name = "ddr" if large.streamed and fast.home.name == "sram" else fast.home.name
    found = [Tier(name, large.home.capacity_bytes, fast.home.bytes_per_s)]
    near = fast.near or fast.home
    if large.streamed:
        space = large.near or large.home
        found.append(Tier("sram", space.capacity_bytes, near.bytes_per_s))
    elif fast.near is not None:
        found.append(fast.near)
    streamed = frozenset({JOB}) if large.streamed else frozenset()
    return {"tiers": tuple(found), "homes": {JOB: (name,)}, "streamed": streamed}


def mixed(own: Chip, other: Chip, taken: Collection[str]) -> Chip:
    """`own` with the qualities of `taken` brought to the level of `other`.

    Software goes with the identity: the calibrated constants and the default stack are looked up by id, family and
    vendor. With all six machine qualities taken the answer is that for `other`.
    """
    source = {name: other if name in taken else own for name in MACHINE_FACTORS}
    network, identity = source["network"], source["software"]
    return replace(
        identity,
        peak_flops=mixed_peaks(source["compute"], source["precision"]),
        scaleup=network.scaleup,
        scaleout=network.scaleout,
        largest_system=network.largest_system,
        domain_chips=network.domain_chips,
        **mixed_memory(source["memory capacity"], source["memory bandwidth"]),
    )
