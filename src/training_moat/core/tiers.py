"""Which data lives in which memory tier, whether it fits, and what reading it costs.

A chip's tiers are used as its maker uses them (`Chip.homes`, from the table memory_use): GPUs hold a job in HBM;
SambaNova's RDUs train out of DDR and serve out of HBM; wafers stream the weights of training from an external
store and hold those of serving in their SRAM; Groq's chips have nothing but SRAM. Chips without a row hold a job
in HBM, or in the largest memory with a published bandwidth where they have none.

Tiers are filled from the fastest to the largest, the data that is read most often first. A tier whose bandwidth
the vendor does not publish cannot be planned with and holds nothing (a cache is no tier: hardware decides what it
keeps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training_moat.core.elementwise import Number, maximum, minimum
from training_moat.core.errors import Unpublished
from training_moat.core.machine import Chip, Tier
from training_moat.core.node import HOST_BYTES_PER_S, HOST_SHARE

USABLE_SHARE = {"training": 0.97, "serving": 0.95}
"""Share of a tier's nominal capacity that a job's data may fill. Training: a card of 80 GB offers 79.1 GiB of them, one
of 32 GB 31.75, and the driver's context takes some more before the first tensor; what the runtime takes is in the memory
model. Serving leaves room for code, buffers and fragmentation (engines reserve five to ten percent by default)."""

LARGEST_SYSTEM = 200_000.0
"""Chips of the largest system that exists (xAI's Colossus, 2025; table gpu_clusters): no job is said to be held by
more, whatever a network could join."""


@dataclass(frozen=True)
class Placement:
    """Bytes of each kind of data in each tier of one chip.

    `tiers` names them fastest first; `held[kind][i]` is what tier i holds of it; `overflow[kind]` found no
    room anywhere; `seconds_per_byte[kind]` is the mean cost of reading one byte of it.
    """

    tiers: tuple[str, ...]
    held: Mapping[str, tuple[Number, ...]]
    overflow: Mapping[str, Number]
    seconds_per_byte: Mapping[str, Number]


def usable_tiers(chip: Chip) -> tuple[Tier, ...]:
    """The tiers that can hold a model: a published capacity and bandwidth, fastest first."""
    known = [tier for tier in chip.tiers if tier.capacity_bytes and tier.bytes_per_s]
    return tuple(sorted(known, key=lambda tier: -(tier.bytes_per_s or 0)))


def home_names(chip: Chip, job: str) -> tuple[str, ...]:
    """Names of the tiers that a job's data should live in, published bandwidths or not."""
    if job in chip.homes:
        return chip.homes[job]
    if chip.tier("hbm"):
        return ("hbm",)
    if chip.tier("ddr"):
        return ("sram", "ddr") if job == "serving" else ("ddr",)
    return ("sram",)


def missing(chip: Chip, job: str) -> str:
    """The datum without which nothing can be said of a job's memory, or an empty string."""
    names = home_names(chip, job)
    wanted = [tier for tier in chip.tiers if tier.name in names]
    largest = chip.tier(names[-1])
    word = largest.word if largest else names[-1].upper()
    where = "outside store" if job in chip.streamed else word
    if not wanted:
        return f"size of its {where} not published" if chip.tiers else "memory size not published"
    if not any(tier.bytes_per_s for tier in wanted):
        return f"bandwidth of its {where} not published"
    return ""


COLUMNS = {
    "sram": ("sram_mb", "sram_tb_per_s"),
    "hbm": ("hbm_gb", "hbm_tb_per_s"),
    "ddr": ("ddr_gb", "ddr_gb_per_s"),
}
"""Columns of a chip that tell a tier's size and bandwidth, for who describes a chip of their own."""


def _column(chip: Chip, job: str) -> str:
    """Where a chip of one's own would tell the datum that is missing, behind a sentence; blank where no column does."""
    names = home_names(chip, job)
    if not chip.tiers:
        return " (column hbm_gb, or ddr_gb or sram_mb)"
    if job in chip.streamed or names[-1] not in COLUMNS:
        return ""
    size, rate = COLUMNS[names[-1]]
    return f" (column {rate if any(tier.name in names for tier in chip.tiers) else size})"


def home(chip: Chip, job: str) -> tuple[Tier, ...]:
    """The tiers that hold a job's data, fastest first. Unpublished names the datum that is missing."""
    gap = missing(chip, job)
    if gap:
        raise Unpublished(f"chip {chip.id}: {gap}{_column(chip, job)}")
    return tuple(tier for tier in usable_tiers(chip) if tier.name in home_names(chip, job))


def working(chip: Chip, job: str) -> Tier:
    """The tier that holds the activations at work: the home's fastest, or what a chip that streams its weights has
    on board."""
    tiers = home(chip, job)
    aboard = [tier for tier in usable_tiers(chip) if tier not in tiers]
    return aboard[0] if job in chip.streamed and aboard else tiers[0]


def faster_tiers(chip: Chip, job: str = "serving") -> tuple[Tier, ...]:
    """The home tiers without the large slow one, where there are others."""
    tiers = home(chip, job)
    return tuple(tier for tier in tiers if tier.name != "ddr") or tiers


def room(tiers: Sequence[Tier], job: str) -> Number:
    """Bytes that a job's data may fill of these tiers of one chip."""
    return sum(tier.capacity_bytes for tier in tiers) * USABLE_SHARE[job]


def capacity_bytes(chip: Chip, job: str) -> float:
    """Bytes of one chip that a job's data may fill, all home tiers together."""
    return float(room(home(chip, job), job))


@dataclass(frozen=True)
class Room:
    """What a job is offered, in bytes; every field may be an array: the `space` of one chip, and the `store` that all
    chips share where weights stream in from one (else endless)."""

    space: Number
    store: Number

    def holds(self, aboard: Number, stored: Number) -> Number:
        """Whether a job fits that keeps so much on each chip, and so much once for all of them in the store."""
        return (aboard <= self.space) & (stored <= self.store)


def room_for(chip: Chip, job: str) -> Room:
    """What a chip and its store offer a job. InputError names the datum that is missing."""
    whole = capacity_bytes(chip, job)
    if job in chip.streamed:
        return Room(float(room([working(chip, job)], job)), whole)
    return Room(whole, float("inf"))


def system_limit(chip: Chip) -> float:
    """Chips one system can join at most: what the maker says, else the largest system of any kind."""
    return float(chip.largest_system or LARGEST_SYSTEM)


def is_joined(chip: Chip, chips: float) -> bool:
    """Whether a published network joins so many chips."""
    stated = max(chip.largest_system or 1, chip.domain_chips or 1)
    return chip.scaleout is not None or chips <= stated


def place(wanted: Mapping[str, Number], tiers: Sequence[Tier], usable_share: Number) -> Placement:
    """Fill the tiers in order with the kinds of data in order of `wanted` (kind -> bytes per chip).

    What overflows is charged at the last tier's rate, so that the answer stays defined; `overflow` says
    that it does not fit.
    """
    free = [tier.capacity_bytes * usable_share for tier in tiers]
    held, overflow, cost = {}, {}, {}
    for kind, size in wanted.items():
        left, taken, seconds = size, [], 0.0
        for index, tier in enumerate(tiers):
            part = minimum(left, free[index])
            free[index] = free[index] - part
            left = left - part
            taken.append(part)
            seconds = seconds + part / tier.bytes_per_s
        held[kind] = tuple(taken)
        overflow[kind] = left
        cost[kind] = (seconds + left / tiers[-1].bytes_per_s) / maximum(size, 1.0)
    return Placement(tuple(tier.name for tier in tiers), held, overflow, cost)


def host_bandwidth(chip: Chip) -> float | None:
    """Bytes per second of the memory of a processor that is the chip's own and joined to it more closely than by PCI Express
    (Grace's LPDDR behind NVLink-C2C), the slower of that memory and the link; None where there is none."""
    beside = chip.tier("ddr") if chip.tier("hbm") else None
    if beside is None or beside.kind != "LPDDR" or not beside.bytes_per_s:
        return None
    return float(beside.bytes_per_s)


def host_bytes_per_s(chip: Chip) -> float:
    """Sustained rate between a chip and its host, in bytes per second."""
    own = host_bandwidth(chip)
    return HOST_SHARE * own if own else HOST_BYTES_PER_S
