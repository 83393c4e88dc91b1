"""Pooling of published shares: a random-effects regression in which one-sided statements are bounds.

A share s is modelled on the logit scale, logit s = ln(s / (1 - s)). Statement i speaks of year t_i, comes
from house h(i) and splits measure m(i):

    logit s_i = a + b (t_i - t_0) + u_h(i) + v_m(i) + e_i,
    u ~ N(0, tau_u^2), v ~ N(0, tau_v^2), e ~ N(0, sigma^2)

(Laird and Ware 1982). A statement that gives a bound or a range enters by the probability that its share
lies there, as a censored observation (Tobin 1958). Draws from the posterior are made by Gibbs sampling
with the censored shares as further unknowns (Chib 1992); they repeat exactly under a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg.lapack import dpotrf, dtrtrs
from scipy.special import expit, logit, ndtr, ndtri

from training_moat.core.errors import InputError

ORIGIN_YEAR = 2025
PRIOR_LEVEL, PRIOR_SLOPE = 1.5, 0.4
"""Prior standard deviations, in logits: of the level (a share between 0.08 and 0.92 in nine cases of ten)
and of its change in a year."""
SPREAD_SHAPE, SPREAD_SCALE = 2.0, 0.5
"""Inverse-gamma prior of each variance: as much as four observations with a spread of half a logit."""
BURN_IN, KEPT = 500, 4000
EDGE = 1e-6


@dataclass(frozen=True)
class Pooled:
    """Draws from the posterior: `level` and `slope` (logits, logits a year), one column of `effects` per
    member of each group, `spread` of each group and the statement's own `noise`."""

    level: np.ndarray
    slope: np.ndarray
    effects: dict[str, pd.DataFrame]
    spread: dict[str, np.ndarray]
    noise: np.ndarray
    seed: int

    def average(self, year: float) -> np.ndarray:
        """Share that the average house, splitting the average measure, gives for a year."""
        return expit(self.level + self.slope * (year - ORIGIN_YEAR))

    def next_statement(self, year: float) -> np.ndarray:
        """Share that one more statement of that year would give, from a house and of a measure not seen
        yet: the average with all spreads added."""
        total = np.sqrt(sum((value**2 for value in self.spread.values()), self.noise**2))
        noise = np.random.default_rng([self.seed, 1]).standard_normal(len(total))
        return expit(self.level + self.slope * (year - ORIGIN_YEAR) + total * noise)


def fit(frame: pd.DataFrame, groups: Sequence[str], seed: int = 0) -> Pooled:
    """Posterior of the regression for statements with columns year, low, high (shares; equal for a
    point, 0 or 1 for a side without bound) and one column per group.

    Raises InputError when there is no statement.
    """
    if frame.empty:
        raise InputError("pooling: no statement to pool")
    rng = np.random.default_rng(seed)
    low, high = (logit(frame[end].clip(EDGE, 1 - EDGE).to_numpy(float)) for end in ("low", "high"))
    low[frame["low"].to_numpy(float) <= 0] = -np.inf
    high[frame["high"].to_numpy(float) >= 1] = np.inf
    design, blocks = _design(frame, groups)
    state = _Sampler(design, blocks, low, high, rng)
    kept = [state.step() for _ in range(BURN_IN + KEPT)][BURN_IN:]
    drawn = np.array([draw[0] for draw in kept])
    spreads = np.sqrt(np.array([draw[1] for draw in kept]))
    effects = {
        name: pd.DataFrame(drawn[:, own], columns=members)
        for name, (own, members) in blocks.items()
    }
    spread = {name: spreads[:, place] for place, name in enumerate(blocks)}
    return Pooled(drawn[:, 0], drawn[:, 1], effects, spread, spreads[:, -1], seed)


def _design(
    frame: pd.DataFrame, groups: Sequence[str]
) -> tuple[np.ndarray, dict[str, tuple[slice, list[str]]]]:
    """Columns: one, years since the origin, then an indicator per member of each group."""
    parts = [np.ones(len(frame)), frame["year"].to_numpy(float) - ORIGIN_YEAR]
    blocks: dict[str, tuple[slice, list[str]]] = {}
    for name in groups:
        members = sorted(frame[name].astype(str).unique())
        blocks[name] = (slice(len(parts), len(parts) + len(members)), members)
        parts += [(frame[name].astype(str) == member).to_numpy(float) for member in members]
    return np.column_stack(parts), blocks


class _Sampler:
    """One chain: coefficients given the shares, spreads given the coefficients, hidden shares given both."""

    def __init__(self, design, blocks, low, high, rng) -> None:
        self.design, self.gram, self.rng = design, design.T @ design, rng
        self.blocks = [block for block, _ in blocks.values()]
        self.precision = np.zeros(design.shape[1])
        self.precision[:2] = 1 / PRIOR_LEVEL**2, 1 / PRIOR_SLOPE**2
        self.hidden = low < high
        self.ends = low[self.hidden], high[self.hidden]
        inside = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0.0))
        both = self.hidden & np.isfinite(low) & np.isfinite(high)
        self.share = np.where(both, (inside + np.where(both, high, 0.0)) / 2, inside)
        self.variance = np.full(len(self.blocks) + 1, SPREAD_SCALE**2)

    def step(self) -> tuple[np.ndarray, np.ndarray]:
        for block, variance in zip(self.blocks, self.variance, strict=False):
            self.precision[block] = 1 / variance
        gram = self.gram / self.variance[-1]
        gram.flat[:: len(gram) + 1] += self.precision
        root, _ = dpotrf(gram, lower=1, clean=1)
        half, _ = dtrtrs(root, self.share @ self.design / self.variance[-1], lower=1)
        # The mean, root^-T half, and a draw with the covariance root^-T root^-1 around it.
        normal = self.rng.standard_normal(len(half))
        coefficients, _ = dtrtrs(root, half + normal, lower=1, trans=1)
        fitted = self.design @ coefficients
        self.variance = np.array(
            [self._variance(coefficients[block]) for block in self.blocks]
            + [self._variance(self.share - fitted)]
        )
        self._hide(fitted, np.sqrt(self.variance[-1]))
        return coefficients, self.variance

    def _variance(self, residuals: np.ndarray) -> float:
        shape = SPREAD_SHAPE + len(residuals) / 2
        scale = SPREAD_SHAPE * SPREAD_SCALE**2 + float(residuals @ residuals) / 2
        return scale / self.rng.gamma(shape)

    def _hide(self, fitted: np.ndarray, noise: float) -> None:
        """Draw each hidden share from the normal distribution cut at its bounds."""
        middle = fitted[self.hidden]
        first, last = (ndtr((end - middle) / noise) for end in self.ends)
        place = first + (last - first) * self.rng.random(len(middle))
        self.share[self.hidden] = middle + noise * ndtri(
            np.minimum(np.maximum(place, 1e-12), 1 - 1e-12)
        )
