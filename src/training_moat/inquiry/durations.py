"""How long moves of work to other chips took: durations known as intervals, and their median."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from training_moat.inquiry.uncertainty import Percentiles

_MEDIANS = np.exp(np.linspace(np.log(0.1), np.log(120.0), 241))
_SPREADS = np.linspace(0.3, 2.5, 45)


def ports(table: pd.DataFrame, work: str) -> pd.DataFrame:
    """The rows of move_durations that time a port (finished or not) and may be counted."""
    kept = table["kind"].isin(["port", "unfinished"]) & (table["counted"] == "yes")
    return table[kept & (table["work"] == work)]


def posterior(low: pd.Series, high: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(medians in months, their probabilities) for durations known as intervals.

    Durations are taken as lognormal; an open end (blank) is a duration that was still running, an interval
    one told in words such as "about a year". The chance of the data is the product of the chance of each
    interval (Turnbull 1976, in its parametric form), with a flat prior on the logarithm of the median and on
    the spread of the logarithm from 0.3 to 2.5.
    """
    ends = [np.log(np.maximum(np.asarray(end, float), 1e-3)) for end in (low, high)]
    ends[1] = np.where(np.isnan(np.asarray(high, float)), np.inf, ends[1])
    mu, sigma = np.log(_MEDIANS)[:, None, None], _SPREADS[None, :, None]
    inside = ndtr((ends[1] - mu) / sigma) - ndtr((ends[0] - mu) / sigma)
    likelihood = np.prod(np.maximum(inside, 1e-12), axis=2).sum(axis=1)
    return _MEDIANS, likelihood / likelihood.sum()


def _percentiles(values: np.ndarray, weights: np.ndarray) -> Percentiles:
    ends = np.quantile(values, [0.05, 0.5, 0.95], weights=weights, method="inverted_cdf")
    return Percentiles(*map(float, ends))


def median_months(low: pd.Series, high: pd.Series) -> Percentiles:
    """Three percentiles of the median duration."""
    return _percentiles(*posterior(low, high))


def median_ratio(first: pd.DataFrame, second: pd.DataFrame) -> Percentiles:
    """Three percentiles of one median duration over another."""
    (value, weight), (other, chance) = (
        posterior(frame["low_months"], frame["high_months"]) for frame in (first, second)
    )
    ratio, joint = value[:, None] / other[None, :], weight[:, None] * chance[None, :]
    return _percentiles(ratio.ravel(), joint.ravel())
