"""Dates as the tables write them."""

from __future__ import annotations

import pandas as pd

FIRST_MONTHS = {"": 1, "Q1": 1, "Q2": 4, "Q3": 7, "Q4": 10, "H1": 1, "H2": 7}
"""First month of what may follow a year: nothing, a quarter or a half."""


def day(text: str) -> pd.Timestamp:
    """First day of a date given as year, quarter, half, month or day."""
    year, _, rest = str(text).partition("-")
    month = FIRST_MONTHS.get(rest)
    return pd.Timestamp(f"{year}-{month:02d}-01") if month else pd.Timestamp(text)


def in_years(year: str, month: str | None) -> float:
    """The middle of a month, or of a whole year, as a year with its fraction."""
    return int(year) + ((int(month) - 0.5) / 12 if month else 0.5)
