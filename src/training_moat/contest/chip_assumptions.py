"""What is not published about a chip, what is assumed in its place, and how far that could be off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core import tiers
from training_moat.core.machine import Chip, Link
from training_moat.core.units import GB
from training_moat.inquiry.wording import digits

ENDS = (0.1, 0.9)
"""Quantiles of the chips table between which a missing rate is taken to lie."""

SAME_GENERATION_YEARS = 2
"""Years between chips of one architecture that still share their links; makers bring new ones about every two."""


@dataclass(frozen=True)
class Assumption:
    """One missing datum: which factor it bears on, the words for a reader, and the chip at both ends of the range."""

    factor: str
    words: str
    low: Chip
    high: Chip


def rates(kind: str) -> tuple[float, float, float]:
    """Low end, median and high end of the published rates of one kind of link (`scaleup`, `scaleout`) or of one memory tier
    (`sram`, `hbm`, `ddr`), in bytes per second."""
    return _rates(kind, tables.state("chips"))


@lru_cache(maxsize=8)
def _rates(kind: str, state: tuple) -> tuple[float, float, float]:
    chips = chip_catalog.all_chips().values()
    if kind in ("scaleup", "scaleout"):
        found = [getattr(chip, kind) for chip in chips]
    else:
        found = [chip.tier(kind) for chip in chips]
    known = [one.bytes_per_s for one in found if one is not None and one.bytes_per_s]
    low, middle, high = np.quantile(known, (ENDS[0], 0.5, ENDS[1]))
    return float(low), float(middle), float(high)


def taken(chip: Chip, kind: str) -> tuple[float, str]:
    """The rate assumed for a chip (bytes per second) and what it is in words. For a link it is the median of those that
    chips of its architecture publish which came within `SAME_GENERATION_YEARS` of it; else that of the whole table."""
    year = _year(chip)
    others = [one for one in chip_catalog.all_chips().values() if one.family == chip.family]
    near = [one for one in others if abs(_year(one) - year) <= SAME_GENERATION_YEARS]
    links = [getattr(one, kind, None) for one in near]
    own = [link.bytes_per_s for link in links if link is not None]
    if own:
        return float(np.median(own)), "the median of chips of its architecture and time"
    return rates(kind)[1], "the median of the chips table"


def _year(chip: Chip) -> float:
    return float(chip.available[:4]) if chip.available else float("nan")


def _with_link(chip: Chip, kind: str, rate: float, domain: float | None) -> Chip:
    latency = chip_catalog.step_latency_s(kind)
    topology = "switched" if kind == "scaleup" else "fat_tree"
    return replace(chip, **{kind: Link(rate, latency, domain, topology)})


def _with_memory(chip: Chip, name: str, rate: float) -> Chip:
    tiers = (replace(one, bytes_per_s=rate) if one.name == name else one for one in chip.tiers)
    return replace(chip, tiers=tuple(tiers))


def completed(chip: Chip) -> tuple[Chip, tuple[Assumption, ...]]:
    """The chip with missing rates filled in, and what was assumed.

    The memory that training lives in takes the median rate of such memories where its size alone is published. A scale-up
    link is assumed only where the number of chips it joins is published; a network between systems always, unless the
    scale-up network joins as many as a run needs. Each assumption is varied with all others in place.
    """
    filled: list[tuple[str, str, str, Callable[[Chip, float], Chip]]] = []
    for tier in chip.tiers:
        if tier.name in tiers.home_names(chip, "training") and not tier.bytes_per_s:
            words = f"the bandwidth of its {tiers.TIER_WORDS[tier.name]}"
            put = partial(_put_memory, tier.name)
            filled.append(("memory bandwidth", tier.name, words, put))
    joined = chip.domain_chips or (chip.scaleup.domain_chips if chip.scaleup else None)
    if chip.scaleup is None and joined and joined > 1:
        words = f"the link that joins its {joined:,.0f} chips"
        filled.append(("network", "scaleup", words, partial(_put_link, "scaleup", joined)))
    if chip.scaleout is None and (joined or 0) < LARGE_DOMAIN:
        words = "its network between systems"
        filled.append(("network", "scaleout", words, partial(_put_link, "scaleout", None)))
    full = chip
    for _, kind, _, put in filled:
        full = put(full, taken(chip, kind)[0])
    return full, tuple(_assumption(full, *one) for one in filled)


def _put_memory(name: str, chip: Chip, rate: float) -> Chip:
    return _with_memory(chip, name, rate)


def _put_link(kind: str, domain: float | None, chip: Chip, rate: float) -> Chip:
    return _with_link(chip, kind, rate, domain)


def _assumption(
    full: Chip, factor: str, kind: str, what: str, put: Callable[[Chip, float], Chip]
) -> Assumption:
    (middle, told), (low, _, high) = taken(full, kind), rates(kind)
    low, high = min(low, middle), max(high, middle)
    words = (
        f"the rate of {what} is not published: {told} is taken, {digits(middle / GB)} GB/s a chip; "
        f"the range runs from {digits(low / GB)} to {digits(high / GB)}"
    ).replace("the rate of the bandwidth of", "the bandwidth of")
    return Assumption(factor, words, put(full, low), put(full, high))


LARGE_DOMAIN = 4096
"""A scale-up network that joins so many chips needs no other (TPU pods do by themselves)."""
