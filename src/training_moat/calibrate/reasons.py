"""Why measured rows cannot be compared with a prediction: the first reason counts, and nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from training_moat.catalog import models

Reason = tuple[pd.Series, str]
"""Where a reason holds, and what it says; where it is not known whether it holds, it does not."""


WAITING = "waits for the next fit: its model came into the models table after the last one"
"""Why a run is left out whose source names a model that the table has, while the run's own row has no `model_id` yet."""


def waiting(model_ids: pd.Series, words: pd.Series) -> Reason:
    """The reason of runs that nobody has tied to a model of the table (`model_ids` is blank), though the name that their
    sources give it (`words`) means one: whoever fits next fills in `model_id`."""
    known = {name: models.known(name) for name in words.dropna().unique()}
    return model_ids.isna() & words.map(known).eq(True), WAITING


def first(index: pd.Index, reasons: Iterable[Reason]) -> pd.Series:
    """The first reason that holds for each row; empty where none does."""
    found = pd.Series("", index=index)
    for holds, words in reasons:
        found[(found == "") & holds.fillna(False).astype(bool)] = words
    return found


def usable(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that a prediction can be compared with: those without a reason in their column `unusable`."""
    return rows[rows["unusable"] == ""].drop(columns="unusable").reset_index(drop=True)


def left_out(rows: pd.DataFrame) -> pd.DataFrame:
    """How many rows of each source cannot be used, by reason."""
    dropped = rows[rows["unusable"] != ""].rename(columns={"unusable": "reason"})
    return dropped.groupby(["source", "reason"]).size().rename("rows").reset_index()
