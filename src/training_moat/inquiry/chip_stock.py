"""The split of AI computing as the chips in use tell it, without any lab's books.

Every H100-equivalent in use can work 8,766 hours a year. Training takes at least

    hours = runs' FLOP x research multiplier / (MFU x peak x 3600)

of them (published runs only, so a floor); serving takes at least the world's counted tokens at
2 FLOP a parameter. What neither explains may be either, so its part in serving is drawn evenly between
none and all: the ends are bounds (Manski 1990), the middle is ignorance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import chips, dates, tables
from training_moat.core import lifecycle
from training_moat.core.units import SECONDS_PER_HOUR
from training_moat.inquiry import uncertainty

HOURS_PER_YEAR = 24 * lifecycle.DAYS_PER_YEAR
YEARS = (2022, 2023, 2024, 2025)
"""Years with a full count of the chips sold."""
CAPTIVE = ("Google", "Amazon")
"""Makers whose chips nobody else can buy."""
REFERENCE_CHIP = "h100-sxm"
INPUTS = ("mfu_training", "mfu_inference", "rnd_multiplier", "active_params_b", "cache_share")


@dataclass(frozen=True)
class Stock:
    """A year of the world's chips, one value a draw: hours that could be worked (`hours`), parts of them
    that published training (`training`) and counted tokens (`serving`) explain, and the share of
    inference with the rest drawn evenly (`share`)."""

    year: int
    hours: np.ndarray
    training: np.ndarray
    serving: np.ndarray
    share: np.ndarray

    @property
    def ceiling(self) -> np.ndarray:
        """Share of inference if every chip that no published run explains did serve."""
        return 1 - self.training


def counts() -> pd.DataFrame:
    """The rows of the table chip_counts of the years with a full count, with their `year`."""
    frame = tables.load("chip_counts")
    frame = frame.assign(year=dates.years(frame["end_date"]))
    return frame[frame["year"].isin(YEARS)]


def sold() -> pd.DataFrame:
    """H100-equivalents sold, by the end of each year since 2022 and in it. Columns: year, merchant,
    captive (in the year), stock (all so far)."""
    frame = counts()
    captive = frame["manufacturer"].isin(CAPTIVE)
    units = frame["h100_equivalents_median"]
    sides = {"merchant": units[~captive], "captive": units[captive]}
    summed = {side: own.groupby(frame["year"]).sum() for side, own in sides.items()}
    found = pd.DataFrame(summed).fillna(0.0)
    found["stock"] = (found["merchant"] + found["captive"]).cumsum()
    return found.reset_index()


def older(which: int = YEARS[0]) -> str:
    """What the hours of a year lack because chips sold before the first of `YEARS` are not in the count, with a blank before
    it, to stand behind another sentence; nothing for a later year, which lacks less."""
    if which != YEARS[0]:
        return ""
    return (
        f" Chips sold before {which} are not in the count: "
        f"the hours of {which} are too few, and what is explained of them is too much."
    )


def operational() -> uncertainty.Uncertain:
    """Share of the chips sold that run: from the lower of the two fleets with an estimate to the higher."""
    frame = tables.load("lab_ledgers")
    frame = frame[frame["item"] == "operational_share"]
    middle = float(frame["value"].mean())
    low, high = float(frame["p05"].min()), float(frame["p95"].max())
    return uncertainty.Uncertain("operational_share", low, middle, high, "share", 0.0, 1.0)


def fleets_share() -> float:
    """Share of the chips running at the end of the last year of `YEARS` that labs with a known fleet use."""
    ledger = tables.load("lab_ledgers")
    known = ledger[(ledger["item"] == "chips_in_use") & (ledger["year"] == YEARS[-1])]
    running = sold()["stock"].iloc[-1] * operational().median
    return float(known["value"].sum() / running)


def bf16_peak(chip_id: str = REFERENCE_CHIP) -> float:
    """Dense BF16 rate of a chip in FLOP/s."""
    return chips.chip(chip_id).peak_flops["bf16"]


def year(which: int, draws: int, seed: int = 0) -> Stock:
    """The world's chips in a year of `YEARS`: what is explained, what is not."""
    frame = tables.load("assumptions").set_index("name", drop=False)
    inputs = [uncertainty.of_row(frame.loc[name]) for name in INPUTS] + [operational()]
    drawn = uncertainty.sample(inputs, draws, seed)
    stock = sold().set_index("year")["stock"]
    average = (float(stock.get(which - 1, 0.0)) + float(stock[which])) / 2
    hours = average * drawn["operational_share"] * HOURS_PER_YEAR
    per_hour = bf16_peak() * SECONDS_PER_HOUR
    training = known_runs(which) * drawn["rnd_multiplier"] / (drawn["mfu_training"] * per_hour)
    tokens = tokens_of(which) * (1 - drawn["cache_share"])
    flop = tokens * lifecycle.forward_flop_per_token(1e9 * drawn["active_params_b"])
    serving = flop / (drawn["mfu_inference"] * per_hour)
    taken = np.maximum(1.0, (training + serving) / hours)
    training, serving = training / hours / taken, serving / hours / taken
    even = np.random.default_rng([seed, which, 3]).random(draws)
    share = serving + (1 - training - serving) * even
    return Stock(which, hours, training, serving, share)


def notable_runs() -> pd.DataFrame:
    """Notable runs with an estimate of their FLOP; a later version of a model repeats the FLOP of its
    base and is counted once."""
    runs = tables.load("training_runs").dropna(subset="training_flop")
    return runs.drop_duplicates(["organisation", "training_flop"])


def known_runs(which: int) -> float:
    """FLOP of all notable runs of a year."""
    runs = notable_runs()
    return float(runs[dates.years(runs["date"]) == which]["training_flop"].sum())


def tokens_of(which: int) -> float:
    """Tokens served by the world in a year, at the daily rate of its last outside estimate; 0 without one."""
    served = tables.load("tokens_served")
    served = served[(served["organisation"] == "World") & (served["basis"] == "estimate")]
    served = served[dates.years(served["date"]) == which]
    per_day = float(served["tokens_per_day"].iloc[-1]) if len(served) else 0.0
    return per_day * lifecycle.DAYS_PER_YEAR


def explained(draws: int, seed: int = 0) -> pd.DataFrame:
    """What the hours of all chips can be traced to, medians by year. Columns: year, work, share."""
    rows = []
    for which in YEARS:
        found = year(which, draws, seed)
        training, serving = float(np.median(found.training)), float(np.median(found.serving))
        parts = {
            "published training, research included": training,
            "tokens counted": serving,
            "neither: may be both": 1 - training - serving,
        }
        rows += [{"year": str(which), "work": name, "share": part} for name, part in parts.items()]
    return pd.DataFrame(rows)
