"""What stands in for a rate that nobody publishes of a chip: that of its relatives, else of all chips.

One rule for every model that meets such a chip, so that no page assumes another rate than the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from training_moat.catalog import chips, files, tables
from training_moat.core.errors import Unpublished
from training_moat.core.machine import Chip, Link

ENDS = (0.1, 0.9)
"""Quantiles of the chips table between which a missing rate, or a ratio of rates, is taken to lie."""

SAME_GENERATION_YEARS = 2
"""Years between chips of one architecture that still share their links; makers bring new ones about every two."""

WIDE = ("bf16", "fp16")
"""Formats of 16 bits that training multiplies in, best first."""

BUS = "host"
"""Topology of cards that talk over the bus of their server."""

GRAPHICS_MEMORY = "gddr"
"""Memory of graphics cards, several times as fast as the DDR that stands behind a faster tier."""


@tables.kept()
def _makers_own() -> list[Chip]:
    """The chips that makers have told something of: a chip that a scenario adds is nobody's word on any other."""
    told = set(files.read("chips")["id"])
    return [chip for name, chip in chips.all_chips().items() if name in told]


@tables.kept()
def rates(kind: str) -> tuple[float, float, float]:
    """Low end, median and high end of the published rates of one kind of link between chips (`scaleup`, `scaleout`), of buses
    of servers (`host`), which are none, or of one memory tier (`sram`, `hbm`, `ddr`, `gddr`), in bytes per second."""
    known = _makers_own()
    if kind == BUS:
        published = [rate for chip in known if (rate := _bus_rate(chip))]
    else:
        name = "ddr" if kind == GRAPHICS_MEMORY else kind
        found = [
            getattr(chip, name) if name in chips.TOPOLOGIES else chip.tier(name)
            for chip in known
            if kind_of(chip, name) == kind
        ]
        published = [one.bytes_per_s for one in found if one is not None and one.bytes_per_s]
    low, middle, high = np.quantile(published, (ENDS[0], 0.5, ENDS[1]))
    return float(low), float(middle), float(high)


def _bus_rate(chip: Chip) -> float | None:
    """Bytes per second of the bus that a chip's card sits on, where it is published."""
    bus = chip.host or (chip.scaleup if chip.scaleup and chip.scaleup.topology == BUS else None)
    return bus.bytes_per_s if bus else None


def kind_of(chip: Chip, kind: str) -> str:
    """The kind of link or memory whose published rates say what a chip's may be: a card that talks over its server's bus has
    the rate of buses, not of links between chips, and GDDR is not what stands behind HBM or SRAM."""
    row = chips.row(chip.measured_as)
    if kind == "scaleup" and row.get("scaleup_topology") == BUS:
        return BUS
    graphics = kind == "ddr" and str(row.get("ddr_type")).startswith("GDDR")
    return GRAPHICS_MEMORY if graphics else kind


def taken(chip: Chip, kind: str) -> tuple[float, str]:
    """The rate assumed for a chip (bytes per second) and what it is in words. For a link it is the median of those that
    chips of its architecture publish which came within `SAME_GENERATION_YEARS` of it, between systems at most what its own
    link inside one carries; else that of the whole table. For the bus of a server it is the median of those of cards of
    its time."""
    year = _year(chip)
    near = [one for one in _makers_own() if abs(_year(one) - year) <= SAME_GENERATION_YEARS]
    if kind_of(chip, kind) == BUS:
        buses = [rate for one in near if (rate := _bus_rate(one))]
        if buses:
            return float(median(buses)), "the median of servers' buses of its time"
        return rates(BUS)[1], "the median of servers' buses"
    near = [one for one in near if one.family == chip.family]
    links = [getattr(one, kind, None) for one in near]
    own = [link.bytes_per_s for link in links if link is not None]
    if own:
        inside = chip.scaleup.bytes_per_s if kind == "scaleout" and chip.scaleup else float("inf")
        if inside < median(own):
            return inside, "that of its link inside a system"
        return float(median(own)), "the median of chips of its architecture and time"
    return rates(kind_of(chip, kind))[1], "the median of the chips table"


def _year(chip: Chip) -> float:
    return float(chip.available[:4]) if chip.available else float("nan")


def link(chip: Chip, kind: str) -> Link:
    """A chip's link of one kind: the published one, else one of the rate that is `taken`."""
    return getattr(chip, kind) or link_at(chip, kind, taken(chip, kind)[0])


def link_at(chip: Chip, kind: str, bytes_per_s: float) -> Link:
    """A link of an assumed rate between the number of chips, and of the shape, that the chips table has for the chip; of
    the usual shape where it has none."""
    shape = chips.row(chip.measured_as).get(f"{kind}_topology")
    topology = shape if isinstance(shape, str) else chips.TOPOLOGIES[kind]
    domain = chip.domain_chips if kind == "scaleup" else None
    return Link(bytes_per_s, chips.step_latency_s(kind), domain, topology)


def lacks_link(chip: Chip) -> bool:
    """Whether a chip's maker says how many chips its scale-up link joins and not at which rate."""
    return chip.scaleup is None and (chip.domain_chips or 0) > 1


def scaleup(chip: Chip) -> Link | None:
    """A chip's scale-up link: the published one, the likely one where its maker says how many chips it joins and not at which
    rate, None where the chip is not known to have one."""
    return link(chip, "scaleup") if lacks_link(chip) else chip.scaleup


def domain_chips(chip: Chip) -> float | None:
    """How many chips the `scaleup` link of a chip joins: one where it has none, None where the number is not told. What asks
    for no more is spared the rates of all other chips."""
    if chip.scaleup is not None:
        return chip.scaleup.domain_chips
    return chip.domain_chips if lacks_link(chip) else 1.0


def joined(chip: Chip) -> Chip:
    """The chip with a scale-up link, the published or the likely one."""
    return chip if chip.scaleup is not None else replace(chip, scaleup=link(chip, "scaleup"))


def wide_format(chip: Chip) -> str | None:
    """The 16-bit format a chip trains in, or None."""
    return next((name for name in WIDE if chip.peak_flops.get(name)), None)


@tables.kept(size=16)
def _narrow_ratios(name: str) -> tuple[float, float, float]:
    ratios = sorted(
        chip.peak_flops[name] / chip.peak_flops[wide]
        for chip in _makers_own()
        if chip.peak_flops.get(name) and (wide := wide_format(chip))
    )
    low, high = np.quantile(ratios, ENDS)
    return float(low), ratios[len(ratios) // 2], float(high)


@dataclass(frozen=True)
class WidePeak:
    """Dense FLOP/s in 16 bits as taken from a narrower format, with the ends of its range."""

    source: str
    low: float
    middle: float
    high: float


def likely_wide_peak(chip: Chip) -> WidePeak:
    """The 16-bit peak of a chip that publishes only a narrower one: that peak over the ratio usual in the chips table.
    Unpublished where no peak is."""
    for name in ("fp8", "int8", "fp4"):
        if peak := chip.peak_flops.get(name):
            low, middle, high = _narrow_ratios(name)
            return WidePeak(name, peak / high, peak / middle, peak / low)
    raise Unpublished(f"chip {chip.id}: no peak published in any format that a matmul could use")


def wide_peak(chip: Chip) -> float:
    """Dense FLOP/s of the 16-bit format, the published one or the likely one. Unpublished where no peak is."""
    own = wide_format(chip)
    return chip.peak_flops[own] if own is not None else likely_wide_peak(chip).middle
