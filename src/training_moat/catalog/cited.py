"""Rows of evidence: which of them count, and which sources they cite."""

from __future__ import annotations

import pandas as pd

FIRST_HAND = ("yes", "partly")
"""Values of the column `confirmed` where the row was read, at least in part, in the source it names."""


def credible(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that count as evidence: all but those that are contested or that nobody could confirm."""
    return frame[frame["confirmed"] != "no"]


def cited(*frames: pd.DataFrame, column: str = "source") -> tuple[str, ...]:
    """Source keys in a column of some frames, once each, in order; cells may hold several, separated by ";"."""
    found = (
        key for frame in frames for cell in frame[column].dropna() for key in str(cell).split(";")
    )
    return tuple(dict.fromkeys(found))
