"""Every chip put through the same job: which gates it passes, on how many chips, in what time, for what money."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.contest import best_plan, chip_hours, gates, reference_jobs
from training_moat.contest.best_plan import MAX_DAYS, Run
from training_moat.contest.chip_assumptions import completed
from training_moat.contest.chip_factors import training_formats
from training_moat.contest.gates import NO, UNKNOWN, YES, Gate
from training_moat.contest.reference_jobs import Job
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.inquiry.wording import counted
from training_moat.predict import training_constants, training_nodes

STOPPED = {
    "formats": "lack a number format", "holds": "cannot hold it", "exchanges": "cannot exchange it",
    "in time": "are too slow", "software": "lack software", "bought": "were never built so large",
}  # fmt: skip
"""What must be true before cost matters, and what stops a chip there in the words of a title: number formats to train in;
memory that holds the job on some number of chips; links that join that many; an end within the days allowed; training
software from the maker; a cluster of that size that exists or a maker who sells it."""

GATES = tuple(STOPPED)

PART_WORDS = {
    "compute": "matmuls",
    "memory_bound": "memory bandwidth",
    "tensor_parallel": "exchange inside layers",
    "pipeline": "hand-over between stages",
    "bubble": "pipeline bubble",
    "data_parallel": "gradient exchange",
    "expert_parallel": "exchange between experts",
    "other": "optimizer and overheads",
}
"""Parts of a step in words."""


@dataclass(frozen=True)
class Card:
    """One chip's result on one job. `run` is None where no plan does it within the days allowed."""

    chip: Chip
    job: Job
    gates: tuple[Gate, ...]
    fewest: int | None
    run: Run | None
    price: chip_hours.HourlyPrice | None
    level: str
    interval: tuple[float, float]
    assumed: tuple[str, ...] = ()

    @property
    def chip_hours(self) -> float:
        """Chip-hours of the whole run; nan without one."""
        return self.run.chip_hours if self.run else np.nan

    @property
    def usd(self) -> float:
        """Dollars of the whole run at the dated price; nan without run or price."""
        return self.chip_hours * (self.price.usd if self.price else np.nan)

    @property
    def usd_range(self) -> tuple[float, float]:
        """The dollars' 90% range: the model's error and the price's, taken as independent (root of squared logarithms)."""
        priced = (self.price.low, self.price.high) if self.price else (np.nan, np.nan)
        low, high = np.hypot(np.log(self.interval), np.log(priced))
        return self.usd * float(np.exp(-low)), self.usd * float(np.exp(high))

    @property
    def energy_mwh(self) -> float:
        """Electricity of the run at the meter; nan without a run, or where the chip's power is not published."""
        return self.chip_hours * (chip_hours.facility_watts(self.chip) or np.nan) / 1e6

    @property
    def limit(self) -> str:
        """What takes the largest part of the step, in words; without a run why the first gate that is shut is so."""
        if self.run is None:
            return next((gate.why for gate in self.gates if gate.passed == NO), "")
        parts = self.run.answer["seconds"]
        largest = max(parts, key=lambda name: (parts[name], name == "compute", name))
        if largest == "data_parallel" and "training" in self.chip.streamed:
            return "waiting for streamed weights"
        return PART_WORDS[largest]

    @property
    def stops_at(self) -> str:
        """The first gate that is not passed, or an empty string."""
        return next((gate.name for gate in self.gates if gate.passed == NO), "")


def card(chip: Chip, job: Job, max_days: float = MAX_DAYS) -> Card:
    """Put one chip through one job. Raises InputError where the model has too little to answer with."""
    full, assumed = completed(chip)
    formats = training_formats(full)
    found, fewest = _searched(full, job, formats, max_days) if formats else (None, None)
    run = best_plan.run(full, job, found[1], found[2]) if found else None
    needed = run.chips if run else fewest
    passed = (
        gates.formats(chip, formats),
        gates.holds(formats, fewest),
        gates.exchanges(chip, needed),
        _time_gate(full, job, formats, fewest, run, max_days),
        gates.software(chip),
        gates.bought(chip, needed),
    )
    constants = training_constants.load()
    precision = run.precision if run else (*formats, *chip.peak_flops, "bf16")[0]
    level = training_constants.level(constants, full, precision, job.model.experts > 0)
    ends = training_constants.interval(constants, level, chip.family, job.model)
    return Card(
        chip,
        job,
        passed,
        fewest,
        run,
        chip_hours.hourly(chip, job.date),
        level,
        ends,
        tuple(one.words for one in assumed),
    )


def _searched(
    chip: Chip, job: Job, formats: Sequence[str], max_days: float
) -> tuple[tuple[float, int, str] | None, int | None]:
    """The cheapest run and the fewest chips that hold the job, from disk where they were searched before."""
    ((hours, count, place, fewest),) = _kept_runs([(chip, job, tuple(formats), max_days)])
    best = (hours, int(count), formats[int(place)]) if count else None
    return best, int(fewest) or None


def _kept_runs(asked: Sequence[_Asked]) -> list[list[float]]:
    return best_plan.kept("card", asked, best_plan.cheapest_and_fewest)


def _kept_days(asked: Sequence[_Asked]) -> list[list[float]]:
    return best_plan.kept("days", [one[:3] for one in asked], best_plan.fastest_days)


_Asked = tuple[Chip, Job, tuple[str, ...], float]
"""A chip with what is missing filled in, a job, the formats to train in, and the days allowed."""


def search(asked: Iterable[tuple[Chip, Job]], max_days: float = MAX_DAYS) -> None:
    """Find what the cards of chips on jobs ask for, side by side; `card` then has it on disk."""
    full = []
    for chip, job in asked:
        with suppress(InputError):  # what a chip lacks is for its card to say
            own = completed(chip)[0]
            formats = training_formats(own)
            for name in formats:
                training_nodes.node(training_constants.load(), own, name)
            full += [(own, job, formats, max_days)] if formats else []
    found = zip(full, _kept_runs(full), strict=True)
    _kept_days([one for one, (_, count, _, fewest) in found if fewest and not count])


def _time_gate(
    chip: Chip,
    job: Job,
    formats: Sequence[str],
    fewest: int | None,
    run: Run | None,
    max_days: float,
) -> Gate:
    if run is not None:
        return Gate("in time", YES, run.days / max_days, f"{run.days:,.0f} days")
    if fewest is None:
        why = "nothing holds it" if formats else "it has no format to train in"
        return Gate("in time", UNKNOWN, np.nan, f"not asked: {why}")
    ((days, count),) = _kept_days([(chip, job, tuple(formats), max_days)])
    why = f"{days:,.0f} days at best, on {counted(int(count), 'chip')}"
    return Gate("in time", NO, days / max_days, why)


def stopped_by_size(found: Sequence[Card], max_days: float = MAX_DAYS) -> pd.DataFrame:
    """Chips that miss the days allowed only because no machine on record has as many chips as they would take.

    Columns: chip, name, chips (that it would take).
    """
    late = [one for one in found if one.run is None and one.fewest is not None]
    rows = [(one.chip.id, one.chip.name, _unbuilt(one.chip, one.job, max_days)) for one in late]
    frame = pd.DataFrame(rows, columns=["chip", "name", "chips"])
    return frame[frame["chips"] > 0].reset_index(drop=True)


def _unbuilt(chip: Chip, job: Job, max_days: float) -> int:
    full = completed(chip)[0]
    formats = training_formats(full)
    asked = (full, job, formats, max_days)
    ((count,),) = best_plan.kept("unbuilt", [asked], best_plan.on_unbuilt)
    return int(count)


def cards(job: str, chips: Sequence[str] | None = None, max_days: float = MAX_DAYS) -> list[Card]:
    """The results of many chips on a job; chips that lack what the model needs are left out (see `left_out`)."""
    return list(_all(job, None if chips is None else tuple(chips), max_days)[0])


def left_out(
    job: str, chips: Sequence[str] | None = None, max_days: float = MAX_DAYS
) -> pd.DataFrame:
    """Chips that the model cannot answer for, and the missing datum. Columns: chip, name, why."""
    missing = _all(job, None if chips is None else tuple(chips), max_days)[1]
    return pd.DataFrame(list(missing), columns=["chip", "name", "why"])


@tables.kept(size=32)
def _all(
    job: str, chips: tuple[str, ...] | None, max_days: float
) -> tuple[tuple[Card, ...], tuple[tuple[str, str, str], ...]]:
    known = chip_catalog.all_chips()
    asked, found, missing = reference_jobs.job(job), [], []
    named = [chip_catalog.chip(name) for name in (known if chips is None else chips)]
    search([(chip, asked) for chip in named], max_days)
    for chip in named:
        try:
            found.append(card(chip, asked, max_days))
        except InputError as problem:
            missing.append((chip.id, chip.name, str(problem).removeprefix(f"chip {chip.id}: ")))
    return tuple(found), tuple(missing)


def table(found: Sequence[Card]) -> pd.DataFrame:
    """The results as one row per chip, cheapest first, then by days, those stopped last."""
    told = {name: [tell(one) for one in found] for name, tell in _COLUMNS.items()}
    passed = [{gate.name: gate.passed for gate in one.gates} for one in found]
    frame = pd.DataFrame(told).join(pd.DataFrame(passed, columns=list(GATES)))
    return frame.sort_values(
        ["musd", "chip_days", "chip"], na_position="last", ignore_index=True, kind="stable"
    )


_COLUMNS: dict[str, Callable[[Card], object]] = {
    "chip": lambda one: one.chip.id,
    "name": lambda one: one.chip.name,
    "vendor": lambda one: one.chip.vendor,
    "fewest": lambda one: np.nan if one.fewest is None else one.fewest,
    "chips": lambda one: one.run.chips if one.run else np.nan,
    "format": lambda one: one.run.precision if one.run else "",
    "days": lambda one: one.run.days if one.run else np.nan,
    "days_low": lambda one: one.run.days * one.interval[0] if one.run else np.nan,
    "days_high": lambda one: one.run.days * one.interval[1] if one.run else np.nan,
    "chip_days": lambda one: one.chip_hours / 24,
    "mfu": lambda one: one.run.answer["mfu"] if one.run else np.nan,
    "mwh": lambda one: one.energy_mwh,
    "musd": lambda one: one.usd / 1e6,
    "musd_low": lambda one: one.usd_range[0] / 1e6,
    "musd_high": lambda one: one.usd_range[1] / 1e6,
    "price": lambda one: one.price.words if one.price else "",
    "limit": lambda one: one.limit,
    "knowledge": lambda one: one.level,
    "stops_at": lambda one: one.stops_at,
}
"""Columns of `table` besides the gates."""
