"""What a measured run's source leaves open, settled as a request that leaves it open is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from training_moat.calibrate import priors
from training_moat.core.plan import RECOMPUTE_LEVELS
from training_moat.core.workload import Transformer
from training_moat.predict import plan_search
from training_moat.predict.training_plans import TrainingCase, parse
from training_moat.predict.training_tables import rows_of

LAYOUT = ("chips", "tp", "pp", "dp", "ep", "cp", "zero_stage", "seq_len", "global_batch")
"""Whole numbers of a run that every usable row has."""
NO_SIZES = ("name", "params_given", "active_params_given")
"""What of a model is not its shape."""
LEVELS = {level: word for word, level in RECOMPUTE_LEVELS.items()}


def settle(frame: pd.DataFrame) -> pd.DataFrame:
    """Usable runs, those without a stated micro-batch with the one that a search takes, and with its interleaving and
    recomputation where these are not stated either: published runs are tuned, so that one sequence at a time, which
    nobody states, is a worse guess than the fastest plan that fits. What is fastest is told by the constants as they are
    expected before any run is looked at (`priors.expected`), so that no measured time decides it. Runs that accumulate no
    gradients have no choice; neither have those of which nothing fits."""
    left = frame["micro_batch_blank"] & pd.to_numeric(frame["accumulates"], errors="coerce").ne(0)
    if not left.any():
        return frame
    cases = [_case(row) for row in frame[left].to_dict("records")]
    best = plan_search.best(rows_of(cases, priors.expected()))
    rows, plan = frame.index[left][best.fits], best.at(np.flatnonzero(best.fits)).plan
    settled = frame.copy()
    settled.loc[rows, "micro_batch"] = plan.micro_batch
    for blank, column, found in (
        (frame["interleaving_blank"], "virtual_stages", plan.virtual_stages),
        (frame["recompute_level"].isna(), "recompute_level", plan.recompute),
    ):
        free = blank[rows].to_numpy(bool)
        settled.loc[rows[free], column] = np.asarray(found, float)[free]
    return settled


def _case(row: Mapping[str, Any]) -> TrainingCase:
    """A run as a request that says what its source does."""
    sizes = [name for name in Transformer.__dataclass_fields__ if name not in NO_SIZES]
    shape = {name: _whole(row[name]) for name in sizes if row[name]}
    level = row["recompute_level"]
    return parse(
        {
            "model": {"name": "row", **shape},
            "chip": row["chip_id"],
            "precision": row["format"],
            "software": row["label"],
            "flash_attention": bool(row["flash_attention"]),
            "sequence_parallel": bool(row["sequence_parallel"]),
            "expert_tp": _whole(row["expert_tp"]) or None,
            "virtual_stages": None if row["interleaving_blank"] else _whole(row["virtual_stages"]),
            "recompute": None if level != level else LEVELS[_whole(level)],
            **{name: _whole(row[name]) for name in LAYOUT},
        }
    )


def _whole(value: float) -> int | float:
    """The number as a whole one where it is."""
    return int(value) if value == int(value) else value
