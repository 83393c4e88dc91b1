"""What is not published about a chip, what is assumed in its place, and how far that could be off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core.machine import Chip, Link
from training_moat.core.units import GB

ENDS = (0.1, 0.9)
"""Quantiles of the chips table between which a missing rate is taken to lie."""


@dataclass(frozen=True)
class Assumption:
    """One missing datum: which factor it bears on, the words for a reader, and the chip at both ends of the range."""

    factor: str
    words: str
    low: Chip
    high: Chip


def rates(kind: str) -> tuple[float, float, float]:
    """Low end, median and high end of the published rates of one kind of link (`scaleup`, `scaleout`), bytes per second."""
    return _rates(kind, tables.state("chips"))


@lru_cache(maxsize=8)
def _rates(kind: str, state: tuple) -> tuple[float, float, float]:
    links = (getattr(chip, kind) for chip in chip_catalog.all_chips().values())
    known = [link.bytes_per_s for link in links if link is not None]
    low, middle, high = np.quantile(known, (ENDS[0], 0.5, ENDS[1]))
    return float(low), float(middle), float(high)


def _domain(chip: Chip) -> float | None:
    frame = chip_catalog.frame().set_index("id")
    if chip.id not in frame.index:
        return None
    joined = frame.loc[chip.id, "scaleup_domain_chips"]
    return float(joined) if joined == joined and joined > 1 else None


def _with_link(chip: Chip, kind: str, rate: float, domain: float | None) -> Chip:
    latency = chip_catalog.step_latency_s(kind)
    topology = "switched" if kind == "scaleup" else "fat_tree"
    return replace(chip, **{kind: Link(rate, latency, domain, topology)})


def completed(chip: Chip) -> tuple[Chip, tuple[Assumption, ...]]:
    """The chip with missing links filled in, and what was assumed.

    A scale-up link is assumed only where the number of chips it joins is published; a network between systems always,
    unless the scale-up network joins as many as a run needs. Both take the median of the published rates.
    """
    full, told = chip, []
    joined = _domain(chip)
    if chip.scaleup is None and joined:
        full = _filled(
            full, told, "scaleup", joined, f"the link that joins its {joined:,.0f} chips"
        )
    if chip.scaleout is None and not spans_all(full):
        full = _filled(full, told, "scaleout", None, "its network between systems")
    return full, tuple(told)


LARGE_DOMAIN = 4096
"""A scale-up network that joins so many chips needs no other."""


def spans_all(chip: Chip) -> bool:
    """Whether a chip's scale-up network joins whole runs by itself (TPU pods do)."""
    return chip.scaleup is not None and (chip.scaleup.domain_chips or 0) >= LARGE_DOMAIN


def _filled(chip: Chip, told: list, kind: str, domain: float | None, what: str) -> Chip:
    low, middle, high = rates(kind)
    words = (
        f"the rate of {what} is not published: the median of the chips table is taken, {middle / GB:,.3g} GB/s a chip "
        f"and direction; the range runs from {low / GB:,.3g} to {high / GB:,.3g}"
    )
    ends = (_with_link(chip, kind, low, domain), _with_link(chip, kind, high, domain))
    told.append(Assumption("network", words, *ends))
    return _with_link(chip, kind, middle, domain)
