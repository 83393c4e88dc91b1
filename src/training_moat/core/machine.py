"""Chips as what they are: peaks by number format, memory tiers, links.

All rates are per chip and per second. Peaks are dense (no structured sparsity). Link bandwidths are per
direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from training_moat.core.elementwise import Number
from training_moat.core.errors import InputError
from training_moat.core.units import NUMBER_FORMATS

_INSTEAD = {name: one.instead.split() for name, one in NUMBER_FORMATS.items()}
UNNAMED = "custom"
"""The id of a chip, or of a model, that somebody describes without naming it: of no table."""


@dataclass(frozen=True)
class Tier:
    """One level of a chip's memory. `bytes_per_s` is None where the vendor publishes none.

    `name` is its place (sram, hbm, or ddr for what stands beside the chip), `kind` what it is in a word where that is not
    its place: LPDDR, GDDR.
    """

    name: str
    capacity_bytes: Number
    bytes_per_s: Number | None = None
    kind: str = ""

    @property
    def word(self) -> str:
        """What it is, as sentences name it."""
        return self.kind or self.name.upper()


@dataclass(frozen=True)
class Link:
    """One direction of a chip's connection to a group of others.

    `domain_chips` is how many chips one such network joins (None: as many as wanted).
    """

    bytes_per_s: Number
    latency_s: Number
    domain_chips: Number | None = None
    topology: str = "switched"


def _column(wanted: str) -> str:
    """The column of a chip object in which a peak for a format is told; blocks of shared scales have that of their width."""
    plain = wanted.removeprefix("mx").removeprefix("nv")
    return f"{plain}_tops" if plain.startswith("int") else f"{plain}_tflops"


@dataclass(frozen=True)
class Chip:
    """One accelerator as its vendor describes it; blanks stay None."""

    id: str
    name: str
    vendor: str
    peak_flops: Mapping[str, float]
    tiers: tuple[Tier, ...]
    scaleup: Link | None = None
    scaleout: Link | None = None
    tdp_w: float | None = None
    price_usd: float | None = None
    cloud_usd_per_h: float | None = None
    available: str | None = None
    supports_training: bool | None = None
    family: str = ""
    notes: tuple[str, ...] = ()
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tiers that hold a job's data as the maker uses the chip, fastest first, by job."""
    streamed: frozenset[str] = frozenset()
    """Jobs whose weights stream in from one store outside all chips while activations stay on the chip."""
    largest_system: float | None = None
    """Most chips that the maker says one system joins."""
    domain_chips: float | None = None
    """Chips of one scale-up domain, also where its bandwidth is not published."""
    matrix_unit: float | None = None
    """Width of one of its square matrix units, where that is published."""
    host: Link | None = None
    """The bus of its server where that joins more chips than `scaleup` does (pairs of bridged cards)."""
    variant_of: str = ""
    """Id of the chip that a user's chip was made from, whose measurements speak for it; blank where it was from none."""

    @property
    def measured_as(self) -> str:
        """Id under which measurements of the chip stand."""
        return self.variant_of or self.id

    def tier(self, name: str) -> Tier | None:
        """The tier of that name, or None where the chip lacks it."""
        return next((tier for tier in self.tiers if tier.name == name), None)

    @property
    def main_memory(self) -> Tier:
        """The tier that holds a model in ordinary use: HBM, else DDR, else SRAM."""
        for name in ("hbm", "ddr", "sram"):
            found = self.tier(name)
            if found is not None and found.capacity_bytes:
                return found
        raise InputError(f"chip {self.id}: no memory tier with a published capacity")

    def compute_format(self, wanted: str) -> str:
        """The format this chip multiplies in when asked for `wanted` (itself, or the best fallback)."""
        for name in (wanted, *_INSTEAD.get(wanted, ())):
            if self.peak_flops.get(name):
                return name
        others = ", ".join(name for name, peak in self.peak_flops.items() if peak)
        has = f"only for {others}" if others else "for no format"
        own = UNNAMED in (self.id, self.family)  # stands in no table that others could start from
        based = "" if own else f" with 'base': '{self.variant_of or self.id}'"
        raise InputError(
            f"chip {self.id} has a published peak {has}, none that can stand in for {wanted};"
            f" expected one, such as {_column(wanted)} in a chip object{based}"
        )
