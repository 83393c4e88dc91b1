"""Would this chip survive in training? Everything the book knows, for one chip, as a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import scenario, tables, unlikely
from training_moat.catalog.relatives import wide_peak
from training_moat.contest import (
    chip_hours,
    coalitions,
    counterfactual,
    dossiers,
    inherited,
    reference_jobs,
    scorecard,
    serving_costs,
    single_changes,
    winners,
)
from training_moat.contest.best_plan import MAX_DAYS
from training_moat.contest.chip_assumptions import completed
from training_moat.contest.chip_factors import training_formats
from training_moat.contest.counterfactual import Split, split_of, told_gap, told_range
from training_moat.contest.gates import NO
from training_moat.contest.reference_jobs import Job
from training_moat.contest.scorecard import Card
from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.core.units import GB, TERA
from training_moat.inquiry import holding, switching
from training_moat.inquiry.wording import band, chance, counted, digits, percent

PROTAGONIST = "sn40l"
"""The chip looked at where none is named and no scenario brings one: the article's."""

NEIGHBOURS = 4

AS_CHEAP, WORTH_A_MOVE = "cost no more than Nvidia's", "pay for a move"
"""What a chip should reach besides the job itself, as `flips` names it."""

SHORTEST_SWEEP_S = 1e-8
"""No memory of the table is read whole in less: the fastest, of registers' size, takes about a microsecond."""


@dataclass(frozen=True)
class Report:
    """One chip on the job of its day: gates, the gap to the yardstick with its parts, what would flip each miss, what it
    offers against what it needs, its neighbours, and what was assumed."""

    chip: Chip
    start: pd.Timestamp
    job: Job
    card: Card
    rival: Card
    split: Split
    needed: switching.Breakeven
    assumed: tuple[str, ...]

    @property
    def advantage(self) -> float:
        """Performance per dollar (or per chip) over the yardstick's."""
        return 1 / self.split.gap

    @property
    def chance(self) -> float:
        """Chance that a buyer of the assumed size gains by moving to it, over the draws of the offer and of the need."""
        return winners.chance(self.split, self.needed)


def subject(name: str | None) -> Chip:
    """The chip to report on: the named one, else the first of the active scenario, else the article's own."""
    if name is not None:
        return chip_catalog.chip(name)
    active = scenario.active()
    own = None if active is None else active.rows.get("chips")
    return chip_catalog.chip(PROTAGONIST if own is None or own.empty else str(own.iloc[0]["id"]))


def reject_impossible(chip: Chip) -> None:
    """Raise InputError, in one sentence, for a chip of which no answer could be right."""
    wide_peak(chip)
    home = tiers.home(completed(chip)[0], "training")[-1]
    seconds = home.capacity_bytes / home.bytes_per_s
    if seconds < SHORTEST_SWEEP_S:
        raise InputError(
            f"chip {chip.id}: its {home.name} of {holding.size_words(home)} would be read whole in "
            f"{seconds:.1e} s; expected a bandwidth that a memory of this size can have"
        )


def report(
    name: str | None = None,
    job: str | None = None,
    yearly_spend_musd: float = 1000.0,
    max_days: float = MAX_DAYS,
) -> Report:
    """The whole report. Raises InputError in one sentence for a chip or a job that cannot be judged."""
    chip = subject(name)
    reject_impossible(chip)
    start, undated = reference_jobs.start(chip), list[str]()
    if reference_jobs.launch(chip) is None:
        undated.append(
            f"no date is given: it is measured against Nvidia's newest, of {start:%Y-%m}"
        )
    asked = reference_jobs.of_day(start) if job is None else reference_jobs.job(job)
    yardstick = reference_jobs.yardstick(start)
    split = split_of(coalitions.worth(chip, yardstick, asked, max_days))
    scorecard.search([(chip, asked), (yardstick, asked)], max_days)
    card = scorecard.card(chip, asked, max_days)
    rival = scorecard.card(yardstick, asked, max_days)
    doubts = [f"{doubt}, and is taken as it is" for doubt in unlikely.of_active(chip.id)]
    told = (*doubts, *inherited.told(chip.id), *undated, *split.assumed, *_blanks(chip, card))
    needed = switching.breakeven(yearly_spend_musd)
    return Report(chip, start, asked, card, rival, split, needed, told)


def _blanks(chip: Chip, card: Card) -> tuple[str, ...]:
    """What else is missing, in words."""
    told = []
    if card.price is None:
        told.append("no price is known: costs are left blank and the gap is counted in chip time")
    if not chip.tdp_w:
        told.append("its power is not given: electricity is left out")
    if card.level != "measured":
        known = "relatives of its family" if card.level == "family" else "all chips"
        runs = dossiers.measured(chip)
        alone = "of one source alone" if runs["source"].nunique() == 1 else "too few of this kind"
        few = f"{counted(len(runs), 'training run')} on it on record, {alone}"
        record = few if len(runs) else "no training run on it is on record"
        told.append(f"{record}: software as usual for {known}, and a wider range")
    if len(training_formats(completed(chip)[0])) == 1:
        told.append("no narrower format to train in is claimed: it trains in sixteen bits")
    return tuple(told)


def gates(found: Report) -> pd.DataFrame:
    """Gates with the distance to each. Columns: gate, passed, distance (needed over had; 1: just enough), why."""
    rows = [(gate.name, gate.passed, gate.distance, gate.why) for gate in found.card.gates]
    pays = "yes" if found.split.gap <= 1 else "no"
    split = found.split
    why = f"{told_gap(split)} ({split.basis})"
    if not split.possible:
        why = "it cannot do the job at any cost"
    rows.append(("as cheap as Nvidia's", pays, split.gap if split.possible else np.nan, why))
    return pd.DataFrame(rows, columns=["gate", "passed", "distance", "why"])


def flips(found: Report, max_days: float = MAX_DAYS) -> pd.DataFrame:
    """The smallest single change that reaches each goal the chip misses: to end in time, to cost no more than the yardstick,
    and to offer the advantage in use with which a move just pays for the buyer in the middle of the range.

    Columns: goal, change, factor (endless: no change of this kind does it). Price enters as a cut.
    """
    full = completed(found.chip)[0]
    goals: dict[str, float] = {}
    if found.card.run is None:
        goals["do the job in time"] = np.finfo(float).max
    advantages = {AS_CHEAP: 1.0, WORTH_A_MOVE: float(found.needed.quantiles_in_use[1])}
    missed = {goal: wanted for goal, wanted in advantages.items() if found.advantage < wanted}
    if found.chip.id == found.rival.chip.id:  # nobody has to move to what they have
        missed = {}
    ratio = found.split.gap if found.split.possible else coalitions.CEILING
    per_hour = chip_hours.ratio(chip_hours.pair(found.chip, found.rival.chip))
    allowed = found.rival.run.chip_hours / per_hour if found.rival.run else ratio
    goals |= {goal: allowed / wanted for goal, wanted in missed.items()}
    rows = []
    reached = single_changes.smallest(full, found.job, list(goals.values()), max_days)
    for goal, changes in zip(goals, reached, strict=True):
        rows += [(goal, one.what, one.factor) for one in changes]
    if found.split.unit == "dollars" and found.split.possible:
        gap = found.split.gap
        rows += [(goal, "lower price and power", gap * wanted) for goal, wanted in missed.items()]
    frame = pd.DataFrame(rows, columns=["goal", "change", "factor"])
    return frame.sort_values(["goal", "factor", "change"], kind="stable", ignore_index=True)


def _qualities(chip: Chip) -> Mapping[str, float]:
    streamed = "training" in chip.streamed
    home = tiers.working(chip, "training") if streamed else tiers.home(chip, "training")[-1]
    return {
        "tflops": wide_peak(chip) / TERA,
        "memory_gb": holding.size_gb(home),
        "memory_gb_per_s": (home.bytes_per_s or np.nan) / GB,
        "link_gb_per_s": (chip.scaleup.bytes_per_s if chip.scaleup else np.nan) / GB,
        "watts": chip.tdp_w or np.nan,
    }


NEIGHBOUR_WORDS = {
    "tflops": "TFLOP/s (16 bits)", "memory_gb": "memory, GB", "memory_gb_per_s": "GB/s", "link_gb_per_s": "link, GB/s",
    "watts": "W", "factor": "mean factor apart", "trains": "offered for training",
}  # fmt: skip
"""Columns of `neighbour_table` in words."""


def neighbours(chip: Chip, count: int = NEIGHBOURS) -> pd.DataFrame:
    """The chips of the table most like this one: mean distance of the logarithms of what both have published.

    Columns: name, vendor, tflops, memory_gb, memory_gb_per_s, link_gb_per_s, watts, distance, trains.
    """
    own, rows = _qualities(completed(chip)[0]), []
    for other in chip_catalog.all_chips().values():
        try:
            theirs = _qualities(other)
        except InputError:
            continue
        gaps = [abs(np.log(theirs[key] / own[key])) for key in own]
        known = [gap for gap in gaps if np.isfinite(gap)]
        if other.id != chip.id and len(known) >= 3:
            told = {"name": other.name, "vendor": other.vendor, **theirs}
            trains = "yes" if other.supports_training else "no"
            rows.append(told | {"distance": float(np.mean(known)), "trains": trains})
    frame = pd.DataFrame(rows).sort_values(["distance", "name"], kind="stable", ignore_index=True)
    return frame.head(count)


def neighbour_table(chip: Chip) -> pd.DataFrame:
    """The same for readers: columns in words, the distance as the factor that it is the logarithm of."""
    near = neighbours(chip)
    near.insert(near.columns.get_loc("distance"), "factor", np.exp(near["distance"]))
    return near.drop(columns="distance").rename(columns=NEIGHBOUR_WORDS)


def jobs(found: Report, max_days: float = MAX_DAYS) -> pd.DataFrame:
    """Every reference job on this chip and on the yardstick of its day, both at the prices of which their gap is counted;
    where no price is known in the same way for both, each at its own of the day of the job.

    Columns: job, chips, days, days_low, days_high, musd, musd_low, musd_high, limit, yardstick_days, yardstick_musd,
    yardstick_chips.
    """
    rows, every = [], reference_jobs.jobs().values()
    pair = found.chip, found.rival.chip
    prices = chip_hours.pair(*pair)
    scorecard.search([(chip, one) for one in every for chip in pair], max_days)
    for one in every:
        cards = [scorecard.card(chip, one, max_days) for chip in pair]
        if prices is not None:
            cards = [replace(card, price=price) for card, price in zip(cards, prices, strict=True)]
        own, rival = (scorecard.table([card]).iloc[0] for card in cards)
        kept = ("chips", "days", "days_low", "days_high", "musd", "musd_low", "musd_high", "limit")
        rows.append(
            {"job": one.title}
            | {name: own[name] for name in kept}
            | {f"yardstick_{name}": rival[name] for name in ("chips", "days", "musd")}
        )
    return pd.DataFrame(rows)


def answer(found: Report) -> str:
    """The report in one sentence: whether it can do the job, at what cost, and whether that is enough."""
    gap, unit, name = found.split, found.split.unit, found.chip.name
    if not gap.possible:
        shut = next((gate for gate in found.card.gates if gate.passed == NO), None)
        where = "" if shut is None else f": it stops at the gate *{shut.name}* ({shut.why})"
        return f"**{name} cannot train {found.job.named}** within the days allowed{where}."
    if found.chip.id == gap.yardstick.id:
        return f"**{name} is itself what others are held against**: there is no gap, and nobody has to move to it."
    trains = f"**{name} trains {found.job.named} for {told_gap(gap)}**{told_range(gap)}. "
    wanted = found.needed.quantiles_in_use[1]
    if not np.isfinite(wanted):
        return f"{trains}For a buyer of this size no advantage would pay for the move in the middle of the range."
    done = f"{trains}A buyer needs an advantage of {digits(wanted)} times in use; "
    if unit == "dollars":
        return f"{done}the chip offers {digits(found.advantage)}, and a move pays with a chance of {chance(found.chance)}."
    return (
        f"{done}with no price known for both, the chip would have to cost at most {percent(price_to_pay(found))} of what "
        f"{gap.yardstick.name} costs per chip and hour."
    )


def needed_words(found: Report) -> str:
    """What a buyer of the assumed size needs in use, with its range, as a sentence."""
    low, middle, high = found.needed.quantiles_in_use
    if not np.isfinite(middle):
        least = (
            f"; one in twenty draws asks for less than {digits(low)} times"
            if np.isfinite(low)
            else ""
        )
        return f"Needed in use: **more than any chip can offer** in the middle of the Monte Carlo draws{least}."
    return f"Needed in use: **{digits(middle)} times** (Monte Carlo, 5 to 95%: {band(low, high)})."


def measure(found: Report) -> str:
    """What the answer is measured by: the day, the job and the yardstick."""
    job = f"{found.job.named} of {found.job.date:%B %Y}"
    if found.job == reference_jobs.of_day(found.start):
        job = f"the reference run of that day, {job}"
    return (
        f"{_day(found)} The job is {job}; the yardstick is {found.rival.chip.name}, the newest chip that Nvidia sold for "
        f"training at scale."
    )


def _day(found: Report) -> str:
    """The day that a chip is judged by, as exactly as it is known."""
    if reference_jobs.launch(found.chip) is None:
        return f"No date is given for the chip, so that it is judged by the day of Nvidia's newest, {found.start:%B %Y}."
    by_year = len(found.chip.available or "") == len("2023") and found.start.day_of_year == 1
    day = f"{found.start:%Y}" if by_year else f"{found.start:%B %Y}"
    return f"The day is {day}, when the chip could first be had."


def within_reach(found: Report) -> str:
    """For a maker in a country where the yardstick is not sold: the gap to what Nvidia sells there; else an empty string."""
    makers = tables.load("chip_makers").set_index("maker")["region"]
    if makers.get(found.chip.vendor) != reference_jobs.EXPORT_REGION:
        return ""
    address = tables.load("sources").set_index("key").loc[reference_jobs.EXPORT_SOURCE, "url"]
    other = reference_jobs.export_yardstick(found.start)
    gap = counterfactual.split(found.chip.id, found.job.job, other.id)
    return (
        f"[Export rules]({address}) keep {found.rival.chip.name} out of {reference_jobs.EXPORT_REGION}, where {found.chip.vendor} sells. "
        f"Against {other.name}, which Nvidia cut for export ({reference_jobs.launched(other):%B %Y}), the chip takes "
        f"**{digits(gap.gap)} times** the {gap.unit}{told_range(gap)}. Buyers there choose "
        f"between that pair; the first comparison is about the machines."
    )


def serving(found: Report) -> str:
    """Chip-hours to serve the job's model on the chip and on the yardstick, in one sentence, and a second one where they
    are those of an assumption."""
    names = list(dict.fromkeys([found.rival.chip.id, found.chip.id]))
    served = serving_costs.costs(found.job.model_id, names)
    costs = served.set_index("chip")["chip_hours_per_mtok"]
    told = [
        f"{chip_catalog.chip(name).name} {digits(costs[name]) if name in costs.index else 'does not reach that speed by the middle estimate'}"
        for name in names
    ]
    return (
        f"Chip-hours to serve a million tokens of {found.job.named}, at {digits(serving_costs.SPEED)} tokens a second for "
        f"each user: {'; '.join(told)}.{serving_costs.assumed_words(served)}"
    )


def price_to_pay(found: Report) -> float:
    """Hourly price over the yardstick's at which a move would just pay for the buyer in the middle of the range."""
    return found.advantage / found.needed.quantiles_in_use[1]
