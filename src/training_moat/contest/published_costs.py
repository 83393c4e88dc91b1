"""The model's chip-hours of whole runs against those that their owners published."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import goodput
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog


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
        hours, low, high = (
            row[name] / goodput.middle(others) for name in ("ideal_hours", "low", "high")
        )
        low, high = min(low, hours * least), max(high, hours * most)
        rows.append(
            {
                "model": model_catalog.model(row["model_id"]).name,
                "chip": chip_catalog.chip(row["chip_id"]).name,
                "chips": row["chips"],
                "tokens_b": row["tokens_b"],
                "published": row["hours"],
                "predicted": hours,
                "low": low,
                "high": high,
                "error": hours / row["hours"] - 1,
                "inside": bool(low <= row["hours"] <= high),
                "source": row["source"],
            }
        )
    return pd.DataFrame(rows)


def mean_error(found: pd.DataFrame) -> float:
    """Mean absolute error, as a share."""
    return float(np.abs(found["error"]).mean())
