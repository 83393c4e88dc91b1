"""How much of a run's hours go into steps that count: whole published runs against the model's step times."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog import tables
from training_moat.predict import training

HOURS = {"training": 1, "pretraining": 1}
"""Quantities of the costs table that are the chip-hours of a whole run."""
CUSTOMARY_CHIPS = 1024
"""Chips where a source does not say how many: hours hardly depend on them."""
BATCH_TOKENS = 4 * 2**20
"""Tokens per step of these runs (Touvron et al. 2023, sections 2.3 and 2.2; Dubey et al. 2024, table 4, to within four)."""
SEQUENCE = {"llama-": 2048, "llama2-": 4096, "llama3": 8192, "opt-": 2048, "deepseek": 4096}
"""Tokens of a sequence by the model's family, as their papers say."""


def runs() -> pd.DataFrame:
    """Whole runs whose hours, tokens, chips and model are published, with what pure step time would have taken.

    Columns: model, source, chip_id, tokens_b, hours (measured), ideal_hours (predicted, nothing lost), goodput.
    """
    frame = tables.load("training_costs")
    known = frame["quantity"].isin(HOURS) & frame["unit"].str.endswith("GPU-hours")
    whole = frame["model_id"].notna() & frame["tokens_b"].notna() & frame["chip_id"].notna()
    frame = frame[known & whole].reset_index(drop=True)
    frame["hours"] = frame["value"]
    answers = training.predict([_case(row) for row in frame.to_dict("records")])
    frame["ideal_hours"] = [one.get("chip_hours") for one in answers]
    frame = frame[frame["ideal_hours"].notna()].copy()
    frame["goodput"] = frame["ideal_hours"].astype(float) / frame["hours"]
    columns = ["model", "source", "chip_id", "tokens_b", "hours", "ideal_hours", "goodput"]
    return frame[columns].reset_index(drop=True)


def _case(row: dict) -> dict:
    seq_len = next((n for name, n in SEQUENCE.items() if row["model_id"].startswith(name)), 4096)
    chips = int(row["n_chips"]) if row["n_chips"] == row["n_chips"] else CUSTOMARY_CHIPS
    return {
        "model": row["model_id"],
        "chip": row["chip_id"],
        "chips": chips,
        "seq_len": seq_len,
        "global_batch": BATCH_TOKENS // seq_len,
        "precision": "fp8" if row["model_id"].startswith("deepseek") else None,
        "tokens_b": row["tokens_b"],
        "goodput": 1.0,
    }


def middle(frame: pd.DataFrame) -> float:
    """The middle over sources of what share of their hours their steps explain, at most one."""
    return min(float(frame.groupby("source")["goodput"].median().median()), 1.0)
