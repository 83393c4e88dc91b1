"""Which data lives in which memory tier, and what reading it costs.

Tiers are filled from the fastest to the largest, the data that is read most often first. A tier whose
bandwidth the vendor does not publish cannot be planned with and holds nothing (a cache is no tier: hardware
decides what it keeps). Weights that overflow the fast tiers are streamed from the slow one every step, which
is what Cerebras' MemoryX and the DDR tier of SambaNova's SN40L do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training_moat.core.elementwise import Number, maximum, minimum
from training_moat.core.machine import Chip, Tier

USABLE_SHARE = 0.95
"""Share of a tier that data may fill; the rest is code, buffers and fragmentation (serving engines reserve
five to ten percent by default)."""


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

    @property
    def missing_bytes(self) -> Number:
        """Bytes that found no room."""
        return sum(self.overflow.values())


def usable_tiers(chip: Chip) -> tuple[Tier, ...]:
    """The tiers that can hold a model: a published capacity and bandwidth, fastest first."""
    known = [tier for tier in chip.tiers if tier.capacity_bytes and tier.bytes_per_s]
    return tuple(sorted(known, key=lambda tier: -tier.bytes_per_s))


def place(
    wanted: Mapping[str, Number], tiers: Sequence[Tier], usable_share: Number = USABLE_SHARE
) -> Placement:
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
