r"""Why a chip costs more than Nvidia's of the same day: the gap split among ten factors.

A coalition is a set of factors brought to the yardstick's level; its worth is the logarithm of the cost of the job with
the best plan for that machine, searched anew:

$$v(S) = \ln \min_{n, \, \text{plan}} n \, T_S \, (c_S + w_S), \qquad
\ln \frac{\text{cost}}{\text{cost of the yardstick}} = v(\emptyset) - v(N) = \sum_i \varphi_i$$

The Shapley values $\varphi_i$ (module shapley) add up to the gap exactly. The plan depends on the six factors of the
machine alone, so that 64 searches give all 1,024 coalitions. Where no price is known in the same way for both, the cost is
counted in chip-days, and price and power have no share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.catalog.cited import cited
from training_moat.contest import reference_jobs, shapley, single_changes, uptime_supply
from training_moat.contest.best_plan import MAX_DAYS
from training_moat.contest.chip_factors import CAUSES, FACTORS, GROUPS
from training_moat.contest.coalitions import CEILING, DRAWN, Worth, drawn, search_all, worth
from training_moat.contest.reference_jobs import Job
from training_moat.core.errors import InputError, answered
from training_moat.core.machine import Chip
from training_moat.inquiry.wording import LIKELY, between, digits, either, in_brackets, listed

DECIDES = 0.5
"""A factor decides where bringing it alone to the yardstick's level closes at least so much of the logarithm of the gap."""

ARTICLE = "the article's causes"
"""Not one group: the three causes of the article, each mended where that helps."""

NEARLY = 0.9
"""Parts that reach so much of the largest are named with it: the ranges of such parts cannot be told apart."""

TOLD = float(np.log(1.05))
"""A part that changes the cost by less is told as 1.0 times, and is none."""

OF_DRAWS = "90% of the draws: "
"""What kind of range stands in brackets behind a gap."""


@dataclass(frozen=True, kw_only=True)
class Split(Worth):
    """A gap and its parts. `gap` is the challenger's cost over the yardstick's, `low` and `high` bound 90% of the draws.

    `worth` is the logarithm of the cost by coalition. `table` has one row per factor: `fix` is the gap that is left when
    only this factor is brought to the yardstick's level, `loss` the gap that opens when the yardstick loses only this one,
    `shapley` its part of the logarithm of the gap with `shapley_low` and `shapley_high`, `times` the same as a factor on
    the cost.
    """

    gap: float
    low: float
    high: float
    table: pd.DataFrame
    worth: np.ndarray
    drawn_shapley: np.ndarray
    drawn_closed: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        """The challenger's name."""
        return self.chip.name

    def closed(self, *groups: str) -> float:
        """Share of the logarithm of the gap that bringing groups of factors, and no others, to the yardstick's level closes
        (`ARTICLE`: those of the article's causes that close most); undefined where there is no gap."""
        if self.gap <= 1:
            return np.nan
        if groups == (ARTICLE,):
            return max(self.closed(*some) for some in SOME_CAUSES)
        worth = self.worth
        return float((worth[0] - worth[_groups_bit(groups)]) / (worth[0] - worth[-1]))

    def closed_with_slow_links(self) -> float:
        """The share that bringing the network alone to the yardstick's level closes, with every rate of a link that nobody
        published at the slow end of what was assumed; undefined where there is no gap."""
        told = {name: np.ones(1) for name in DRAWN} | {
            "network": np.array([self.swing["network"][1]])
        }
        worth = self.log_cost(told)[0]
        gap = worth[0] - worth[-1]
        return float((worth[0] - worth[_bit(["network"])]) / gap) if gap > 0 else np.nan

    def explained(self, group: str) -> tuple[float, float, float]:
        """(middle, low, high): factor on the cost that a group of factors explains, as the product of its Shapley parts."""
        positions = [FACTORS.index(name) for name in GROUPS[group]]
        low, high = np.quantile(self.drawn_shapley[:, positions].sum(axis=1), (0.05, 0.95))
        middle = float(self.table["shapley"].iloc[positions].sum())
        return float(np.exp(middle)), float(np.exp(low)), float(np.exp(high))

    @property
    def behind(self) -> bool:
        """Whether the challenger is likely behind: in two of three draws at least."""
        return self.gap > 1 and float(np.mean(self.drawn_shapley.sum(axis=1) > 0)) >= LIKELY

    def decides(self, group: str, share: float = DECIDES) -> bool:
        """Whether the group alone closes that share of the gap of a challenger that is likely behind."""
        return self.behind and self.closed(group) >= share

    @property
    def days(self) -> float:
        """Days of the challenger's own run."""
        return float(self.chip_hours[0] / 24 / self.chips) if self.possible else np.inf

    def undone(self) -> list[str]:
        """The groups of which each, mended alone, leaves a machine that cannot do a job that the chip as it is can do."""
        if not self.possible:
            return []
        limit = self.worth[-1] + np.log(0.99 * CEILING)
        return [group for group in GROUPS if self.worth[_groups_bit([group])] > limit]

    def ways(self) -> list[tuple[str, ...]]:
        """The smallest sets of groups of factors that together close `DECIDES` of the gap, the one that closes most
        first; none where there is no gap."""
        if self.gap <= 1:
            return []
        for size in range(1, len(GROUPS)):
            closes = {one: self.closed(*one) for one in combinations(GROUPS, size)}
            if enough := [one for one, closed in closes.items() if closed >= DECIDES]:
                return sorted(enough, key=lambda one: -closes[one])
        return [tuple(GROUPS)]


def _bit(names: Collection[str]) -> int:
    return sum(1 << FACTORS.index(name) for name in names)


def _groups_bit(groups: Collection[str]) -> int:
    return _bit([name for group in groups for name in GROUPS[group]])


SOME_CAUSES = [one for size in (1, 2, 3) for one in combinations(CAUSES, size)]
"""Every choice among the article's causes."""


def half_closes(one: Split) -> str:
    """What closes half of a gap, in words: "software or memory, each alone", "memory and software together, or memory and
    compute"; blank where there is no gap."""
    ways = one.ways()
    if not ways:
        return ""
    if len(ways[0]) == 1:
        alone = [group for (group,) in ways]
        return f"{alone[0]} alone" if len(alone) == 1 else f"{either(alone)}, each alone"
    first, *others = map(listed, ways)
    return ", or ".join([f"{first} together", *others])


def challengers() -> list[str]:
    """Ids of the chips whose gap is explained (table challengers), oldest first."""
    known, frame = chip_catalog.all_chips(), tables.load("challengers")
    named = frame.loc[frame["compared"] == "yes", "chip_id"]
    return sorted(named, key=lambda name: (reference_jobs.launched(known[name]), name))


def split_of(found: Worth) -> Split:
    """The gap and its parts with their intervals."""
    middle, (told, into) = found.log_cost()[0], found.terms(drawn(found))
    all_ = len(middle) - 1
    # Parts are positive where the challenger is worse. They are linear in what the coalitions are worth.
    parts, drawn_parts = -shapley.values(middle), told @ -shapley.values(into)
    sets = [*[(group,) for group in GROUPS], *SOME_CAUSES]
    bare, whole, *grouped = (told @ into[:, [0, all_, *map(_groups_bit, sets)]]).T
    gap = bare - whole
    bits = 1 << np.arange(len(FACTORS))
    part_low, part_high = np.quantile(drawn_parts, (0.05, 0.95), axis=0)
    left = {"fix": middle[bits] - middle[all_], "loss": middle[all_ ^ bits] - middle[all_]}
    columns = {name: np.exp(value) for name, value in left.items()}
    columns |= {"shapley": parts, "shapley_low": part_low, "shapley_high": part_high}
    table = pd.DataFrame({"factor": list(FACTORS)} | columns | {"times": np.exp(parts)})
    # Share of each drawn gap that a group of factors alone closes (nothing where there is no gap).
    some = np.where(gap > 0, gap, np.inf)
    shares = dict(zip(sets, [(bare - one) / some for one in grouped], strict=True))
    closed = {group: shares[group,] for group in GROUPS}
    closed[ARTICLE] = np.max([shares[one] for one in SOME_CAUSES], axis=0)
    ends = np.exp(np.quantile(gap, (0.05, 0.95)))
    return Split(
        **vars(found),
        gap=float(np.exp(middle[0] - middle[all_])),
        low=float(ends[0]),
        high=float(ends[1]),
        table=table,
        worth=middle,
        drawn_shapley=drawn_parts,
        drawn_closed=closed,
    )


@tables.kept(size=128, lasting=True)
def split(chip_id: str, job: str | None = None, yardstick: str | None = None) -> Split:
    """The gap of one chip of the table to Nvidia's chip of its day on the job of that day, split."""
    return split_of(worth(*_compared(chip_id, job, yardstick)))


def _compared(
    chip_id: str, job: str | None, yardstick: str | None = None
) -> tuple[Chip, Chip, Job]:
    chip = chip_catalog.chip(chip_id)
    start = reference_jobs.launched(chip)
    asked = reference_jobs.of_day(start) if job is None else reference_jobs.job(job)
    rival = reference_jobs.yardstick(start) if yardstick is None else chip_catalog.chip(yardstick)
    return chip, rival, asked


def splits(chips: Sequence[str] | None = None, job: str | None = None) -> list[Split]:
    """The gaps of many challengers, in the order given (default: all, oldest first), each on the job of its day or on one;
    without those of which an unpublished number is needed (`answered`)."""
    names = challengers() if chips is None else chips
    _search_all(tuple(names), job)
    return answered(lambda name: split(name, job), names)


@tables.kept()
def _search_all(names: tuple[str, ...], job: str | None) -> None:
    with suppress(
        InputError
    ):  # where one lacks something, each is searched alone and says what it lacks
        search_all([_compared(name, job) for name in names])


def on_the_largest(found: Sequence[Split]) -> pd.DataFrame:
    """The gaps had every chip been put through the largest run of its day, whatever its kind: by the chip-hours of both
    chips there, all else as it is. Columns: name, job, gap, largest (the gap there; endless where it cannot be done).

    Only chips whose job of the day is not the largest run are listed.
    """
    listed, asked = [], []
    for one in found:
        chip = chip_catalog.chip(one.chip.id)
        largest = reference_jobs.largest_of_day(reference_jobs.launched(chip))
        if largest != one.job and one.possible:
            listed.append((one, largest.title))
            pair = chip, one.yardstick
            asked += [(machine, job) for job in (one.job, largest) for machine in pair]
    hours = np.reshape(single_changes.kept_hours(asked), (-1, 2, 2))
    times = (hours[:, :, 0] / hours[:, :, 1]).tolist()
    rows = [
        (one.name, title, one.gap, one.gap * there / here)
        for (one, title), (here, there) in zip(listed, times, strict=True)
    ]
    return pd.DataFrame(rows, columns=["name", "job", "gap", "largest"])


def edge_words(one: Split) -> str:
    """Which groups, mended alone, put the job out of a chip's reach, and how near its own run is to the days allowed; blank
    where none does."""
    undone = one.undone()
    if not undone:
        return ""
    return (
        f"With the {either(undone)} of {one.yardstick.name} and nothing else mended, {one.name} could not do the job in the"
        f" {MAX_DAYS:.0f} days allowed, of which its own run takes {digits(one.days)}: that counts as {digits(CEILING, 1)}"
        " times the cost, and stands behind all parts of its gap."
    )


def overview(found: Sequence[Split]) -> pd.DataFrame:
    """One row per challenger: gap with its interval and the share of it that each group alone closes."""
    rows = [
        {"chip": one.chip.id, "name": one.name}
        | {"yardstick": one.yardstick.name, "job": one.job.title, "unit": one.unit}
        | {"basis": one.basis, "possible": one.possible, "behind": one.behind}
        | {"gap": one.gap, "low": one.low, "high": one.high}
        | {"half": half_closes(one)}
        | {group: one.closed(group) for group in GROUPS}
        for one in found
    ]
    return pd.DataFrame(rows)


def parts(one: Split) -> pd.DataFrame:
    """The groups of factors of one chip. Columns: group, times, low, high (factors on the cost), closed (share)."""
    rows = [(group, *one.explained(group), one.closed(group)) for group in GROUPS]
    return pd.DataFrame(rows, columns=["group", "times", "low", "high", "closed"])


def heaviest(found: pd.DataFrame, sign: int) -> pd.DataFrame:
    """The groups of `parts` that weigh most: the largest share of the logarithm, and those within a tenth of it; none
    where nothing adds to the cost by as much as two digits show.

    sign: -1 for the groups that favour the chip most, those that take most off its cost.
    """
    shares = sign * np.log(found["times"])
    return found[(shares > TOLD) & (shares >= NEARLY * shares.max())]


def weighs_most(found: pd.DataFrame, possible: bool = True) -> str:
    """The heaviest groups in words: "precision and software weigh most, 1.6 times each"; of a chip that all its groups
    together make cheaper than the yardstick, what does most for it: "price favours it most, 0.40 times".

    possible: whether the chip can do the job at all; where it cannot, its cost and the parts of it are no numbers.
    """
    ahead = possible and found["times"].prod() < 1
    most = heaviest(found, -1 if ahead else 1).sort_values("times", ascending=ahead, kind="stable")
    if most.empty:
        return "nothing adds to the cost"
    many = len(most) > 1 or " and " in most["group"].iloc[0]
    if not possible:
        return f"{listed(most['group'])} {'keep' if many else 'keeps'} it from the job"
    times = between(most["times"].min(), most["times"].max(), digits)
    each = " each" if len(most) > 1 else ""
    if ahead:
        return f"{listed(most['group'])} {'favour' if many else 'favours'} it most, {times} times{each}"
    return f"{listed(most['group'])} {'weigh' if many else 'weighs'} most, {times} times{each}"


def offers(chips: Sequence[str] | None = None) -> pd.DataFrame:
    """What each challenger offered: chip, name, date, against, job, unit, basis, advantage, low, high."""
    found = splits(chips)
    frame = overview(found).rename(columns={"yardstick": "against"})
    dates = [reference_jobs.launched(one.chip) for one in found]
    turned = {"advantage": 1 / frame["gap"], "low": 1 / frame["high"], "high": 1 / frame["low"]}
    told = ["chip", "name", "date", "against", "job", "unit", "basis", *turned]
    return frame.assign(date=dates, **turned)[told]


def sources(found: Sequence[Split]) -> tuple[str, ...]:
    """Source keys behind the chips, jobs and prices of some splits."""
    frame = chip_catalog.frame()
    used = {chip.id for one in found for chip in (one.chip, one.yardstick)}
    rows = frame[frame["id"].isin(used)]
    columns = [name for name in frame.columns if name == "source" or name.startswith("source_")]
    keys = [key for column in columns for key in cited(rows, column=column)]
    keys += cited(tables.load("reference_jobs"), cost_rows())
    keys += uptime_supply.sources()
    return tuple(dict.fromkeys(keys))


def cost_rows() -> pd.DataFrame:
    """The inputs that turn a price into dollars per chip-hour, as rows of their table."""
    return tables.load("cost_assumptions")


def told_gap(one: Split) -> str:
    """A gap in words: "5.1 times the chip-days of" the yardstick, and "as many chip-days as" it where they come out alike."""
    alike = digits(one.gap) in ("1", "1.0")
    count = f"as many {one.unit} as" if alike else f"{digits(one.gap)} times the {one.unit} of"
    return f"{count} {one.yardstick.name}"


def told_range(one: Split) -> str:
    """The range of a gap behind its middle, in brackets. Where its upper end is the ceiling, the job cannot be done in some of
    the draws, and a number would say otherwise."""
    if one.high < 0.99 * CEILING:
        return in_brackets(one.low, one.high, OF_DRAWS)
    return f" ({OF_DRAWS}{digits(one.low)} upwards, and in some it cannot do the job)"
