r"""Why a chip costs more than Nvidia's of the same day: the gap split among eight factors.

A coalition is a set of factors brought to the yardstick's level; its worth is the logarithm of the cost of the job with
the best plan for that machine, searched anew:

$$v(S) = \ln \min_{n, \, \text{plan}} n \, T_S \, (c_S + w_S), \qquad
\ln \frac{\text{cost}}{\text{cost of the yardstick}} = v(\emptyset) - v(N) = \sum_i \varphi_i$$

The Shapley values $\varphi_i$ (module shapley) add up to the gap exactly. The plan depends on the six factors of the
machine alone, so that 64 searches give all 256 coalitions. Where no price is known in the same way for both, the cost is
counted in chip-days, and price and power have no share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.inquiry import best_plan, chip_hours, reference_jobs, shapley
from training_moat.inquiry.chip_assumptions import completed
from training_moat.inquiry.chip_factors import (
    FACTORS,
    GROUPS,
    MACHINE_FACTORS,
    mixed,
    training_formats,
)
from training_moat.inquiry.chip_hours import HourlyPrice
from training_moat.inquiry.reference_jobs import Job
from training_moat.inquiry.uncertainty import Uncertain, sample
from training_moat.predict import training_constants

CHALLENGERS = (
    "sn10", "sn30", "sn40l", "sn50", "groq-lpu-v1", "groq-3-lpu", "wse-2", "wse-3", "corsair", "gc200",
    "bow-ipu", "gaudi2", "gaudi3", "mi250x", "mi300x", "mi325x", "mi355x", "tpu-v4", "tpu-v5p", "tpu-v6e",
    "tpu-v7", "trainium1", "trainium2", "trainium3", "ascend-910b", "ascend-910c",
)  # fmt: skip
"""The chips whose gap is explained."""

CEILING = 1000.0
"""A job that a machine cannot do, on any number of chips in the days allowed, is charged so many times what the yardstick
takes: a cost that nobody would pay, so that a split exists."""

DRAWS = 2000
DECIDES = 0.5
"""A factor decides where bringing it alone to the yardstick's level closes at least so much of the logarithm of the gap."""


@dataclass(frozen=True)
class Worth:
    """Chip-hours of a job for every machine coalition (endless where it cannot be done), and the hourly prices.

    `swing` are the factors on the cost at the low and the high end of what had to be assumed about the network.
    """

    chip: Chip
    yardstick: Chip
    job: Job
    chip_hours: np.ndarray
    prices: tuple[HourlyPrice, HourlyPrice] | None
    swing: tuple[float, float] = (1.0, 1.0)
    assumed: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """What the gap is counted in."""
        return "USD" if self.prices else "chip-days"

    @property
    def possible(self) -> bool:
        """Whether the challenger can do the job at all."""
        return bool(np.isfinite(self.chip_hours[0]))

    def log_cost(self, draws: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Logarithm of the cost of all 256 coalitions, draws in the first axis (one without draws).

        Errors of the model belong to the software a machine runs, errors of a price to the price.
        """
        told = draws or {name: np.ones(1) for name in DRAWN}
        masks = np.arange(1 << len(FACTORS))
        hours = self.chip_hours[masks % (1 << len(MACHINE_FACTORS))]
        done = np.isfinite(hours)
        cost = np.log(np.where(done, hours, 1.0)) + _picked(
            masks, "software", told["model"], told["yardstick"]
        )
        cost = cost + _picked(masks, "network", told["network"], np.ones_like(told["network"]))
        if self.prices is not None:
            cost = cost + np.log(self._usd_per_hour(masks, told))
        return np.where(done, cost, cost[:, -1:] + np.log(CEILING))

    def _usd_per_hour(self, masks: np.ndarray, told: Mapping[str, np.ndarray]) -> np.ndarray:
        own, other = self.prices
        capital = _picked(
            masks,
            "price",
            own.capital_usd * told["price"],
            other.capital_usd * told["yardstick price"],
        )
        return np.exp(capital) + np.where(_taken(masks, "power"), other.power_usd, own.power_usd)


def _taken(masks: np.ndarray, name: str) -> np.ndarray:
    return masks >> FACTORS.index(name) & 1 == 1


def _picked(masks: np.ndarray, name: str, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Logarithm of what stands in each draw and coalition for one factor: the chip's own, or the yardstick's."""
    return np.where(_taken(masks, name), np.log(other)[:, None], np.log(own)[:, None])


DRAWN = ("model", "yardstick", "price", "yardstick price", "network")
"""What is drawn: the errors of both predictions and of both prices, and what was assumed of the network, as factors."""


@dataclass(frozen=True)
class Split:
    """A gap and its parts. `gap` is the challenger's cost over the yardstick's, `low` and `high` bound 90% of the draws.

    `worth` is the logarithm of the cost by coalition. `table` has one row per factor: `fix` is the gap that is left when only this factor is brought to the yardstick's
    level, `loss` the gap that opens when the yardstick loses only this one, `shapley` its part of the logarithm of the
    gap with `shapley_low` and `shapley_high`, `times` the same as a factor on the cost.
    """

    chip: str
    name: str
    yardstick: str
    yardstick_name: str
    job: str
    job_title: str
    unit: str
    basis: str
    assumed: tuple[str, ...]
    possible: bool
    gap: float
    low: float
    high: float
    table: pd.DataFrame
    worth: np.ndarray
    drawn_shapley: np.ndarray
    drawn_closed: Mapping[str, np.ndarray]

    def closed(self, group: str) -> float:
        """Share of the logarithm of the gap that bringing a group of factors alone to the yardstick's level closes."""
        return float(np.median(self.drawn_closed[group]))

    def decides(self, group: str, share: float = DECIDES) -> bool:
        """Whether the group alone closes that share of the gap."""
        return self.gap > 1 and self.closed(group) >= share

    def together(self, share: float = DECIDES) -> tuple[str, ...]:
        """The fewest groups of factors that together close that share of the gap (of several such sets the one that
        closes most); none where there is no gap."""
        if self.gap <= 1:
            return ()
        worth = self.worth
        gap = worth[0] - worth[-1]
        for size in range(1, len(GROUPS) + 1):
            sets = list(combinations(GROUPS, size))
            names = [[name for group in one for name in GROUPS[group]] for one in sets]
            closes = [float(worth[0] - worth[_bit(one)]) / gap for one in names]
            best = int(np.argmax(closes))
            if closes[best] >= share:
                return sets[best]
        return tuple(GROUPS)


def _bit(names: Collection[str]) -> int:
    return sum(1 << FACTORS.index(name) for name in names)


def challengers() -> list[str]:
    """Ids of the challengers that the chips table has, oldest first."""
    known = chip_catalog.all_chips()
    present = [name for name in CHALLENGERS if name in known]
    return sorted(present, key=lambda name: (reference_jobs.launched(known[name]), name))


def worth(chip: Chip, yardstick: Chip, job: Job, max_days: float = best_plan.MAX_DAYS) -> Worth:
    """The best plan of a job for every coalition of the machine's factors.

    Raises InputError where the yardstick itself cannot do the job.
    """
    full, assumed = completed(chip)
    formats = {name: training_formats(one) for name, one in (("own", full), ("other", yardstick))}
    size = 1 << len(MACHINE_FACTORS)
    hours = np.full(size, np.inf)
    for mask in range(size):
        taken = [name for bit, name in enumerate(MACHINE_FACTORS) if mask >> bit & 1]
        tried = formats["other" if "precision" in taken else "own"]
        hours[mask] = _chip_hours(mixed(full, yardstick, taken), job, tried, max_days)
    if not np.isfinite(hours[-1]):
        raise InputError(
            f"{yardstick.id} cannot do {job.title} within {max_days:g} days; expected a chip that can as the yardstick"
        )
    ends = [
        _chip_hours(end, job, formats["own"], max_days)
        for one in assumed
        for end in (one.low, one.high)
    ]
    prices = None if chip is yardstick else chip_hours.pair(chip, yardstick)
    words = tuple(one.words for one in assumed)
    return Worth(full, yardstick, job, hours, prices, _swing(hours, ends), words)


def _chip_hours(chip: Chip, job: Job, formats: Sequence[str], max_days: float) -> float:
    found = best_plan.cheapest(chip, job, formats, max_days) if formats else None
    return np.inf if found is None else found[0]


def _swing(hours: np.ndarray, ends: Sequence[float]) -> tuple[float, float]:
    """Factors on the chip-hours at the ends of what was assumed; a machine that then cannot do the job is at the ceiling."""
    middle = min(hours[0], CEILING * hours[-1])
    reached = [min(end, CEILING * hours[-1]) / middle for end in ends]
    return min([1.0, *reached]), max([1.0, *reached])


def drawn(found: Worth, draws: int = DRAWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Joint draws of what is uncertain: the model's error on each chip by its knowledge level, and the prices'."""
    constants = training_constants.load()
    experts = found.job.model.experts > 0
    inputs = []
    for name, chip in zip(DRAWN[:2], (found.chip, found.yardstick), strict=True):
        level = training_constants.level(constants, chip)
        low, high = training_constants.interval(constants, level, chip.family, experts)
        inputs.append(Uncertain(name, min(low, 1.0), 1.0, max(high, 1.0), "times"))
    for name, price in zip(DRAWN[2:4], found.prices or (None, None), strict=True):
        low, high = (price.low, price.high) if price else (1.0, 1.0)
        inputs.append(Uncertain(name, min(low, 1.0), 1.0, max(high, 1.0), "times"))
    inputs.append(Uncertain("network", found.swing[0], 1.0, found.swing[1], "times"))
    told = sample(inputs, draws, seed)
    if found.chip == found.yardstick:
        told |= {"yardstick": told["model"], "yardstick price": told["price"]}
    return told


def shares(found: Worth, draws: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """Shapley parts of the logarithm of the gap, one column per factor; positive where the challenger is worse."""
    return -shapley.values(found.log_cost(draws))


def split_of(found: Worth, draws: int = DRAWS, seed: int = 0) -> Split:
    """The gap and its parts with their intervals."""
    middle, told = found.log_cost()[0], found.log_cost(drawn(found, draws, seed))
    everything = len(middle) - 1
    parts, drawn_parts = shares(found)[0], -shapley.values(told)
    gap = told[:, 0] - told[:, everything]
    rows = []
    for position, name in enumerate(FACTORS):
        bit = 1 << position
        low, high = np.quantile(drawn_parts[:, position], (0.05, 0.95))
        rows.append(
            {
                "factor": name,
                "fix": float(np.exp(middle[bit] - middle[everything])),
                "loss": float(np.exp(middle[everything ^ bit] - middle[everything])),
                "shapley": float(parts[position]),
                "shapley_low": float(low),
                "shapley_high": float(high),
                "times": float(np.exp(parts[position])),
            }
        )
    closed = {group: _closed(told, gap, names) for group, names in GROUPS.items()}
    ends = np.exp(np.quantile(gap, (0.05, 0.95)))
    return Split(
        chip=found.chip.id,
        name=found.chip.name,
        yardstick=found.yardstick.id,
        yardstick_name=found.yardstick.name,
        job=found.job.job,
        job_title=found.job.title,
        unit=found.unit,
        basis=_basis(found),
        assumed=found.assumed,
        possible=found.possible,
        gap=float(np.exp(middle[0] - middle[everything])),
        low=float(ends[0]),
        high=float(ends[1]),
        table=pd.DataFrame(rows),
        worth=middle,
        drawn_shapley=drawn_parts,
        drawn_closed=closed,
    )


def _closed(told: np.ndarray, gap: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Share of each drawn gap that a group of factors alone closes (nothing where there is no gap)."""
    gained = told[:, 0] - told[:, _bit(names)]
    return np.where(gap > 0, gained / np.where(gap > 0, gap, 1.0), 0.0)


def _basis(found: Worth) -> str:
    if found.prices is None:
        return "chip time: no price is known in the same way for both"
    own, other = found.prices
    same = own.when == other.when
    return f"{own.basis}, {own.when}" + ("" if same else f" against {other.when}")


def split(chip_id: str, job: str | None = None, yardstick: str | None = None) -> Split:
    """The gap of one chip of the table to Nvidia's chip of its day on the job of that day, split."""
    return _split(chip_id, job, yardstick, _state())


def _state() -> tuple:
    names = (
        "chips",
        "models",
        "prices",
        "calibration_training",
        "reference_jobs",
        "cost_assumptions",
        "cost_scopes",
    )
    return tuple(tables.state(name) for name in names)


@lru_cache(maxsize=128)
def _split(chip_id: str, job: str | None, yardstick: str | None, state: tuple) -> Split:
    chip = chip_catalog.chip(chip_id)
    start = reference_jobs.launched(chip)
    asked = reference_jobs.of_day(start) if job is None else reference_jobs.job(job)
    rival = reference_jobs.yardstick(start) if yardstick is None else chip_catalog.chip(yardstick)
    return split_of(worth(chip, rival, asked))


def splits(chips: Sequence[str] | None = None) -> list[Split]:
    """The gaps of many challengers, in the order given (default: all, oldest first)."""
    return [split(name) for name in (challengers() if chips is None else chips)]


def overview(found: Sequence[Split]) -> pd.DataFrame:
    """One row per challenger: gap with its interval and the share of it that each group alone closes."""
    return pd.DataFrame(
        [
            {
                "chip": one.chip,
                "name": one.name,
                "yardstick": one.yardstick_name,
                "job": one.job_title,
                "unit": one.unit,
                "possible": one.possible,
                "gap": one.gap,
                "low": one.low,
                "high": one.high,
            }
            | {group: one.closed(group) for group in GROUPS}
            for one in found
        ]
    )


def offered(chip_id: str) -> tuple[float, float, float, str, str]:
    """(advantage, low, high, unit, job): performance per dollar over Nvidia's chip of the day on the job of the day."""
    one = split(chip_id)
    return 1 / one.gap, 1 / one.high, 1 / one.low, one.unit, one.job_title
