"""Training runs on record."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog import tables


def on_other_chips() -> pd.DataFrame:
    """Runs that trained a model from the start on other chips than Nvidia's: those rows of the table runs_non_nvidia."""
    frame = tables.load("runs_non_nvidia")
    return frame[frame["kind"].fillna("").str.contains("pretraining")]
