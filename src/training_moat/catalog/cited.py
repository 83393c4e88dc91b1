"""Which sources some rows of evidence cite."""

from __future__ import annotations

import pandas as pd


def cited(*frames: pd.DataFrame, column: str = "source") -> tuple[str, ...]:
    """Source keys in a column of some frames, once each, in order; cells may hold several, separated by ";"."""
    found = (
        key for frame in frames for cell in frame[column].dropna() for key in str(cell).split(";")
    )
    return tuple(dict.fromkeys(found))
