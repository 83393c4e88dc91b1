"""Dates as the tables write them: years, halves, quarters, months and days."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import pandas as pd

_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?:(?P<month>\d\d)(?:-(?P<day>\d\d))?|Q(?P<quarter>\d)|H(?P<half>\d)|(?P<end>end)))?$"
)
_MONTHS = {"month": 1, "quarter": 3, "half": 6}


def _read(date: object) -> tuple[int, int, int, int] | None:
    """(year, first month, its day or 0 where none is given, number of months); None where there is no date. The end of a
    year has no months."""
    found = _DATE.match(date) if isinstance(date, str) else None
    if found is None:
        return None
    year = int(found["year"])
    for part, months in _MONTHS.items():
        if found[part]:
            return year, months * (int(found[part]) - 1) + 1, int(found["day"] or 0), months
    return (year, 13, 0, 0) if found["end"] else (year, 1, 0, 12)


def day(date: object) -> pd.Timestamp:
    """First day of a date."""
    read = _read(date)
    if read is None:
        return pd.Timestamp(date)
    year, month, its_day, _ = read
    return pd.Timestamp(f"{year}-{month:02d}-{its_day or 1:02d}")


@lru_cache(maxsize=8192)
def span(date: object) -> tuple[float, float]:
    """First and last moment of a date in years; NaN where there is none."""
    read = _read(date)
    if read is None:
        return np.nan, np.nan
    year, month, its_day, months = read
    start = year + (month - 1) / 12
    if its_day:
        start += (its_day - 1) / 365
        return start, start + 1 / 365
    return start, year + (month - 1 + months) / 12


def years(dates: pd.Series) -> pd.Series:
    """Years of dates, as whole numbers."""
    return dates.str[:4].astype(int)


def starts(dates: pd.Series) -> pd.Series:
    """First moments of dates, in years."""
    return dates.map(lambda date: span(date)[0]).astype(float)


def ends(dates: pd.Series) -> pd.Series:
    """Last moments of dates, in years."""
    return dates.map(lambda date: span(date)[1]).astype(float)


def middle(date: object) -> float:
    """The middle of a date's month, or of its year where it has none, as a year with its fraction; NaN where there is no
    date."""
    read = _read(date)
    if read is None:
        return np.nan
    year, month, _, months = read
    return year + ((month - 0.5) / 12 if months == 1 else 0.5)
