r"""The best way to do a job on a chip: over numbers of chips, number formats and plans.

$$\text{cost} = \min_{n, \, \text{format}, \, \text{plan}} \; n \, T(n, \text{format}, \text{plan}) \, c
\qquad \text{so that it fits and } T \le T_{\max}$$

The hourly price $c$ does not depend on the plan, so that the cheapest run is the one with the fewest chip-hours.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from training_moat.catalog import relatives, tables
from training_moat.contest.reference_jobs import Job
from training_moat.contest.remembered import remembered
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.core.tiers import LARGEST_SYSTEM
from training_moat.core.units import SECONDS_PER_DAY
from training_moat.core.workload import active_params, params
from training_moat.inquiry import holding
from training_moat.predict import plan_search, side_by_side, training, training_constants
from training_moat.predict.planning import MICRO
from training_moat.predict.run_costs import usual_goodput
from training_moat.predict.training_batch import Evaluated
from training_moat.predict.training_plans import TrainingCase, parse
from training_moat.predict.training_tables import rows_of

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

THIN_DEGREES, THIN_MICRO, THIN_RECOMPUTE = 0b110, 2, (0, 2)
"""Settings tried for models with experts, whose plans are many: a set of degrees of interleaving
(`planning.DEGREES`), the largest micro-batch, recomputation."""


@dataclass(frozen=True)
class Run:
    """A job done on `chips` chips: its days and chip-hours, and the model's answer for the best plan."""

    chips: int
    days: float
    chip_hours: float
    precision: str
    answer: dict[str, Any]


class Found(NamedTuple):
    """Seconds a step of a case's best plan, whether it fits, the case, and its `place` in what was evaluated with it."""

    step_s: float
    fits: bool
    case: TrainingCase
    together: Evaluated
    place: int


Asking = Generator[list[TrainingCase], list[Found], Any]
"""A search that asks for the best plans of some cases after others; what it returns it has found."""
Search = Callable[[Chip, Job, int, str], Asking]
"""How the plans on one number of chips are searched: `at`, or `shared_out`."""

_CASES: dict[tuple, TrainingCase | None] = {}
_KEPT = 8000
"""Parsed cases kept: listing the plans of a job takes longer than timing them, and they depend on little of a chip."""


def _parsed(
    chip: Chip, job: Job, count: int, precision: str, plan: Mapping[str, Any]
) -> TrainingCase | None:
    try:
        case = parse(job.request(chip, count, precision=precision, **plan))
    except InputError:
        return None
    if job.model.experts and not plan:
        case.layouts = case.layouts[:, case.layouts[MICRO] <= THIN_MICRO]
        case.layouts[-1] = case.layouts[-1].astype(int) & THIN_DEGREES
        case.levels = tuple(level for level in case.levels if level in THIN_RECOMPUTE)
    return case if case.layouts.shape[1] else None


def case_of(chip: Chip, job: Job, count: int, precision: str, **plan: Any) -> TrainingCase | None:
    """Every plan tried for a job on `count` of a chip, or with some of the `plan` settled; None where no plan divides."""
    # Of the formats only FP16 changes what is tried: its runs are older than fused attention.
    streamed = "training" in chip.streamed
    settings = (chip.family, chip.vendor, streamed, precision == "fp16", *plan.items())
    key = (tables.state("models"), job, count, relatives.domain_chips(chip), *settings)
    if key not in _CASES:
        if len(_CASES) >= _KEPT:
            _CASES.clear()
        _CASES[key] = _parsed(chip, job, count, precision, plan)
    found = _CASES[key]
    return None if found is None else replace(found, chip=chip, precision=precision)


def together(searches: Sequence[Asking]) -> list[Any]:
    """What searches find, run side by side."""
    with tables.steady():
        return side_by_side.run(searches, _evaluated)


def kept(name: str, asked: Sequence[tuple], search: Callable[..., Asking]) -> list[list[float]]:
    """The numbers that a search finds of each of many things `asked`: those that are not on disk, side by side."""
    return remembered(name, asked, lambda missing: together([search(*one) for one in missing]))


def _evaluated(cases: Sequence[TrainingCase]) -> list[Found]:
    """The best plan of each case, all of them worked out together."""
    if not cases:
        return []
    best = plan_search.best(rows_of(cases, training_constants.load()))
    columns = zip(best.step.total.tolist(), best.fits.tolist(), cases, strict=True)
    return [Found(*told, best, place) for place, told in enumerate(columns)]


def at(chip: Chip, job: Job, count: int, precision: str) -> Asking:
    """The best plan on `count` chips; None where no plan divides."""
    case = case_of(chip, job, count, precision)
    if case is None:
        return None
    (found,) = yield [case]
    return found


def shared_out(chip: Chip, job: Job, count: int, precision: str) -> Asking:
    """The same of plans that share everything out, also over links that no usual plan cuts a matrix over: the last
    resort of a chip with little memory, and what the memory chapter asks of it. None where none of them fits."""
    usual = case_of(chip, job, count, precision)
    if usual is None:
        return None
    plans = holding.shared_out(job.model, count)
    batch = usual.global_batch
    cases = [case_of(chip, job, count, precision, global_batch=batch, **one) for one in plans]
    found = yield [case for case in cases if case is not None]
    return min((one for one in found if one.fits), key=lambda one: one.step_s, default=None)


def _any_way(chip: Chip, job: Job, count: int, precision: str) -> Asking:
    """The best plan on `count` chips, everything shared out where nothing else fits."""
    found = yield from at(chip, job, count, precision)
    if found is None or not found.fits:
        found = yield from shared_out(chip, job, count, precision)
    return found


def fastest_days(chip: Chip, job: Job, precisions: Sequence[str]) -> Asking:
    """(days, chips) of the fastest run over all numbers of chips tried; endless on none where none holds the job."""
    found = yield from side_by_side.beside(
        [_any_way(chip, job, count, name) for count in COUNTS for name in precisions]
    )
    runs = [
        [days_of(job, one.case.global_batch, one.step_s), one.case.chips]
        for one in found
        if one is not None
    ]
    return min(runs, default=[np.inf, 0])


def days_of(job: Job, global_batch: int, step_s: float) -> float:
    """Days of the whole run at a step time, the time lost to failures included."""
    return job.tokens / (global_batch * job.seq_len) * step_s / SECONDS_PER_DAY / usual_goodput()


def _could_do(chip: Chip, job: Job, counts: Sequence[int], max_days: float) -> list[int]:
    """The numbers of chips that could hold the job and end in time at the peak of the fastest format: bounds that no plan
    beats."""
    flop, peak = 6 * active_params(job.model) * job.tokens, max(chip.peak_flops.values())
    days = {count: flop / (peak * count) / SECONDS_PER_DAY for count in counts}
    return [count for count in _could_hold(chip, job, counts) if days[count] <= max_days]


def _could_hold(chip: Chip, job: Job, counts: Sequence[int]) -> list[int]:
    capacity = sum(tier.capacity_bytes for tier in chip.tiers)
    least = LEAST_BYTES_PER_PARAM * params(job.model)
    return [count for count in counts if count * capacity >= least]


def cheapest(chip: Chip, job: Job, precisions: Sequence[str], max_days: float = MAX_DAYS) -> Asking:
    """(chip-hours, chips, format) of the run with the fewest chip-hours that ends within `max_days`; None where none
    fits or none is fast enough, or there are no formats."""
    if not precisions:
        return None
    usual = yield from _cheapest(chip, job, precisions, max_days, at)
    if usual is None and (yield from fewest(chip, job, precisions, (at,))) is None:
        return (yield from _cheapest(chip, job, precisions, max_days, shared_out))
    return usual


def on_unbuilt(chip: Chip, job: Job, precisions: Sequence[str], max_days: float) -> Asking:
    """The number of chips, larger than any machine on record, on which the job would end in time; 0 where there is none."""
    found = yield from _cheapest(chip, job, precisions, max_days, at, UNBUILT)
    return [0 if found is None else found[1]]


def _cheapest(
    chip: Chip,
    job: Job,
    precisions: Sequence[str],
    max_days: float,
    search: Search,
    counts: Sequence[int] = COUNTS,
) -> Asking:
    best: tuple[float, int, str] | None = None
    worse = 0
    for count in _could_do(chip, job, counts, max_days):
        now = yield from _fewest_hours(chip, job, count, precisions, max_days, search)
        if now is None:
            continue
        worse = 0 if best is None or now[0] < best[0] else worse + 1
        best = now if best is None else min(best, now)
        if worse >= PATIENCE:
            break
    return best


def _fewest_hours(
    chip: Chip, job: Job, count: int, precisions: Sequence[str], max_days: float, search: Search
) -> Asking:
    """The better of the formats on one number of chips, the narrowest first."""
    best = None
    for name in sorted(precisions, key=lambda one: -chip.peak_flops[one]):
        if best and CLEARLY_FASTER * chip.peak_flops[name] <= chip.peak_flops[best[2]]:
            continue
        now = yield from _hours(chip, job, count, name, max_days, search)
        best = min((one for one in (best, now) if one is not None), default=None)
    return best


def _hours(
    chip: Chip, job: Job, count: int, precision: str, max_days: float, search: Search
) -> Asking:
    found = yield from search(chip, job, count, precision)
    if found is None or not found.fits:
        return None
    days = days_of(job, found.case.global_batch, found.step_s)
    return (24 * days * count, count, precision) if days <= max_days else None


def run(chip: Chip, job: Job, count: int, precision: str) -> Run | None:
    """The job on a given number of chips with the fastest plan, everything shared out where nothing else fits; None
    where that does not fit either."""
    (found,) = together([_any_way(chip, job, count, precision)])
    if found is None:
        return None
    days = days_of(job, found.case.global_batch, found.step_s)
    told = training.answer(found.case, found.together, found.place, training_constants.load())
    return Run(count, days, 24 * days * count, precision, told)


def cheapest_and_fewest(chip: Chip, job: Job, precisions: Sequence[str], max_days: float) -> Asking:
    """What `cheapest` and `fewest` find: chip-hours, chips and place of the format, and the fewest chips; 0 where there is
    none."""
    both = cheapest(chip, job, precisions, max_days), fewest(chip, job, precisions)
    best, least = yield from side_by_side.beside(both)
    hours, count, name = best or (0.0, 0, precisions[0])
    return [hours, count, precisions.index(name), least or 0]


def fewest(
    chip: Chip, job: Job, precisions: Sequence[str], searches: Sequence[Search] = (at, shared_out)
) -> Asking:
    """The fewest chips (of the numbers tried) that hold the job, whatever time it takes: with the usual plans, and where
    none of them fits with everything shared out."""
    for search in searches:
        for count in _could_hold(chip, job, COUNTS):
            for name in precisions:
                found = yield from search(chip, job, count, name)
                if found is not None and found.fits:
                    return count
    return None
