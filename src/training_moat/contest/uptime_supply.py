r"""Two causes outside the machine: the share of a run's time that trains, and the wait for scarce parts.

A run's hours grow as one over its uptime. A maker who gets the share $s$ of the year's high-bandwidth memory $H$ waits
for the $G$ gigabytes that the run takes on the yardstick; a buyer to whom a year's delay is worth $v$ years of training
spend pays

$$1 + v \, \frac{G}{s \, H}$$

times the bill, where the run is the year's training. The need is the same for all, so that supply tells makers apart and
not memories; a chip without such memory waits for none. Shares are those of advanced packaging in 2025, the only year on
record in full, for every year.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import dates, scenario, tables
from training_moat.catalog.cited import cited
from training_moat.contest import reference_jobs
from training_moat.core.errors import InputError
from training_moat.core.machine import Chip
from training_moat.core.units import GIB
from training_moat.inquiry import switching
from training_moat.inquiry.uncertainty import Uncertain
from training_moat.inquiry.wording import percent

LAST_QUARTER = 10
"""Month in which the last quarter of a year begins."""

NEWCOMERS = "other"
"""Holder in the table of packaging whose share stands for makers that it does not name."""

HOLDERS = {"Google": "Broadcom"}
"""Whose share a maker's chips come out of where the table names its supplier."""


@dataclass(frozen=True)
class Level:
    """A factor on the cost of a job, and the ends of what is not known about it (relative to it)."""

    times: float
    low: float
    high: float
    words: str = ""


@tables.kept()
def uptimes() -> pd.DataFrame:
    """Published shares of a long run's time that trained, by chip. Columns: chip_id, run, share, source."""
    frame = tables.load("training_costs")
    frame = frame[frame["category"] == "goodput"]
    rows = []
    for row in frame.to_dict("records"):
        name = row["chip_id"] if isinstance(row["chip_id"], str) else row["chip"]
        with suppress(InputError):
            chip_id = chip_catalog.resolve(name)
            rows.append((chip_id, row["model"], row["value"] / 100, row["source"]))
    return pd.DataFrame(rows, columns=["chip_id", "run", "share", "source"])


@tables.kept()
def _uptimes_by_chip() -> pd.DataFrame:
    return uptimes().groupby("chip_id")["share"].agg(["min", "median", "max"])


def uptime(chip: Chip, yardstick: Chip) -> tuple[Level, Level]:
    """The hours of a run on a chip and on the yardstick over those of the usual run, by the published shares.

    Only where both are published do they differ: the troubles of the operator who told are not an advantage of whoever
    keeps silent. Else both are the usual, and the chip's range is that of all published shares.
    """
    shares = _uptimes_by_chip()
    usual = float(uptimes()["share"].median())
    if {chip.id, yardstick.id} <= set(shares.index):
        return _level(usual, *shares.loc[chip.id]), _level(usual, *shares.loc[yardstick.id])
    low, high = uptimes()["share"].quantile([0.05, 0.95])
    silent = chip.name if chip.id not in shares.index else yardstick.name
    words = f"the uptime of long runs on {silent} is not published"
    words += ": the usual one is taken for both"
    return replace(_level(usual, low, usual, high), words=words), Level(1.0, 1.0, 1.0)


def _level(usual: float, low: float, middle: float, high: float) -> Level:
    return Level(usual / middle, middle / high, middle / low)


@tables.kept()
def hbm_shipped() -> pd.DataFrame:
    """HBM in the accelerators that owners took up, by year on record to its end (table chip_counts).

    Columns: year, gb, low, high. A row that counts several chips together ("H100/H200") holds the mean memory of those that
    could be had by its end; chips of which the chips table knows no memory, a few per cent, are left out.
    """
    frame = tables.load("chip_counts").dropna(subset=["units_median"])
    named = frame["chip_id"].fillna(frame["chip"])
    pairs = list(zip(named, frame["end_date"], strict=True))
    size = {pair: _mean_hbm_gb(*pair) for pair in set(pairs)}
    gb = pd.Series([size[pair] for pair in pairs], index=frame.index)
    frame, gb = frame[gb > 0], gb[gb > 0]
    ends = {"gb": "units_median", "low": "units_p05", "high": "units_p95"}
    told = pd.DataFrame({name: frame[column] * gb for name, column in ends.items()})
    told = told.assign(year=dates.years(frame["start_date"]))
    whole = set(told.loc[frame["start_date"].str[5:7].astype(int) >= LAST_QUARTER, "year"])
    return told[told["year"].isin(whole)].groupby("year", as_index=False).sum()


def _mean_hbm_gb(named: str, end: str) -> float:
    """Mean HBM of the chips that a row counts by name, of those that could be had by its end; zero where none is known."""
    sizes = []
    for name in named.split("/"):
        with suppress(InputError):
            chip = chip_catalog.chip(chip_catalog.resolve(name))
            sizes.append((reference_jobs.start(chip) <= reference_jobs.day(end), hbm_gb(chip)))
    there = [gb for had, gb in sizes if had] or [gb for _, gb in sizes[:1]]
    return float(np.mean(there)) if there else 0.0


def hbm_gb(chip: Chip) -> float:
    """HBM of one chip in GiB; zero where it has none."""
    tier = chip.tier("hbm")
    return 0.0 if tier is None else tier.capacity_bytes / GIB


def hbm_of(year: float) -> float:
    """HBM shipped in the twelve months from a time in years (2023.5: from July 2023), or in the nearest year on record, in
    GiB: each year's evenly over its months."""
    world = hbm_shipped().set_index("year")["gb"]
    return float(np.interp(year, world.index, world))


def years(day: pd.Timestamp) -> float:
    """A day as a time in years, by its month."""
    return day.year + (day.month - 1) / 12


def _packaging() -> pd.DataFrame:
    """The rows of the table packaging_supply that share out advanced packaging."""
    frame = tables.load("packaging_supply")
    return frame[frame["quantity"] == "share of capacity"]


@tables.kept()
def packaging_shares() -> pd.Series:
    """Share of advanced packaging by holder in the earliest year on record (table packaging_supply)."""
    frame = _packaging()
    frame = frame[frame["period"] == frame["period"].min()]
    return frame.set_index("holder")["value_low"]


def _holder(chip: Chip) -> str:
    """Whose share the chip's maker gets: its own where the table names it, else a newcomer's."""
    maker = (chip.vendor.split() or [""])[0]
    named = [name for name in packaging_shares().index if name.lower() == maker.lower()]
    return named[0] if named else HOLDERS.get(maker, NEWCOMERS)


def share_of(chip: Chip) -> float:
    """Share of the scarce parts that the chip's maker gets, or that a newcomer would."""
    return float(packaging_shares()[_holder(chip)])


def wait_years(chip: Chip, needed_gb: float, year: float) -> float:
    """Years in which the maker's share of a year's HBM, from `year` on, comes to what is needed; none for a chip without."""
    return needed_gb / (share_of(chip) * hbm_of(year)) if hbm_gb(chip) else 0.0


@tables.kept()
def _delay_value() -> Uncertain:
    """Years of training spend that a year's delay is worth to a buyer."""
    return {item.name: item for item in switching.inputs()}["delay_value"]


def _maker(chip: Chip) -> str:
    """A chip's maker as a sentence names it, also where a scenario leaves it out."""
    unnamed = chip.vendor in ("", scenario.DEFAULTS["chips"]["vendor"])
    return f"the maker of {chip.name}" if unnamed else chip.vendor


def supply(chip: Chip, needed_gb: float, year: float) -> Level:
    """The cost of waiting for the memory of a run, as a factor on its bill."""
    wait = wait_years(chip, needed_gb, year)
    value = _delay_value()
    low, times, high = (1 + end * wait for end in (value.p05, value.median, value.p95))
    words = ""
    if wait and _holder(chip) == NEWCOMERS:
        words = (
            f"what share of the scarce parts {_maker(chip)} gets is not published: that of makers which "
            f"the table does not name is taken, {percent(share_of(chip))} of advanced packaging"
        )
    return Level(times, low / times, high / times, words)


def sources() -> tuple[str, ...]:
    """Source keys behind uptime and supply."""
    return cited(uptimes(), _packaging(), tables.load("chip_counts"))
