"""How wide a prediction must be for a source that nobody has seen: from the errors on sources left out of the fit.

A new user is a new source. What one source's runs share (tuning, clocks, dates) is drawn anew with every source, what
they differ in with every run: log error = source's own + run's own, with the scatters tau (between) and sigma (within).
For S sources seen, all of the same weight whatever their size, ninety per cent of new runs lie within

    middle +- t(0.95, S - 1) sqrt(tau^2 (1 + 1/S) + sigma^2)

(prediction interval of a random effect: Higgins, Thompson and Spiegelhalter 2009). It is computed apart for dense runs on
Nvidia's chips, dense runs on others and mixtures of experts, and by how much supports a case: `measured`, two sources on
the same chip and format width and two that name the software; `family`, fewer, or the chip's relatives; `generic`, neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_moat.calibrate.stored_rows import stored_row

COVERAGE = 0.90
"""Share of unseen runs that the prediction interval is meant to hold."""
LEAST_SCATTER = 0.02
"""Scatter of log errors below which no group of sources is believed to lie."""


LEAST_SOURCES = 3
"""Sources from which on their scatter says how far the next one may lie."""


@dataclass(frozen=True)
class Scatter:
    """Log errors (measured over predicted) of sources never fitted to: their middle, the scatter of sources, that of runs
    within one (root mean square over sources), and how many of each."""

    middle: float
    between: float
    within: float
    rows: int
    sources: int

    @property
    def bounds(self) -> tuple[float, float]:
        """Logarithms of the factors that bound `COVERAGE` of a new source's runs."""
        from scipy.special import stdtrit  # slow to import, and only fits need it

        spread = np.sqrt(self.between**2 * (1 + 1 / self.sources) + self.within**2)
        reach = float(stdtrit(max(self.sources - 1, 1), (1 + COVERAGE) / 2) * spread)
        # Never away from the prediction itself.
        return min(self.middle - reach, 0.0), max(self.middle + reach, 0.0)

    @property
    def width(self) -> float:
        """Logarithm of the ratio of the bounds."""
        return self.bounds[1] - self.bounds[0]


def scatter(errors: pd.Series, sources: pd.Series) -> Scatter:
    """The scatter of log errors, every source with the same weight (moments: Laird and Ware 1982; a source's own error is
    the median of its runs')."""
    means, variances = _median_and_variance(errors.to_numpy(float), pd.factorize(sources)[0])
    middle = float(np.median(means))
    spread = float(np.sqrt(np.mean((means - middle) ** 2) * len(means) / max(len(means) - 1, 1)))
    within = _root_mean(variances)
    between, inside = max(spread, LEAST_SCATTER), max(within, LEAST_SCATTER)
    return Scatter(middle, between, inside, len(errors), len(means))


def routed_scatter(frame: pd.DataFrame, routed: np.ndarray, errors: pd.Series) -> float:
    """How many times as far log errors of runs with experts scatter, a source's and a run's own together, where the router
    fills chips unequally (`routed`) than where it does not; never less than once."""
    spreads = []
    for mask in (routed, ~routed):
        own = errors[mask & (frame["experts"] > 0)].dropna()
        if frame["source"][own.index].nunique() < LEAST_SOURCES:
            return 1.0
        told = scatter(own, frame["source"][own.index])
        spreads.append(float(np.hypot(told.between, told.within)))
    return max(spreads[0] / spreads[1], 1.0)


def routed_record(wider: float, frame: pd.DataFrame, routed: np.ndarray) -> dict[str, Any]:
    """Row of the calibration table: the `routed_scatter`."""
    own = routed & (frame["experts"] > 0)
    place, basis = ("scatter", "all", "routed"), "errors on sources left out of the fit"
    return stored_row(place, wider, int(own.sum()), frame["source"][own].nunique(), basis)


def _median_and_variance(values: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each group; no variance where it has one value. A validation asks a thousand times: pandas' own take ten times as
    long."""
    counts = np.bincount(group)
    ordered = values[np.lexsort((values, group))]
    first = np.cumsum(counts) - counts
    medians = (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2]) / 2
    away = values - (np.bincount(group, values) / counts)[group]
    with np.errstate(invalid="ignore"):
        return medians, np.bincount(group, away**2) / np.where(counts > 1, counts - 1, np.nan)


def _root_mean(variances: np.ndarray) -> float:
    known = variances[np.isfinite(variances)]
    return float(np.sqrt(known.mean())) if len(known) else 0.0


def supported(frame: pd.DataFrame, width: pd.Series) -> pd.Series:
    """By row: whether another source has runs on its chip with its format width, dense or with experts as it, and another
    names its software: whole sources on a stack that nobody else timed lie further off."""
    experts = frame["experts"] > 0
    on_chip = frame.groupby([frame["chip_id"], width, experts])["source"].transform("nunique") >= 2
    return on_chip & named_twice(frame)


def named_twice(frame: pd.DataFrame) -> pd.Series:
    """By row: whether two sources or more have dense runs, or runs with experts, as it under its software's name."""
    return frame.groupby([frame["label"], frame["experts"] > 0])["source"].transform("nunique") >= 2


def scatters(
    frame: pd.DataFrame, kinds: pd.Series, known: pd.Series, errors: dict[str, pd.Series]
) -> dict[tuple[str, str], Scatter]:
    """The scatter by (level, kind). `errors` are log errors without the row's source (`measured`), chip (`family`) and
    family (`generic`).

    For `family` the wider of two: rows whose chip or software no other source has, and the others without their chip.
    """
    found: dict[tuple[str, str], Scatter] = {}
    for kind in sorted(set(kinds)):
        own = kinds == kind
        chosen = {
            "measured": [(errors["measured"], own & known)],
            "family": [(errors["measured"], own & ~known), (errors["family"], own & known)],
            "generic": [(errors["generic"], own)],
        }
        for level, parts in chosen.items():
            groups = [
                scatter(values, frame["source"][values.index])
                for values in (series[mask].dropna() for series, mask in parts)
                if frame["source"][values.index].nunique() >= LEAST_SOURCES
            ]
            fallback = errors["measured"][own].dropna()
            if not groups and len(fallback):
                groups = [scatter(fallback, frame["source"][fallback.index])]
            if groups:
                found[level, kind] = max(groups, key=lambda one: one.width)
    return found


def bounds(found: dict[tuple[str, str], Scatter], kind: str) -> dict[str, tuple[float, float]]:
    """Logarithms of an interval's ends by level; a level less specific than another is never given a narrower one."""
    low, high, ends = 0.0, 0.0, {}
    for level in ("measured", "family", "generic"):
        own = found[level, kind].bounds
        low, high = min(low, own[0]), max(high, own[1])
        ends[level] = (low, high)
    return ends


def inside_of_others(
    frame: pd.DataFrame, kinds: pd.Series, known: pd.Series, errors: dict[str, pd.Series]
) -> pd.Series:
    """By row: whether the error of a fit without its source lies in the interval that all other sources give; blank where
    they are too few."""
    inside = pd.Series(np.nan, index=frame.index)
    for source in sorted(frame["source"].unique()):
        own = frame["source"] == source
        others = ~own & kinds.isin(set(kinds[own]))  # of the kinds that are asked
        rest = {level: series[others] for level, series in errors.items()}
        found = scatters(frame[others], kinds[others], known[others], rest)
        for kind in sorted(set(kinds[own])):
            if ("measured", kind) not in found:
                continue
            ends = bounds(found, kind)
            for level, mask in (("measured", known), ("family", ~known)):
                asked = own & (kinds == kind) & mask
                inside[asked] = errors["measured"][asked].between(*ends[level]).astype(float)
    return inside


def records(found: dict[tuple[str, str], Scatter]) -> pd.DataFrame:
    """Rows of the calibration table: the ends of each interval."""
    rows: list[dict[str, Any]] = []
    for kind in sorted({kind for _, kind in found}):
        for level, ends in bounds(found, kind).items():
            one = found[level, kind]
            for name, value in zip(("p05", "p95"), ends, strict=True):
                place = ("interval", level, f"{kind}_{name}")
                basis = "errors on sources, chips or families left out of the fit"
                rows.append(stored_row(place, float(np.exp(value)), one.rows, one.sources, basis))
    return pd.DataFrame(rows)
