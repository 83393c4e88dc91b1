"""How much of a run's hours go into steps that count: whole published runs against the model's step times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from training_moat.calibrate import source_intervals
from training_moat.catalog import tables
from training_moat.predict import training
from training_moat.predict.training_plans import CUSTOMARY_BATCH_TOKENS

HOURS = ("training", "pretraining")
"""Quantities of the costs table that are the chip-hours of a whole run."""
CUSTOMARY_CHIPS = 1024
"""Chips where a source does not say how many: hours hardly depend on them."""


def published() -> pd.DataFrame:
    """The rows of the costs table with the chip-hours of a whole run whose tokens and way of training are known."""
    frame = tables.load("training_costs")
    known = frame["quantity"].isin(HOURS) & frame["unit"].str.endswith("GPU-hours")
    whole = frame["tokens_b"].notna() & frame["chip_id"].notna() & frame["value"].notna()
    own = frame["model_id"].isin(tables.load("whole_runs")["model_id"])
    return frame[known & whole & own].reset_index(drop=True)


def request(run: Mapping[str, Any]) -> dict[str, Any]:
    """What the model is asked of one of `published`: the run as its owner trained it (table whole_runs: batch, format,
    stack), with the fastest plan, since few say how they laid it out."""
    own = tables.load("whole_runs").set_index("model_id").loc[run["model_id"]].dropna()
    chips = int(run["n_chips"]) if run["n_chips"] == run["n_chips"] else _chips_of(run["model_id"])
    batch = own.get("batch_tokens", CUSTOMARY_BATCH_TOKENS)
    said = {name: own[name] for name in ("precision", "software", "released") if name in own}
    return {
        "model": run["model_id"],
        "chip": run["chip_id"],
        "chips": chips,
        "seq_len": int(own["seq_len"]),
        "global_batch": int(batch // own["seq_len"]),
        "tokens_b": run["tokens_b"],
        "goodput": 1.0,
        **said,
    }


def _chips_of(model_id: str) -> int:
    """Chips of the run as the table of runs has them, to the nearest power of two, over which batches divide; else the
    customary number."""
    frame = tables.load("training_runs")
    known = frame.loc[frame["model_id"] == model_id, "chips"].dropna()
    return 2 ** round(math.log2(known.iloc[0])) if len(known) else CUSTOMARY_CHIPS


def runs() -> pd.DataFrame:
    """Whole runs whose hours, tokens, chips and model are published, with what pure step time would have taken.

    Columns: model, model_id, source, chip_id, chips, tokens_b, hours (measured), ideal_hours (predicted, nothing lost), low,
    high (the prediction's range), goodput.
    """
    frame = published()
    asked = [request(row) for row in frame.to_dict("records")]
    answers = training.predict(asked)
    able = [bool(one["ok"] and one["fits"]) for one in answers]
    told = [one for one, good in zip(answers, able, strict=True) if good]
    frame = frame.assign(chips=[one["chips"] for one in asked], hours=frame["value"])[able]
    frame["ideal_hours"] = [float(one["chip_hours"]) for one in told]
    for name, end in (("low", "step_time_s_p05"), ("high", "step_time_s_p95")):
        frame[name] = [one["chip_hours"] * one[end] / one["step_time_s"] for one in told]
    frame["goodput"] = frame["ideal_hours"] / frame["hours"]
    columns = ["model", "model_id", "source", "chip_id", "chips", "tokens_b", "hours"]
    return frame[[*columns, "ideal_hours", "low", "high", "goodput"]].reset_index(drop=True)


def owners(frame: pd.DataFrame) -> pd.Series:
    """How many of the sources of whole runs each owner published, most first. frame: as `runs`."""
    publishers = tables.load("sources").set_index("key")["publisher"]
    return publishers.loc[frame["source"].unique()].value_counts()


def middle(frame: pd.DataFrame) -> float:
    """The middle over sources of what share of their hours their steps explain, at most one."""
    return min(float(frame.groupby("source")["goodput"].median().median()), 1.0)


def hours_range(frame: pd.DataFrame) -> tuple[float, float]:
    """Factors on the hours of steps and `middle` goodput that hold nine in ten of another owner's whole runs.

    What owners count differs more than steps do: failed runs, experiments, later stages of training. It is the
    prediction interval of `source_intervals` over the hours themselves, each source with the same weight.
    """
    logs = -np.log(frame["goodput"])
    found = source_intervals.scatter(logs, frame["source"])
    low, high = (end - found.middle for end in found.bounds)
    reach = max(-low, high)
    return math.exp(-reach), math.exp(reach)
