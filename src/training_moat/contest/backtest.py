"""Would the model have known? Who could have trained a frontier model competitively, year by year, and who did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import dates, tables
from training_moat.contest import chip_hours, gates, reference_jobs, single_changes
from training_moat.contest.uptime_supply import hbm_gb
from training_moat.core.machine import Chip
from training_moat.inquiry import chronicle
from training_moat.inquiry.chronicle import INCUMBENT

YEARS = tuple(range(2018, 2027))
MID_YEAR = "07-01"
"""A year is judged by its middle: the chips that could be had by then, and the job of that day."""

NOT_OLDER = 4
"""Years after its launch in which a chip still counts as its maker's offer."""

COMPETITIVE = 2.0
"""A chip is competitive up to so many times the yardstick's cost: buyers put up with that much for supply or for a chip of
their own (the model's range on chips without measured runs is about as wide)."""

LEAST_FLOP = 1e23
"""Runs counted as frontier training: about the size of GPT-3 and above."""

OUTCOMES = {
    (True, True): "hit",
    (False, True): "missed",
    (True, False): "false alarm",
    (False, False): "rightly left out",
}
"""What came of a forecast: whether a maker was called competitive, and whether its chips were used."""


@dataclass(frozen=True)
class Offer:
    """The best offer of one maker in one year: its gap to the yardstick, Nvidia's chip `against`, and the gate it stops at, if
    any."""

    year: int
    vendor: str
    chip: str
    against: str
    gap: float
    unit: str
    stops_at: str
    hbm_gb: float


@tables.kept(copied=True)
def runs(least_flop: float = LEAST_FLOP) -> pd.DataFrame:
    """Training runs on record of at least that size. Columns: year, vendor, model, organisation, training_flop, own, source.

    `own`: whether the chip's maker ran it itself. A model counts once.
    """
    other = chronicle.pretraining_elsewhere()
    others = other.assign(own=other["vendor_own_run"] == "yes")
    parts = [tables.load("training_runs").assign(own=False), others]
    columns = ["date", "model", "organisation", "hardware", "training_flop", "own", "source"]
    frame = pd.concat([part[columns] for part in parts], ignore_index=True)
    years = dates.years(frame["date"])
    frame = frame.assign(vendor=chronicle.maker_of(frame["hardware"]), year=years)
    frame = frame.dropna(subset=["vendor", "training_flop"])
    frame = frame[(frame["training_flop"] >= least_flop) & frame["year"].isin(YEARS)]
    return frame.drop_duplicates("model").reset_index(drop=True)


def offered_in(year: int) -> list[Chip]:
    """Chips of the table that could be had in the middle of a year and are not much older."""
    day = pd.Timestamp(f"{year}-{MID_YEAR}")
    sold = reference_jobs.listed() - reference_jobs.cut_for_export()
    dated = ((chip, reference_jobs.launch(chip)) for chip in chip_catalog.all_chips().values())
    oldest = day - pd.DateOffset(years=NOT_OLDER)
    return [chip for chip, start in dated if chip.id in sold and start and oldest <= start <= day]


@tables.kept()
def offers(priced: bool = True) -> list[Offer]:
    """Every maker's best offer in every year by the gap to the yardstick of the year, which is Nvidia's own.

    priced: whether a gap is in dollars where prices of one kind are known for both chips, or always in chip-days."""
    found: list[Offer] = []
    days = [pd.Timestamp(f"{year}-{MID_YEAR}") for year in YEARS]
    chips = [[reference_jobs.yardstick(day), *offered_in(day.year)] for day in days]
    jobs = [reference_jobs.of_day(day) for day in days]
    asked = [(chip, job) for own, job in zip(chips, jobs, strict=True) for chip in own]
    hours = iter(single_changes.kept_hours(asked))
    for year, (rival, *own) in zip(YEARS, chips, strict=True):
        base = next(hours)
        # Nvidia's offer is the yardstick: what other chips of its own cost is told by sellers of another kind.
        best = {INCUMBENT: _offer(year, rival, rival, base, base)}
        for chip in own:
            offer = _offer(year, chip, rival, next(hours), base, priced)
            if offer.vendor == INCUMBENT:
                continue
            # Of chips none of which can, the newest stands for its maker.
            if offer.vendor not in best or offer.gap <= best[offer.vendor].gap:
                best[offer.vendor] = offer
        found += [best[name] for name in sorted(best)]
    return found


def _offer(
    year: int, chip: Chip, rival: Chip, hours: float, base: float, priced: bool = True
) -> Offer:
    own = chip.id == rival.id
    prices = chip_hours.pair(chip, rival) if priced and not own else None
    shut = gates.software(chip)
    stops = "software" if shut.passed == gates.NO else ""
    stops = stops if np.isfinite(hours) else "doing it in time"
    vendor = INCUMBENT if chip.family.startswith(reference_jobs.YARDSTICK_FAMILIES) else chip.vendor
    unit = "dollars" if prices else "chip-days"
    gap = hours * chip_hours.ratio(prices) / base
    return Offer(year, vendor, chip.name, rival.name, gap, unit, stops, hbm_gb(chip))


def by_year(least_flop: float = LEAST_FLOP, priced: bool = True) -> pd.DataFrame:
    """Predictions and facts, one row per maker and year, of the years with a run on record. priced: as `offers`.

    Columns: year, vendor, chip, against, gap, unit, stops_at, hbm_gb, competitive (the model's forecast), runs (on record),
    used, share (of the year's runs), outcome (a word of `OUTCOMES`).
    """
    frame = pd.DataFrame([vars(one) for one in offers(priced)])
    counted = runs(least_flop).groupby(["year", "vendor"]).size().rename("runs").reset_index()
    frame = frame.merge(counted, how="left", on=["year", "vendor"])
    frame["runs"] = frame["runs"].fillna(0).astype(int)
    total = frame.groupby("year")["runs"].transform("sum")
    frame, total = frame[total > 0].reset_index(drop=True), total[total > 0]
    frame["share"] = frame["runs"].to_numpy() / total.to_numpy()
    frame["competitive"] = (frame["gap"] <= COMPETITIVE) & (frame["stops_at"] == "")
    frame["used"] = frame["runs"] > 0
    pairs = zip(frame["competitive"], frame["used"], strict=True)
    return frame.assign(outcome=[OUTCOMES[pair] for pair in pairs])


Rule = Callable[[pd.DataFrame], pd.Series]

RULES: dict[str, tuple[Rule, Rule]] = {
    "the model": (
        lambda frame: -np.log(frame["gap"].clip(upper=1e6)) - 10.0 * (frame["stops_at"] != ""),
        lambda frame: frame["competitive"],
    ),
    "Nvidia always": (
        lambda frame: (frame["vendor"] == INCUMBENT).astype(float),
        lambda frame: frame["vendor"] == INCUMBENT,
    ),
    "largest HBM": (
        lambda frame: frame["hbm_gb"],
        lambda frame: frame["hbm_gb"] == frame.groupby("year")["hbm_gb"].transform("max"),
    ),
}
"""The model's rule and two that need no model: the score of a maker in a year, higher for who should train more, and whether
it is said to train."""


def rank_correlations(frame: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation of each rule's score with the share of runs, within years.

    Scores and shares are ranked inside each year first, so that no rule gains by knowing that later years have more runs.
    Columns: rule, correlation, low, high (90% by drawing years anew), right (share of makers and years called rightly).
    """
    rows = []
    for rule, (score, said) in RULES.items():
        ranked = frame.assign(score=score(frame))
        ranked["score"] = ranked.groupby("year")["score"].rank()
        ranked["truth"] = ranked.groupby("year")["share"].rank()
        middle = _rank_correlation(ranked[["score", "truth"]].to_numpy())
        low, high = _resampled(ranked)
        right = float((said(frame) == frame["used"]).mean())
        rows.append((rule, middle, low, high, right))
    return pd.DataFrame(rows, columns=["rule", "correlation", "low", "high", "right"])


def _rank_correlation(pairs: np.ndarray) -> float:
    """Spearman's, of two columns."""
    return float(np.corrcoef(pd.DataFrame(pairs).rank().to_numpy(), rowvar=False)[0, 1])


def _resampled(ranked: pd.DataFrame) -> tuple[float, float]:
    years = {year: part[["score", "truth"]].to_numpy() for year, part in ranked.groupby("year")}
    generator = np.random.default_rng(0)
    found = []
    for _ in range(400):
        chosen = generator.choice(list(years), len(years))
        found.append(_rank_correlation(np.concatenate([years[year] for year in chosen])))
    low, high = np.nanquantile(found, (0.05, 0.95))
    return float(low), float(high)
