"""The model's word on the audited races: how fast each pair of entries should have been."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.catalog import tables
from training_moat.contest.chip_factors import training_formats
from training_moat.predict import fastest_plans


def predicted_speeds(pairs: pd.DataFrame) -> np.ndarray:
    """Speed of each chip over its rival's by the model, for the pairs of `races.pairs`.

    Sequences a second at the length and batch of the chip's own entry over those of the rival's, each with the fastest
    plan and in the fastest format that the chip trains in. A task that trains adapters (LoRA) is asked with the rank and on
    the products that its benchmark sets (table benchmark_adapters). NaN where an entry does not tell its batch.
    """
    return np.array(_ratios(tuple(pairs["row_id"]), tuple(pairs["rival_row_id"])))


@tables.kept(lasting=True)
def _ratios(entries: tuple[str, ...], rivals: tuple[str, ...]) -> list[float]:
    rows = tables.load("training_measurements").set_index("row_id")
    adapters = tables.load("benchmark_adapters").set_index("model")
    ranks, targets = (rows["model"].map(adapters[name]) for name in ("lora_rank", "lora_targets"))
    rows = rows.assign(lora_rank=ranks.fillna(0), lora_targets=targets)
    speed = {name: _sequences_per_s(rows.loc[name]) for name in {*entries, *rivals}}
    return [speed[one] / speed[rival] for one, rival in zip(entries, rivals)]


def _sequences_per_s(entry: pd.Series) -> float:
    told = entry["model_id"] in model_catalog.all_models()
    if not told or pd.isna(entry["global_batch"]) or pd.isna(entry["seq_len"]):
        return np.nan
    name, chip = str(entry["model_id"]), chip_catalog.chip(str(entry["chip_id"]))
    whole = ("seq_len", "global_batch", "lora_rank")
    asked = {field: int(entry[field]) for field in whole} | {"top": 1}
    if asked["lora_rank"]:
        asked["lora_targets"] = entry["lora_targets"]
    steps = [
        fastest_plans(name, chip, int(entry["n_chips"]), precision=form, **asked)["step_time_s"]
        for form in training_formats(chip)
    ]
    return float(entry["global_batch"]) / min((float(step.min()) for step in steps), default=np.nan)
