"""How much of the world's high-bandwidth memory a challenger's machines would have taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.contest import reference_jobs
from training_moat.contest.counterfactual import Split
from training_moat.contest.scorecard import card
from training_moat.core.units import GIB

BUSINESS_CHIPS = 100_000
"""Chips a year that make a business of training: about what one large buyer installs (clusters of this size are in the
table of clusters)."""

LAST_QUARTER = 10
"""Month in which the last quarter of a year begins."""


def shipped() -> pd.DataFrame:
    """HBM in the accelerators that owners took up, by year on record to its end (table chip_counts).

    Columns: year, gb, low, high.
    """
    frame = tables.load("chip_counts").dropna(subset=["chip_id", "units_median"])
    size = {
        name: chip.tier("hbm").capacity_bytes / GIB
        for name, chip in chip_catalog.all_chips().items()
        if chip.tier("hbm")
    }
    frame = frame[frame["chip_id"].isin(size)]
    gb = frame["chip_id"].map(size)
    ends = {"gb": "units_median", "low": "units_p05", "high": "units_p95"}
    told = pd.DataFrame({name: frame[column] * gb for name, column in ends.items()})
    told = told.assign(year=frame["start_date"].str[:4].astype(int))
    whole = set(told.loc[frame["start_date"].str[5:7].astype(int) >= LAST_QUARTER, "year"])
    return told[told["year"].isin(whole)].groupby("year", as_index=False).sum()


def demand(found: Sequence[Split]) -> pd.DataFrame:
    """HBM of one run of the job of the day, and of a year's business, over what was shipped in the year of launch (or the nearest year on record).

    Columns: chip, name, year, hbm_gb, chips, run_share, business_share (shares; blank where the chip has no HBM, cannot do
    the job, or nothing is on record for the year).
    """
    known, world, rows = chip_catalog.all_chips(), shipped().set_index("year")["gb"], []
    for one in found:
        chip = known[one.chip]
        hbm, year = chip.tier("hbm"), reference_jobs.launched(chip).year
        size = 0.0 if hbm is None else hbm.capacity_bytes / GIB
        run = card(chip, reference_jobs.job(one.job)).run if size else None
        supply = (
            float(world[min(max(year, world.index.min()), world.index.max())]) if size else np.nan
        )
        chips = np.nan if run is None else run.chips
        rows.append(
            (
                one.chip,
                one.name,
                year,
                size,
                chips,
                chips * size / supply,
                BUSINESS_CHIPS * size / supply,
            )
        )
    columns = ["chip", "name", "year", "hbm_gb", "chips", "run_share", "business_share"]
    return pd.DataFrame(rows, columns=columns)
