"""The published record of low-precision training: which rows count, by width of format, weighted by source."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from training_moat.catalog.cited import credible

_WIDTHS = (
    ("4 bits", r"FP4|E2M1|HiF4"),
    ("8 bits", r"FP8|E[45]M[23]|INT8|E8M7"),
    ("FP16", r"FP16"),
    ("BF16", r"BF16|CB16"),
)
WIDTHS = tuple(width for width, _ in _WIDTHS)
"""Classes of number formats, narrowest first."""


def width(text: str | float) -> str | None:
    """Class of a format as sources write it, None where none is named; the narrowest counts."""
    if not isinstance(text, str):
        return None
    named = text.split("(no")[0].split("not stated")[0]
    return next((name for name, pattern in _WIDTHS if re.search(pattern, named)), None)


def runs(table: pd.DataFrame, counting: pd.DataFrame) -> pd.DataFrame:
    """The rows that report on a training run, one row a run, unconfirmed ones left out.

    table: low_precision_runs. counting: low_precision_counting, which says of the rows that are no training
    run, or repeat one, why they do not count. Adds the column `width`.
    """
    left_out = counting[counting["counts"] == "no"]["row"]
    kept = credible(table[~table["row_id"].isin(left_out)])
    return kept.assign(width=kept["format_forward"].map(width))


def houses(frame: pd.DataFrame) -> pd.Series:
    """The house that each row's organisation names first."""
    return frame["organisation"].str.replace(r"\s*[(/].*", "", regex=True).str.strip()


def by_source(frame: pd.DataFrame) -> pd.Series:
    """Weight of each row: its house counts once, however many runs it reports."""
    house = houses(frame)
    return 1.0 / house.groupby(house).transform("size")


def lockin(frame: pd.DataFrame) -> pd.DataFrame:
    """What the counted runs say about recipes being tied to a chip, by width of format.

    frame: as `runs`. Columns: width, supports, against, both, neutral (runs), share (of those that take a
    side, which find recipes tied, by source).
    """
    sides = ["supports", "against", "both", "neutral"]
    found = frame.groupby(["width", "bearing"]).size().unstack(fill_value=0)
    table = found.reindex(index=WIDTHS, columns=sides, fill_value=0)
    decided = frame[frame["bearing"].isin(sides[:2])]
    shares = {}
    for name, group in decided.groupby("width"):
        weights = by_source(group)
        shares[name] = float((weights * (group["bearing"] == "supports")).sum() / weights.sum())
    return table.assign(share=[shares.get(name, np.nan) for name in table.index]).reset_index()
