"""The number line of formats: where their numbers lie, and what a bell-shaped tensor loses in each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from training_moat.core.formats import element
from training_moat.numerics.rounding import round_nearest

POINTS = 4096
BODY = (0.05, 0.999)
"""Quantiles of the magnitudes that count as the body of a bell-shaped tensor."""


def magnitudes(names: Sequence[str], low: float, high: float) -> pd.DataFrame:
    """Positive numbers of each format between 2^low and 2^high.

    Columns: format, log2_value, log2_smallest, log2_largest (of the whole format, cut to the window). Formats of
    more than 8 bits have one row per power of two: their numbers lie too dense to draw.
    """
    records = []
    for name in names:
        fmt = element(name)
        ends = (max(low, math.log2(fmt.min_subnormal)), min(high, math.log2(fmt.max_finite)))
        if fmt.bits <= 8:
            shown = [math.log2(value) for value in fmt.values() if value > 0]
        else:
            shown = [float(power) for power in range(math.ceil(ends[0]), math.floor(ends[1]) + 1)]
        records += [(fmt.title, place, *ends) for place in shown if low <= place <= high]
    return pd.DataFrame(records, columns=["format", "log2_value", "log2_smallest", "log2_largest"])


def losses(names: Sequence[str], log2_scales: Sequence[int]) -> pd.DataFrame:
    """Error of rounding a normally distributed tensor of standard deviation 2^s, in percent of its own size.

    Saturating casts, no scale factor. Columns: format, log2_scale, error_percent (root mean square).
    """
    tensor = ndtri((np.arange(POINTS) + 0.5) / POINTS)
    records = []
    for name in names:
        fmt = element(name)
        for scale in log2_scales:
            scaled = tensor * 2.0**scale
            squares = np.mean((round_nearest(scaled, fmt) - scaled) ** 2)
            error = np.sqrt(squares / np.mean(scaled**2))
            records.append((fmt.title, scale, 100 * float(error)))
    return pd.DataFrame(records, columns=["format", "log2_scale", "error_percent"])


def body() -> tuple[float, float]:
    """log2 of the magnitudes between which the body of a tensor of standard deviation one lies."""
    low, high = (math.log2(ndtri((1 + quantile) / 2)) for quantile in BODY)
    return low, high


def tolerated(table: pd.DataFrame, limit_percent: float) -> pd.DataFrame:
    """Octaves of standard deviation over which each format stays within an error, from `losses`.

    Columns: format, octaves, best_percent (smallest error at any scale).
    """
    inside = table.assign(inside=table["error_percent"] <= limit_percent)
    found = inside.groupby("format", sort=False)
    return found.agg(octaves=("inside", "sum"), best_percent=("error_percent", "min")).reset_index()
