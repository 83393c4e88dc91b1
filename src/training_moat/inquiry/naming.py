"""Chips, models and columns for readers: names in place of ids."""

from __future__ import annotations

import pandas as pd

from training_moat.catalog import chips, models

CHIP_COLUMNS, MODEL_COLUMNS = ("chip", "chip_id"), ("model", "model_id")
"""Columns that hold ids of the tables of chips and of models."""

LABELS = {
    "hbm_gb": "High-bandwidth memory (HBM)",
    "ddr_gb": "DDR or LPDDR, or an outside store of weights",
    "ddr_gb_per_s": "Bandwidth of the DDR or of that store",
    "tdp_w": "Thermal design power (of a wafer: its system)",
    "supports_training": "Offered by its maker for training",
}
"""Names of columns whose description in the data package is too long, or leans on its neighbour, for a data sheet."""


def column_words(column: str, described: str) -> str:
    """A column of the chips table in few words. described: what the data package says of it."""
    return LABELS.get(column, described.split(".")[0].split(",")[0])


def name_of(word: str) -> str:
    """The name of the chip or the model with this id; any other word as it is."""
    known = chips.all_chips().get(word) or models.all_models().get(word)
    return known.name if known else word


def named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with chips and models by name wherever such a column holds an id; other words stay as they are."""
    found = {
        column: frame[column]
        .map({name: one.name for name, one in known.items()})
        .fillna(frame[column])
        for columns, known in (
            (CHIP_COLUMNS, chips.all_chips()),
            (MODEL_COLUMNS, models.all_models()),
        )
        for column in columns
        if column in frame
    }
    return frame.assign(**found)
