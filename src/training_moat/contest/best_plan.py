r"""The best way to do a job on a chip: over numbers of chips, number formats and plans.

$$\text{cost} = \min_{n, \, \text{format}, \, \text{plan}} \; n \, T(n, \text{format}, \text{plan}) \, c
\qquad \text{so that it fits and } T \le T_{\max}$$

The hourly price $c$ does not depend on the plan, so that the cheapest run is the one with the fewest chip-hours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training_moat.catalog import tables
from training_moat.contest.reference_jobs import Job
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.core.tiers import LARGEST_SYSTEM
from training_moat.core.units import SECONDS_PER_DAY
from training_moat.core.workload import active_params, params
from training_moat.inquiry import holding
from training_moat.predict import plan_search, training, training_batch, training_constants
from training_moat.predict.planning import LAYOUT
from training_moat.predict.run_costs import usual_goodput
from training_moat.predict.training_plans import TrainingCase, parse

MAX_DAYS = 100.0
"""Longest run that counts as doing the job: four of five runs in the table training_runs took less, and GPT-4 is
reported to have taken 90 to 100 days."""

COUNTS = tuple(
    count for count in (*(2**power for power in range(18)), 3 * 2**16) if count <= LARGEST_SYSTEM
)
"""Numbers of chips tried: powers of two and 196,608, up to the largest machine on record. A chip that needs more would
need a machine that was never built; no run on record had more chips either (table training_runs)."""

UNBUILT = (2**18, 2**19, 2**20)
"""Numbers of chips beyond the largest machine: tried only to say whom that limit stops."""

LEAST_BYTES_PER_PARAM = 6.0
"""No run holds less per weight: counts of chips below it are not tried."""

CLEARLY_FASTER = 1.5
"""A narrow format whose peak is so many times that of the wide one is tried alone where it fits."""

PATIENCE = 1
"""Further count tried once chip-hours rise."""

THIN_VIRTUAL, THIN_MICRO, THIN_RECOMPUTE = (1, 2), 2, (0, 2)
"""Settings tried for models with experts, whose plans are many: interleaving, the largest micro-batch, recomputation."""


@dataclass(frozen=True)
class Run:
    """A job done on `chips` chips: its days and chip-hours, and the model's answer for the best plan."""

    chips: int
    days: float
    chip_hours: float
    precision: str
    answer: dict[str, Any]


Search = Callable[[Chip, Job, int, str], tuple[float, bool, Any, Any] | None]
"""How the plans on one number of chips are searched: `at`, or `shared_out`."""

_CASES: dict[tuple, TrainingCase | None] = {}
_KEPT = 2000
"""Parsed cases kept: listing the plans of a job takes longer than timing them, and they depend on little of a chip."""


def _parsed(chip: Chip, job: Job, count: int, precision: str) -> TrainingCase | None:
    try:
        case = parse(job.request(chip, count, precision=precision))
    except InputError:
        return None
    if job.model.experts:
        each = dict(zip(LAYOUT, case.layouts, strict=True))
        thin = np.isin(each["virtual_stages"], THIN_VIRTUAL) & (each["micro_batch"] <= THIN_MICRO)
        case.layouts = case.layouts[:, thin & np.isin(each["recompute"], THIN_RECOMPUTE)]
    return case if case.layouts.shape[1] else None


def case_of(chip: Chip, job: Job, count: int, precision: str) -> TrainingCase | None:
    """Every plan tried for a job on `count` of a chip; None where no plan divides."""
    domain = chip.scaleup.domain_chips if chip.scaleup else 0.0
    # Of the formats only FP16 changes what is tried: its runs are older than fused attention.
    settings = (chip.family, chip.vendor, precision == "fp16")
    key = (tables.state("models"), job, count, domain, *settings)
    if key not in _CASES:
        if len(_CASES) >= _KEPT:
            _CASES.clear()
        _CASES[key] = _parsed(chip, job, count, precision)
    found = _CASES[key]
    return None if found is None else replace(found, chip=chip, precision=precision)


def at(chip: Chip, job: Job, count: int, precision: str) -> tuple[float, bool, Any, Any] | None:
    """(seconds a step, whether it fits, the case, its evaluation) of the best plan on `count` chips."""
    case = case_of(chip, job, count, precision)
    return None if case is None else _evaluated(case)


def _evaluated(case: TrainingCase) -> tuple[float, bool, Any, Any]:
    found = plan_search.best(training_batch.rows_of([case], training_constants.load()))
    return float(found.step.total[0]), bool(found.fits[0]), case, found


def shared_out(
    chip: Chip, job: Job, count: int, precision: str
) -> tuple[float, bool, Any, Any] | None:
    """The same for plans that share everything out, also over links that no usual plan cuts a matrix over: the last
    resort of a chip with little memory, and what the memory chapter asks of it. None where none of them fits."""
    usual = case_of(chip, job, count, precision)
    if usual is None:
        return None
    settings = {"precision": precision, "global_batch": usual.global_batch}
    found = []
    for plan in holding.shared_out(job.model, count):
        with suppress(InputError):
            found.append(_evaluated(parse(job.request(chip, count, **settings, **plan))))
    return min((one for one in found if one[1]), key=lambda one: one[0], default=None)


def _run(job: Job, count: int, precision: str, step_s: float, case: Any, found: Any) -> Run:
    days = days_of(job, case.global_batch, step_s)
    told = training.answer(case, found, 0, training_constants.load())
    return Run(count, days, 24 * days * count, precision, told)


def days_of(job: Job, global_batch: int, step_s: float) -> float:
    """Days of the whole run at a step time, the time lost to failures included."""
    return job.tokens / (global_batch * job.seq_len) * step_s / SECONDS_PER_DAY / usual_goodput()


def _least_days(chip: Chip, job: Job, count: int) -> float:
    """Days at the peak of the fastest format: a bound that no plan beats."""
    flop = 6 * active_params(job.model) * job.tokens
    return flop / (max(chip.peak_flops.values()) * count) / SECONDS_PER_DAY


def _could_hold(chip: Chip, job: Job, count: int) -> bool:
    capacity = sum(tier.capacity_bytes for tier in chip.tiers)
    return count * capacity >= LEAST_BYTES_PER_PARAM * params(job.model)


def cheapest(
    chip: Chip, job: Job, precisions: Sequence[str], max_days: float = MAX_DAYS
) -> tuple[float, int, str] | None:
    """(chip-hours, chips, format) of the run with the fewest chip-hours that ends within `max_days`; None where none
    fits or none is fast enough."""
    usual = _cheapest(chip, job, precisions, max_days, at)
    if usual is None and fewest(chip, job, precisions, (at,)) is None:
        return _cheapest(chip, job, precisions, max_days, shared_out)
    return usual


def on_unbuilt(
    chip: Chip, job: Job, precisions: Sequence[str], max_days: float = MAX_DAYS
) -> int | None:
    """The number of chips, larger than any machine on record, on which the job would end in time; None where there is none."""
    found = _cheapest(chip, job, precisions, max_days, at, UNBUILT)
    return None if found is None else found[1]


def _cheapest(
    chip: Chip,
    job: Job,
    precisions: Sequence[str],
    max_days: float,
    search: Search,
    counts: Sequence[int] = COUNTS,
) -> tuple[float, int, str] | None:
    best: tuple[float, int, str] | None = None
    worse = 0
    for count in counts:
        if _least_days(chip, job, count) > max_days or not _could_hold(chip, job, count):
            continue
        now = _fewest_hours(chip, job, count, precisions, max_days, search)
        if now is None:
            continue
        worse = 0 if best is None or now[0] < best[0] else worse + 1
        best = now if best is None else min(best, now)
        if worse >= PATIENCE:
            break
    return best


def _fewest_hours(
    chip: Chip, job: Job, count: int, precisions: Sequence[str], max_days: float, search: Search
) -> tuple[float, int, str] | None:
    """The better of the formats on one number of chips, the narrowest first."""
    best = None
    for name in sorted(precisions, key=lambda one: -chip.peak_flops[one]):
        slower = (
            best is not None and CLEARLY_FASTER * chip.peak_flops[name] <= chip.peak_flops[best[2]]
        )
        now = None if slower else _hours(chip, job, count, name, max_days, search)
        best = min((one for one in (best, now) if one is not None), default=None)
    return best


def _hours(
    chip: Chip, job: Job, count: int, precision: str, max_days: float, search: Search
) -> tuple[float, int, str] | None:
    found = search(chip, job, count, precision)
    if found is None or not found[1]:
        return None
    days = days_of(job, found[2].global_batch, found[0])
    return (24 * days * count, count, precision) if days <= max_days else None


def run(chip: Chip, job: Job, count: int, precision: str) -> Run | None:
    """The job on a given number of chips with the fastest plan, everything shared out where nothing else fits; None
    where that does not fit either."""
    found = at(chip, job, count, precision)
    if found is None or not found[1]:
        found = shared_out(chip, job, count, precision)
    if found is None:
        return None
    return _run(job, count, precision, found[0], found[2], found[3])


def fewest(
    chip: Chip, job: Job, precisions: Sequence[str], searches: Sequence[Search] = (at, shared_out)
) -> int | None:
    """The fewest chips (of the numbers tried) that hold the job, whatever time it takes: with the usual plans, and where
    none of them fits with everything shared out."""
    for search in searches:
        for count in COUNTS:
            if not _could_hold(chip, job, count):
                continue
            for name in precisions:
                found = search(chip, job, count, name)
                if found is not None and found[1]:
                    return count
    return None
