"""The model's chip-hours of whole runs against those that their owners published."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import goodput
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import tables
from training_moat.core.units import SECONDS_PER_HOUR
from training_moat.predict import training

HOURS = ("gpu_hours",)
QUANTITIES = ("training", "pretraining")
CUSTOMARY_CHIPS = 1024
"""Chips of a run that does not say how many it used."""


def runs() -> pd.DataFrame:
    """Published chip-hours of runs whose model, chip and tokens the tables know."""
    frame = tables.load("training_costs")
    frame = frame[frame["category"].isin(HOURS) & frame["quantity"].isin(QUANTITIES)]
    return frame.dropna(subset=["model_id", "chip_id", "tokens_b", "value"]).reset_index(drop=True)


def against_published() -> pd.DataFrame:
    """Chip-hours by the model with its best plan and the published ones.

    Columns: model, chip, chips, tokens_b, published, predicted, low, high, error (predicted over published, less one),
    inside (whether the published figure lies in the range), source. Llama 2 and 3 trained in BF16, DeepSeek-V3 in FP8
    (their reports). The share of the hours that the steps take is the middle of the other sources' whole runs.
    """
    whole = goodput.runs()
    rows = []
    for row in runs().to_dict("records"):
        shape, chip = model_catalog.model(row["model_id"]), chip_catalog.chip(row["chip_id"])
        chips = int(row["n_chips"]) if not pd.isna(row["n_chips"]) else _chips_of(row["model_id"])
        precision = "fp8" if row["model_id"].startswith("deepseek-v3") else "bf16"
        request = {
            "model": row["model_id"],
            "chip": chip.id,
            "chips": chips,
            "precision": precision,
        }
        told = training.predict([request | {"seq_len": _sequence(row["model_id"])}])[0]
        if not told["ok"] or not told["fits"]:
            continue
        share = goodput.middle(whole[whole["source"] != row["source"]])
        hours = row["tokens_b"] * 1e9 / told["tokens_per_s_per_chip"] / SECONDS_PER_HOUR / share
        low, high = (
            told[end] / told["step_time_s"] for end in ("step_time_s_p05", "step_time_s_p95")
        )
        rows.append(
            {
                "model": shape.name,
                "chip": chip.name,
                "chips": chips,
                "tokens_b": row["tokens_b"],
                "published": row["value"],
                "predicted": hours,
                "low": hours * low,
                "high": hours * high,
                "error": hours / row["value"] - 1,
                "inside": bool(hours * low <= row["value"] <= hours * high),
                "source": row["source"],
            }
        )
    return pd.DataFrame(rows)


def _chips_of(model_id: str) -> int:
    """Chips of the run as the table of runs has them, else the customary number."""
    frame = tables.load("training_runs")
    known = frame.loc[frame["model_id"] == model_id, "chips"].dropna()
    return int(known.iloc[0]) if len(known) else CUSTOMARY_CHIPS


def _sequence(model_id: str) -> int:
    frame = model_catalog.frame().set_index("id")
    longest = frame.loc[model_id, "max_seq_len"]
    return int(min(longest, 8192)) if not pd.isna(longest) else 4096


def mean_error(found: pd.DataFrame) -> float:
    """Mean absolute error, as a share."""
    return float(np.abs(found["error"]).mean())
