"""Choosing among many rows of numbers at once: the lowest of each, and one of each different kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

LARGEST_CODE = 1_000_000
"""Whole numbers up to which a table of all of them is faster than sorting."""


def lowest(values: np.ndarray, counts: np.ndarray, few: int) -> np.ndarray:
    """Where the values are among the `few` lowest of each row, or as low as those."""
    ends = np.cumsum(counts)
    found = np.ones(len(values), bool)
    for start, end in zip((ends - counts).tolist(), ends.tolist(), strict=True):
        if end - start > few:
            own = values[start:end]
            found[start:end] = own <= np.partition(own, few)[few]
    return found


def distinct(columns: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Of many combinations of whole numbers (where one of each different kind stands, which of these each one is)."""
    code, count = np.zeros(1, int), 1
    for column in columns:
        if np.ndim(column):
            own, values = _ranked(np.asarray(column).astype(int))
            code, count = _ranked(code * values + own)
    first = np.empty(count, int)
    first[code] = np.arange(len(code))
    chosen = np.zeros(len(code), bool)
    chosen[first] = True
    return chosen, (np.cumsum(chosen) - 1)[first][code]


def _ranked(column: np.ndarray) -> tuple[np.ndarray, int]:
    """(the place of each value among the different ones, how many there are)."""
    if column.max() > LARGEST_CODE:
        values, place = np.unique(column, return_inverse=True)
        return place, len(values)
    seen = np.zeros(column.max() + 1, bool)
    seen[column] = True
    return (np.cumsum(seen) - 1)[column], int(seen.sum())
