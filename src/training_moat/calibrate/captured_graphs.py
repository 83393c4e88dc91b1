"""What of each measured run's layers graphs played back without their launches: as the row says, else as the recipe that was
published for it does (table training_graphs), else as its software usually does."""

from __future__ import annotations

import pandas as pd

from training_moat.calibrate.dispatchers import covered
from training_moat.catalog import tables
from training_moat.core.plan import GRAPH_LEVELS
from training_moat.predict import software

TABLE = "training_graphs"

SAID = {
    "partial": "graphs of (?:attention|router)|attention in graphs|CUDA graphs attn|partial CUDA graphs",
    "whole": "local graphs|(?:whole step as )?one graph",
    "none": "no (?:CUDA )?graph|graphs off",
}
"""How a row's notes name what was captured."""


def levels(frame: pd.DataFrame) -> pd.Series:
    """A level of `GRAPH_LEVELS` for every run, which has a `label` of software, a `source`, its `table_ref`, a `model_id`, a
    `chip_id`, a `format` and `notes`."""
    found = software.of_labels(frame["label"], "graphs").fillna(0.0)
    for line in tables.load(TABLE).itertuples():
        found[covered(frame, line)] = GRAPH_LEVELS[line.graphs]
    notes = frame["notes"].fillna("").str
    for level, words in SAID.items():
        found[notes.contains(words)] = GRAPH_LEVELS[level]
    return found
