"""What is not published about a chip, what is assumed in its place, and how far that could be off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog.relatives import (
    WIDE,
    WidePeak,
    kind_of,
    lacks_link,
    likely_wide_peak,
    link_at,
    rates,
    taken,
    wide_format,
)
from training_moat.core import tiers
from training_moat.core.machine import Chip
from training_moat.core.units import GB, TERA
from training_moat.inquiry.wording import digits


@dataclass(frozen=True)
class Assumption:
    """One missing datum: which factor it bears on, the words for a reader, and the chip at both ends of the range."""

    factor: str
    words: str
    low: Chip
    high: Chip


def completed(chip: Chip) -> tuple[Chip, tuple[Assumption, ...]]:
    """The chip with missing rates filled in, and what was assumed.

    The memory that training lives in takes the median rate of such memories where its size alone is published. A scale-up
    link is assumed only where the number of chips it joins is published; a network between systems always, unless the
    scale-up network joins as many as a run needs. A chip that publishes a narrower floating-point rate alone takes the
    16-bit one that goes with it in the chips table. Each assumption is varied with all others in place.
    """
    filled: list[tuple[str, str, str, Callable[[Chip, float], Chip]]] = []
    for tier in chip.tiers:
        if tier.name in tiers.home_names(chip, "training") and not tier.bytes_per_s:
            words = f"the bandwidth of its {tier.word}"
            filled.append(("memory bandwidth", tier.name, words, partial(_put_memory, tier.name)))
    joined = chip.domain_chips or (chip.scaleup.domain_chips if chip.scaleup else None)
    if joined and lacks_link(chip):
        words = f"the link that joins its {joined:,.0f} chips"
        filled.append(("network", "scaleup", words, partial(_put_link, "scaleup")))
    if chip.scaleout is None and (joined or 0) < LARGE_DOMAIN:
        words = "its network between systems"
        filled.append(("network", "scaleout", words, partial(_put_link, "scaleout")))
    full = chip
    for _, kind, _, put in filled:
        full = put(full, taken(chip, kind)[0])
    if wide_format(chip) is not None or not chip_catalog.multiplies_floats(chip):
        return full, tuple(_assumption(full, *one) for one in filled)
    likely = likely_wide_peak(chip)
    full = _with_wide(full, likely.middle)
    others = tuple(_assumption(full, *one) for one in filled)
    return full, (_assumed_wide(full, likely), *others)


def slow_link_gb_per_s(chip: Chip) -> float | None:
    """The slow end of what a chip's scale-up link is taken to be where its maker publishes how many chips it joins and not
    its rate (GB/s in one direction); None for any other chip."""
    if not lacks_link(chip):
        return None
    return min(rates(kind_of(chip, "scaleup"))[0], taken(chip, "scaleup")[0]) / GB


def _with_wide(chip: Chip, peak: float) -> Chip:
    return replace(chip, peak_flops={**chip.peak_flops, WIDE[0]: peak})


def _assumed_wide(full: Chip, likely: WidePeak) -> Assumption:
    low, middle, high = (digits(one / TERA) for one in (likely.low, likely.middle, likely.high))
    words = (
        f"its rate in sixteen bits is not published: that in {likely.source.upper()} over the usual ratio of the chips "
        f"table is taken, {middle} TFLOP/s; the range runs from {low} to {high}"
    )
    return Assumption("compute", words, _with_wide(full, likely.low), _with_wide(full, likely.high))


def _put_memory(name: str, chip: Chip, rate: float) -> Chip:
    found = (replace(one, bytes_per_s=rate) if one.name == name else one for one in chip.tiers)
    return replace(chip, tiers=tuple(found))


def _put_link(kind: str, chip: Chip, rate: float) -> Chip:
    link: dict[str, Any] = {kind: link_at(chip, kind, rate)}
    return replace(chip, **link)


def _assumption(
    full: Chip, factor: str, kind: str, what: str, put: Callable[[Chip, float], Chip]
) -> Assumption:
    (middle, told), (low, _, high) = taken(full, kind), rates(kind_of(full, kind))
    low, high = min(low, middle), max(high, middle)
    words = (
        f"the rate of {what} is not published: {told} is taken, {digits(middle / GB)} GB/s a chip; "
        f"the range runs from {digits(low / GB)} to {digits(high / GB)}"
    ).replace("the rate of the bandwidth of", "the bandwidth of")
    return Assumption(factor, words, put(full, low), put(full, high))


LARGE_DOMAIN = 4096
"""A scale-up network that joins so many chips needs no other (TPU pods do by themselves)."""
