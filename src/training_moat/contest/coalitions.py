r"""What a job costs on a machine with some qualities of the yardstick: every coalition of factors, the plan searched anew.

The plan depends on the six factors of the machine alone, so that 64 searches (coalition_search) give all 1,024 coalitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from training_moat.catalog.relatives import wide_format
from training_moat.contest import best_plan, chip_hours, reference_jobs, uptime_supply
from training_moat.contest.chip_assumptions import completed
from training_moat.contest.chip_factors import FACTORS, MACHINE_FACTORS
from training_moat.contest.chip_hours import HourlyPrice
from training_moat.contest.coalition_search import COALITIONS, search
from training_moat.contest.reference_jobs import Job
from training_moat.contest.uptime_supply import Level
from training_moat.core.errors import Incomparable
from training_moat.core.machine import Chip
from training_moat.inquiry.uncertainty import Uncertain, sample
from training_moat.inquiry.wording import counted
from training_moat.predict import training_constants

CEILING = 1000.0
"""A job that a machine cannot do, on any number of chips in the days allowed, is charged so many times what the yardstick
takes: a cost that nobody would pay, so that a split exists."""

DRAWS = 2000
"""Joint draws of what is uncertain."""


@dataclass(frozen=True)
class Worth:
    """Chip-hours of a job for every machine coalition (endless where it cannot be done), and the hourly prices.

    `chips` counts those of the challenger's own run. `levels` holds, for the factors outside the machine, the factor on the
    cost of the chip and of the yardstick; `swing`, by factor, what the ends of an assumption do to the cost, as factors.
    """

    chip: Chip
    yardstick: Chip
    job: Job
    chip_hours: np.ndarray
    prices: tuple[HourlyPrice, HourlyPrice] | None
    levels: Mapping[str, tuple[Level, Level]] = field(default_factory=dict)
    swing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    chips: float = 0.0

    @property
    def unit(self) -> str:
        """What the gap is counted in."""
        return "dollars" if self.prices else "chip-days"

    @property
    def possible(self) -> bool:
        """Whether the challenger can do the job at all."""
        return bool(np.isfinite(self.chip_hours[0]))

    @property
    def basis(self) -> str:
        """How the price of both is known, and on how few quotes where one is a rent."""
        if self.prices is None:
            return "chip time: no price is known in the same way for both"
        own, other = self.prices
        against = "" if own.when == other.when else f" against {other.when}"
        few = own.few or other.few
        rests = f" ({counted(own.quotes, 'quote')} against {other.quotes})" if few else ""
        return f"{own.basis}, {own.when}{against}{rests}"

    def log_cost(self, draws: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Logarithm of the cost of all 1,024 coalitions, draws in the first axis (one without draws)."""
        told, into = self._terms(draws)
        cost = told[:, :-2] @ into[:-2]
        for term in (-2, -1):  # what all coalitions have comes last, so that ties stay ties
            cost += told[:, term, None] * into[term]
        return np.where(self._done, cost, cost[:, -1:] + np.log(CEILING))

    def terms(self, draws: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The same as two factors of a matrix product: terms by draws, and which of them goes into which coalition."""
        told, into = self._terms(draws)
        into[:, ~self._done] = into[:, -1:]
        into[-1, ~self._done] += np.log(CEILING)
        return told, into

    @property
    def _done(self) -> np.ndarray:
        return np.isfinite(np.tile(self.chip_hours, 1 << len(FACTORS) - len(MACHINE_FACTORS)))

    def _terms(self, draws: Mapping[str, np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
        """Without the ceiling on what cannot be done.

        Errors of the model belong to the software a machine runs, errors of a price to the price.
        """
        told = draws or {name: np.ones(1) for name in DRAWN}
        masks = np.arange(1 << len(FACTORS))
        hours = self.chip_hours[masks % COALITIONS]
        # Every factor adds one of two logarithms: as changes from the chip's own, so that where both are the same nothing
        # changes, to the last bit.
        base, changes, taken = np.zeros_like(told["model"]), [], []
        for name, (own, other) in self._ends(told).items():
            base = base + np.log(own)
            changes.append(np.log(other) - np.log(own))
            taken.append(_taken(masks, name))
        if self.prices is not None:
            (own, _), *others = _log_usd_per_hour(*self.prices, masks, told)
            base = base + own
            changes += [other - own for other, _ in others]
            taken += [which for _, which in others]
        into = [*taken, np.ones(len(masks)), np.log(np.where(self._done, hours, 1.0))]
        return np.array([*changes, base, np.ones_like(base)]).T, np.array(into, float)

    def _ends(self, told: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Factors on the cost, by name: the chip's own and the yardstick's of each draw."""
        found = {"software": (told["model"], told["yardstick"])}
        found |= {name: (told[name], np.ones_like(told[name])) for name in ASSUMED}
        for name, (own, other) in self.levels.items():
            found[name] = (told[name] * own.times, told[f"yardstick {name}"] * other.times)
        return found


def _log_usd_per_hour(
    own: HourlyPrice, other: HourlyPrice, masks: np.ndarray, told: Mapping[str, np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Logarithm of the hourly price in each draw, for each way to take price and power (both the chip's own first), and the
    coalitions that take them so."""
    capital = (own.capital_usd * told["price"], other.capital_usd * told["yardstick price"])
    price, power = _taken(masks, "price"), _taken(masks, "power")
    return [
        (np.log(capital[one] + (own, other)[two].power_usd), (price == one) & (power == two))
        for one in (0, 1)
        for two in (0, 1)
    ]


def _taken(masks: np.ndarray, name: str) -> np.ndarray:
    return masks >> FACTORS.index(name) & 1


ASSUMED = ("compute", "memory bandwidth", "network")
"""Factors of which something may have to be assumed."""

OUTSIDE = ("uptime", "supply")
"""Factors outside the machine that are known, or not, for both chips."""

DRAWN = (
    *("model", "yardstick", "price", "yardstick price", *ASSUMED),
    *(f"{whose}{name}" for name in OUTSIDE for whose in ("", "yardstick ")),
)
"""What is drawn: the errors of both predictions and of both prices, what was assumed, and what is not known of uptime
and supply, as factors on the cost."""


def search_all(asked: Iterable[tuple[Chip, Chip, Job]]) -> None:
    """Search side by side what `worth` asks for of many chips, yardsticks and jobs, within the usual days."""
    full = [(*completed(chip), yardstick, job) for chip, yardstick, job in asked]
    search([(own, rival, job, assumed, best_plan.MAX_DAYS) for own, assumed, rival, job in full])


def worth(chip: Chip, yardstick: Chip, job: Job, max_days: float = best_plan.MAX_DAYS) -> Worth:
    """The best plan of a job for every coalition of the machine's factors.

    Raises Incomparable where the yardstick itself cannot do the job.
    """
    full, assumed = completed(chip)
    (found,) = search([(full, yardstick, job, assumed, max_days)])
    if not np.isfinite(found.hours[-1]):
        raise Incomparable(
            f"{yardstick.id} cannot do {job.title} in time (max_days {max_days:g}); expected a chip that can as the yardstick"
        )
    ends = [
        (one.factor, end) for one, both in zip(assumed, found.ends, strict=True) for end in both
    ]
    prices = None if chip is yardstick else chip_hours.pair(chip, yardstick)
    year = uptime_supply.years(reference_jobs.start(chip))
    needed = found.yardstick_chips * uptime_supply.hbm_gb(yardstick)
    levels = {
        "uptime": uptime_supply.uptime(full, yardstick),
        "supply": (
            uptime_supply.supply(full, needed, year),
            uptime_supply.supply(yardstick, needed, year),
        ),
    }
    words = tuple(one.words for one in assumed)
    words += tuple(own.words for own, _ in levels.values() if own.words)
    swing = _swing(found.hours, ends)
    return Worth(full, yardstick, job, found.hours, prices, levels, swing, words, found.own_chips)


def _swing(hours: np.ndarray, ends: Sequence[tuple[str, float]]) -> dict[str, tuple[float, float]]:
    """Factors on the chip-hours at the ends of what was assumed, by factor; a machine that then cannot do the job is at
    the ceiling."""
    middle, found = min(hours[0], CEILING * hours[-1]), {}
    for name in ASSUMED:
        reached = [min(end, CEILING * hours[-1]) / middle for own, end in ends if own == name]
        found[name] = (min([1.0, *reached]), max([1.0, *reached]))
    return found


def drawn(found: Worth, draws: int = DRAWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Joint draws of what is uncertain: the model's error on each chip by its knowledge level, and the prices'."""
    constants = training_constants.load()
    experts = found.job.model.experts > 0
    ranges = {name: found.swing.get(name, (1.0, 1.0)) for name in ASSUMED}
    for name, chip in zip(DRAWN[:2], (found.chip, found.yardstick), strict=True):
        name_of_format = wide_format(chip) or next(iter(chip.peak_flops))
        level = training_constants.level(constants, chip, name_of_format, experts)
        ranges[name] = training_constants.interval(constants, level, chip.family, found.job.model)
    for name, price in zip(DRAWN[2:4], found.prices or (), strict=False):
        ranges[name] = (price.low, price.high)
    for name in OUTSIDE:
        for whose, known in zip(("", "yardstick "), found.levels.get(name, ()), strict=False):
            ranges[f"{whose}{name}"] = (known.low, known.high)
    inputs = []
    for name in DRAWN:
        low, high = ranges.get(name, (1.0, 1.0))
        inputs.append(Uncertain(name, min(low, 1.0), 1.0, max(high, 1.0), "times"))
    told = sample(inputs, draws, seed)
    if found.chip == found.yardstick:
        told |= {"yardstick": told["model"]}
        told |= {f"yardstick {name}": told[name] for name in ("price", *OUTSIDE)}
    return told
