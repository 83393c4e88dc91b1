"""How wide a prediction must be for a source that nobody has seen: from the errors on sources left out of the fit.

A new user is a new source. What one source's runs share (tuning, clocks, dates) is drawn anew with every source, what
they differ in with every run: log error = source's own + run's own, with the scatters tau (between) and sigma (within).
For S sources seen, all of the same weight whatever their size, ninety per cent of new runs lie within

    middle +- t(0.95, S - 1) sqrt(tau^2 (1 + 1/S) + sigma^2)

(prediction interval of a random effect: Higgins, Thompson and Spiegelhalter 2009). It is computed apart for dense runs on
Nvidia's chips, dense runs on others and mixtures of experts, and by how much supports a case: `measured`, two sources on
the same chip and format width; `family`, one or the chip's relatives; `generic`, neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

COVERAGE = 0.90
"""Share of unseen runs that the prediction interval is meant to hold."""
LEAST_SCATTER = 0.02
"""Scatter of log errors below which no group of sources is believed to lie."""


@dataclass(frozen=True)
class Scatter:
    """Log errors (measured over predicted) of sources never fitted to: their middle, the scatter of sources and of runs
    within one, and how many of each."""

    middle: float
    between: float
    within: float
    rows: int
    sources: int

    @property
    def bounds(self) -> tuple[float, float]:
        """Logarithms of the factors that bound `COVERAGE` of a new source's runs."""
        spread = np.sqrt(self.between**2 * (1 + 1 / self.sources) + self.within**2)
        reach = float(stats.t.ppf((1 + COVERAGE) / 2, max(self.sources - 1, 1)) * spread)
        # Never away from the prediction itself.
        return min(self.middle - reach, 0.0), max(self.middle + reach, 0.0)


def scatter(errors: pd.Series, sources: pd.Series) -> Scatter:
    """The scatter of log errors, every source with the same weight (moments: Laird and Ware 1982, robust to one source
    by medians)."""
    groups = errors.groupby(sources)
    means, sizes = groups.median(), groups.size()
    inside = (errors - sources.map(means)).abs()
    # The median of absolute deviations of a normal is 0.6745 of its scatter; sources of one run say nothing here.
    several = sources.map(sizes) > 1
    by_source = inside[several].groupby(sources[several]).mean()
    within = float(by_source.median() * np.sqrt(np.pi / 2)) if len(by_source) else 0.0
    middle = float(means.median())
    spread = float(np.sqrt(np.mean((means - middle) ** 2) * len(means) / max(len(means) - 1, 1)))
    return Scatter(
        middle, max(spread, LEAST_SCATTER), max(within, LEAST_SCATTER), len(errors), len(means)
    )


def supported(frame: pd.DataFrame, width: pd.Series) -> pd.Series:
    """By row: whether another source has runs on its chip with its format width, dense or with experts as it."""
    kind = [frame["chip_id"], width, frame["experts"] > 0]
    return frame.groupby(kind)["source"].transform("nunique") >= 2


def scatters(
    frame: pd.DataFrame, kinds: pd.Series, known: pd.Series, errors: dict[str, pd.Series]
) -> dict[tuple[str, str], Scatter]:
    """The scatter by (level, kind). `errors` are log errors without the row's source (`measured`), chip (`family`) and
    family (`generic`); rows whose source was alone on its chip speak for `family`."""
    alone = ~known
    found: dict[tuple[str, str], Scatter] = {}
    for kind in sorted(set(kinds)):
        own = kinds == kind
        chosen = {
            "measured": [(errors["measured"], own & known)],
            "family": [(errors["measured"], own & alone), (errors["family"], own & known)],
            "generic": [(errors["generic"], own)],
        }
        for level, parts in chosen.items():
            values = pd.concat([series[mask] for series, mask in parts]).dropna()
            names = pd.concat([frame["source"][mask] for _, mask in parts])
            if values.empty:
                values, names = errors["measured"][own].dropna(), frame["source"][own]
            found[level, kind] = scatter(values, names[names.index.isin(values.index)])
    return found


def records(found: dict[tuple[str, str], Scatter], date: str) -> pd.DataFrame:
    """Rows of the calibration table: the ends of each interval, and the scatters that own runs are weighed by. A level
    less specific than another is never given a narrower interval."""
    rows: list[dict[str, Any]] = []
    for kind in sorted({kind for _, kind in found}):
        low, high = 0.0, 0.0
        for level in ("measured", "family", "generic"):
            one = found[level, kind]
            low, high = min(low, one.bounds[0]), max(high, one.bounds[1])
            for name, value in (("p05", low), ("p95", high)):
                rows.append(_record("interval", level, f"{kind}_{name}", float(np.exp(value)), one))
        one = found["measured", kind]
        rows.append(_record("scatter", "between", kind, one.between, one))
        rows.append(_record("scatter", "within", kind, one.within, one))
    return pd.DataFrame(rows).assign(date=date)


def _record(level: str, key: str, constant: str, value: float, one: Scatter) -> dict[str, Any]:
    return {
        "level": level,
        "key": key,
        "constant": constant,
        "value": float(f"{value:.6g}"),
        "rows": one.rows,
        "sources": one.sources,
        "basis": "errors on sources, chips or families left out of the fit",
    }
