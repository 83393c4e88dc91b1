"""How much of the world's high-bandwidth memory a challenger's machines would have taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training_moat.contest import reference_jobs
from training_moat.contest.counterfactual import Split
from training_moat.contest.uptime_supply import hbm_gb, hbm_of, share_of, years

BUSINESS_CHIPS = 100_000
"""Chips a year that make a business of training: about what one large buyer installs (clusters of this size are in the
table of clusters)."""


def demand(found: Sequence[Split]) -> pd.DataFrame:
    """HBM of one run of the job of the day, and of a year's business, over what was shipped in the twelve months from the
    launch (or in the nearest year on record).

    Columns: chip, name, year (of the launch), hbm_gb, chips, run_share, business_share, maker_share (shares; blank where the chip has no
    HBM or cannot do the job; the last is what its maker gets of the scarce parts).
    """
    rows = []
    for one in found:
        chip = one.chip
        size, day = hbm_gb(chip), reference_jobs.launched(chip)
        per_chip = size / hbm_of(years(day)) if size else np.nan
        count = one.chips or np.nan
        shares = (count * per_chip, BUSINESS_CHIPS * per_chip, share_of(chip))
        rows.append((chip.id, chip.name, day.year, size, count, *shares))
    columns = ["chip", "name", "year", "hbm_gb", "chips", "run_share", "business_share"]
    return pd.DataFrame(rows, columns=[*columns, "maker_share"])
