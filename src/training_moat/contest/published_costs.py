"""The model's chip-hours of whole runs against those that their owners published."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import goodput
from training_moat.catalog import chips as chip_catalog


def against_published() -> pd.DataFrame:
    """Chip-hours by the model, asked as the owner trained (batch, format, stack) with its best plan, and the published ones.

    Columns: model, chip, chips, tokens_b, published, predicted, low, high, error (predicted over published, less one),
    inside (whether the published figure lies in the range), source. The share of the hours that the steps take and how far
    a run's hours may lie from it are those of the other sources' whole runs, or the range of its steps where that is wider.
    """
    whole = goodput.runs()
    rows = []
    for row in whole.to_dict("records"):
        others = whole[whole["source"] != row["source"]]
        least, most = goodput.hours_range(others)
        share = goodput.middle(others)
        hours, low, high = (row[name] / share for name in ("ideal_hours", "low", "high"))
        low, high = min(low, hours * least), max(high, hours * most)
        names = row["model"], chip_catalog.chip(row["chip_id"]).name
        inside = bool(low <= row["hours"] <= high)
        told = (row["chips"], row["tokens_b"], row["hours"], hours, low, high)
        rows.append((*names, *told, hours / row["hours"] - 1, inside, row["source"]))
    columns = ["model", "chip", "chips", "tokens_b", "published", "predicted", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "error", "inside", "source"])


def mean_error(found: pd.DataFrame) -> float:
    """Mean absolute error, as a share."""
    return float(np.abs(found["error"]).mean())
