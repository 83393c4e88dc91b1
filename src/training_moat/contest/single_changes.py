"""The smallest change of one quality that lets a chip reach a goal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from training_moat.catalog.relatives import wide_format
from training_moat.contest import best_plan
from training_moat.contest.best_plan import Asking
from training_moat.contest.chip_assumptions import completed
from training_moat.contest.chip_factors import JOB, training_formats
from training_moat.contest.reference_jobs import Job
from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip, Link, Tier

LARGEST = 256.0
"""Changes tried: up to so many times the chip's own quality."""

STEPS = 6
"""Halvings of the range, as a logarithm: the factor is found within about ten per cent."""


def _scaled_peaks(chip: Chip, factor: float) -> Chip:
    return replace(chip, peak_flops={name: rate * factor for name, rate in chip.peak_flops.items()})


def _larger_memory(chip: Chip, factor: float) -> Chip:
    """More of the memory that training lives in; of a chip that streams its weights, of what it has on board."""
    names = tiers.home_names(chip, JOB)
    if JOB in chip.streamed:
        names = (tiers.working(chip, JOB).name,)
    return _scaled_tiers(chip, names, "capacity_bytes", factor)


def _faster_memory(chip: Chip, factor: float) -> Chip:
    return _scaled_tiers(chip, tuple(tier.name for tier in chip.tiers), "bytes_per_s", factor)


def _scaled_tiers(chip: Chip, names: tuple[str, ...], field: str, factor: float) -> Chip:
    def scaled(tier: Tier) -> Tier:
        value = getattr(tier, field) if tier.name in names else None
        return tier if value is None else replace(tier, **{field: value * factor})

    return replace(chip, tiers=tuple(scaled(tier) for tier in chip.tiers))


def _faster(link: Link | None, factor: float) -> Link | None:
    return None if link is None else replace(link, bytes_per_s=link.bytes_per_s * factor)


def _scaled_links(chip: Chip, factor: float) -> Chip:
    return replace(
        chip, scaleup=_faster(chip.scaleup, factor), scaleout=_faster(chip.scaleout, factor)
    )


CHANGES: dict[str, Callable[[Chip, float], Chip]] = {
    "faster multipliers": _scaled_peaks,
    "more memory": _larger_memory,
    "faster memory": _faster_memory,
    "faster links": _scaled_links,
}
"""What can be changed of a machine, each by a factor."""


def with_fp8(chip: Chip) -> Chip | None:
    """The chip with FP8 units at twice its 16-bit rate; None where it trains in FP8 already or has no 16-bit format."""
    wide = wide_format(chip)
    if wide is None or "fp8" in training_formats(chip):
        return None
    peaks = {**chip.peak_flops, "fp8": 2 * chip.peak_flops[wide]}
    return replace(chip, id=f"{chip.id}-fp8", peak_flops=peaks)


@dataclass(frozen=True)
class Change:
    """One quality and the factor by which it must grow to reach the goal; endless where no factor tried does."""

    what: str
    factor: float


def chip_hours(chip: Chip, job: Job, max_days: float) -> float:
    """Chip-hours of the job, endless where the chip cannot do it."""
    return best_plan.together([_hours(chip, job, max_days)])[0][0]


def _hours(chip: Chip, job: Job, max_days: float) -> Asking:
    try:
        found = yield from best_plan.cheapest(chip, job, training_formats(chip), max_days)
    except InputError:
        return [np.inf]
    return [np.inf if found is None else found[0]]


def kept_hours(asked: Iterable[tuple[Chip, Job]]) -> list[float]:
    """Chip-hours of jobs on chips with what is missing filled in, within the usual days, from disk where they were
    searched before."""
    full = [(completed(chip)[0], job, best_plan.MAX_DAYS) for chip, job in asked]
    return [hours for (hours,) in best_plan.kept("hours", full, _hours)]


def smallest(
    chip: Chip, job: Job, goals: Sequence[float], max_days: float = best_plan.MAX_DAYS
) -> list[list[Change]]:
    """For every quality the smallest factor with which the job takes at most so many chip-hours, smallest first; of each of
    the goals. The qualities are searched side by side, and what one goal has asked the others know."""
    narrow = with_fp8(chip)
    eight_bits = None if narrow is None else chip_hours(narrow, job, max_days)
    known: dict[str, dict[float, float]] = {what: {} for what in CHANGES}
    found = []
    for most in goals:
        searches = [
            _least_factor(_Tried(partial(change, chip), job, max_days, known[what]), most)
            for what, change in CHANGES.items()
        ]
        factors = best_plan.together(searches)
        changes = [Change(what, factor) for what, factor in zip(CHANGES, factors, strict=True)]
        if eight_bits is not None:
            reached = 1.0 if eight_bits <= most else np.inf
            changes.append(Change("FP8 units at twice the rate", reached))
        found.append(sorted(changes, key=lambda change: (change.factor, change.what)))
    return found


@dataclass(frozen=True)
class _Tried:
    """One quality changed: chip-hours by factor, those known so far."""

    changed: Callable[[float], Chip]
    job: Job
    max_days: float
    known: dict[float, float]

    def hours(self, factor: float) -> Asking:
        if factor not in self.known:
            changed = self.changed(factor)
            (self.known[factor],) = yield from _hours(changed, self.job, self.max_days)
        return self.known[factor]


def _least_factor(tried: _Tried, most_hours: float) -> Asking:
    """Bisection on the logarithm of the factor; more of a quality never makes the best plan slower."""
    if (yield from tried.hours(LARGEST)) > most_hours:
        return np.inf
    low, high = 0.0, float(np.log2(LARGEST))
    for _ in range(STEPS):
        middle = (low + high) / 2
        if (yield from tried.hours(2**middle)) <= most_hours:
            high = middle
        else:
            low = middle
    return float(2**high)
