"""Honest uncertainty: inputs as distributions, answers as ranges, probabilities and their causes.

An uncertain input is three numbers, its 5th percentile, median and 95th percentile, with bounds
where nature sets them. Draws come from a scrambled Sobol sequence (Owen 1998; scipy.stats.qmc), so
a hundred thousand of them take a fraction of a second and repeat exactly under a seed. Which input
matters is told by Sobol indices (Sobol 2001, Saltelli et al. 2010; SALib) and by a tornado.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import betaincinv, expit, logit, ndtri

from training_moat.catalog import tables
from training_moat.core.errors import InputError, require_known

Draws = Mapping[str, np.ndarray]
Model = Callable[[Draws], np.ndarray]
"""Takes the draws by name, each an array of the same length, and returns an array of answers."""

Z95 = float(ndtri(0.95))
REPLICATES = 8
"""Independent sequences over which the draws of a probability are split."""


@dataclass(frozen=True, slots=True)
class Uncertain:
    """One uncertain input.

    The quantile function is normal on a transformed scale (logarithm above a lower bound, logit
    between two bounds, none without bounds), with one width below the median and another above it.
    It passes through the three given percentiles exactly and never leaves the bounds. `low`
    defaults to 0 when p05 is positive; give `low=-math.inf` for a quantity that may be negative.
    Equal p05, median and p95 mean a known number.
    """

    name: str
    p05: float
    median: float
    p95: float
    unit: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for label in ("p05", "median", "p95"):
            value = getattr(self, label)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InputError(f"{self.name}: {label} must be a finite number, got {value!r}")
        if not self.p05 <= self.median <= self.p95:
            raise InputError(
                f"{self.name}: expected p05 <= median <= p95, got {self.p05:g}, {self.median:g}, {self.p95:g}"
            )
        low, high = self.bounds
        if not low < high:
            raise InputError(
                f"{self.name}: the lower bound {low:g} must be below the upper bound {high:g}"
            )
        inside = low <= self.median <= high if self.fixed else low < self.p05 and self.p95 < high
        if not inside:
            raise InputError(
                f"{self.name}: p05 {self.p05:g} to p95 {self.p95:g} {self.unit} must lie "
                f"inside its bounds, {low:g} to {high:g}"
            )

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound; minus and plus infinity where there is none."""
        low = 0.0 if self.low is None else self.low
        return low, math.inf if self.high is None else self.high

    @property
    def fixed(self) -> bool:
        """Whether the number is known."""
        return self.p05 == self.p95

    def quantile(self, probability: np.ndarray) -> np.ndarray:
        """Values at the given probabilities (strictly between 0 and 1)."""
        probability = np.asarray(probability, dtype=float)
        if self.fixed:
            return np.full(probability.shape, float(self.median))
        low, middle, high = (self._stretch(value) for value in (self.p05, self.median, self.p95))
        z = ndtri(probability)
        width = np.where(z < 0, middle - low, high - middle) / Z95
        return self._shrink(middle + z * width)

    def _stretch(self, value: float) -> float:
        low, high = self.bounds
        if math.isinf(low):
            return value if math.isinf(high) else -math.log(high - value)
        if math.isinf(high):
            return math.log(value - low)
        return float(logit((value - low) / (high - low)))

    def _shrink(self, stretched: np.ndarray) -> np.ndarray:
        low, high = self.bounds
        if math.isinf(low):
            return stretched if math.isinf(high) else high - np.exp(-stretched)
        if math.isinf(high):
            return low + np.exp(stretched)
        return low + (high - low) * expit(stretched)

    def centred(self, median: float) -> Uncertain:
        """The same uncertainty around another median: the shape is moved on the stretched scale,
        so a range of 'a third to three times' stays one."""
        if not isinstance(median, (int, float)) or not math.isfinite(median):
            raise InputError(f"{self.name}: the median must be a finite number, got {median!r}")
        low, high = self.bounds
        if not low < median < high:
            if low <= median <= high:
                return replace(self, p05=median, median=median, p95=median)
            raise InputError(
                f"{self.name}: {median:g} {self.unit} is outside its bounds, {low:g} to {high:g}"
            )
        if self.fixed or not low < self.median < high:
            return replace(self, p05=median, median=median, p95=median)
        shift = self._stretch(median) - self._stretch(self.median)
        ends = (
            float(self._shrink(np.asarray(self._stretch(end) + shift)))
            for end in (self.p05, self.p95)
        )
        return replace(
            self, p05=min(next(ends), median), median=median, p95=max(next(ends), median)
        )


def centred(
    inputs: Sequence[Uncertain], medians: Mapping[str, float | None] | None, thing: str
) -> list[Uncertain]:
    """The inputs, those that `medians` names around that median with their relative spread (None: as they are). thing: what an
    input is called. Raises InputError for a name that is none of them."""
    moved = {name: value for name, value in (medians or {}).items() if value is not None}
    for name in moved:
        require_known(thing, name, [item.name for item in inputs])
    return [item.centred(moved[item.name]) if item.name in moved else item for item in inputs]


def of_row(row: pd.Series) -> Uncertain:
    """The input described by one row of a table with columns name, p05, median, p95, unit, low, high (blank: none)."""
    low, high = (None if pd.isna(row[end]) else float(row[end]) for end in ("low", "high"))
    p05, median, p95 = (float(row[name]) for name in ("p05", "median", "p95"))
    return Uncertain(str(row["name"]), p05, median, p95, str(row["unit"]), low, high)


def named(inputs: Sequence[Uncertain]) -> dict[str, Uncertain]:
    """The inputs by name; an error when there is none or a name comes twice."""
    inputs = list(inputs)
    if not inputs:
        raise InputError(
            "uncertainty: the scenario is empty, expected at least one uncertain input"
        )
    by_name = {item.name: item for item in inputs}
    if len(by_name) < len(inputs):
        names = [item.name for item in inputs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"uncertainty: input given twice: {', '.join(twice)}")
    return by_name


def sample(
    inputs: Sequence[Uncertain], draws: int = 100_000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Joint draws of independent inputs: name to an array of length `draws`, repeatable by seed."""
    by_name = named(inputs)
    if not isinstance(draws, (int, np.integer)) or isinstance(draws, bool) or draws < 1:
        raise InputError(f"uncertainty: draws must be a whole number above 0, got {draws!r}")
    points = _points(len(by_name), max(0, math.ceil(math.log2(draws))), seed)[:draws]
    return _through_quantiles(by_name, points)


@tables.kept(size=1, lasting=True)
def _points(dimensions: int, power: int, seed: int) -> np.ndarray:
    """2 to this power points of a scrambled Sobol sequence."""
    from scipy.stats import qmc  # a second to import, and only draws need it

    sequence = qmc.Sobol(d=dimensions, scramble=True, rng=np.random.default_rng(seed))
    return sequence.random_base2(power)


def _through_quantiles(
    by_name: Mapping[str, Uncertain], points: np.ndarray
) -> dict[str, np.ndarray]:
    # A scrambled point may fall on the edge of the cube, where the normal quantile is infinite.
    inside = np.clip(points, 1e-9, 1 - 1e-9)
    return {
        name: item.quantile(inside[:, column])
        for column, (name, item) in enumerate(by_name.items())
    }


class Percentiles(NamedTuple):
    """A distribution in three numbers: its 5th percentile, median and 95th percentile."""

    p05: float
    median: float
    p95: float


def percentiles(draws: np.ndarray) -> Percentiles:
    """Three percentiles of draws. Raises InputError where they are empty or undefined."""
    values = np.asarray(draws, dtype=float)
    if values.size == 0 or np.isnan(values).any():
        raise InputError("uncertainty: the draws are empty or contain undefined values")
    return Percentiles(*map(float, np.percentile(values, (5, 50, 95))))


def jeffreys(passed: float, rows: float) -> Percentiles:
    """Three percentiles of a share of which `passed` of `rows` are known (Jeffreys prior: Brown, Cai and
    DasGupta 2001)."""
    found = betaincinv(passed + 0.5, rows - passed + 0.5, [0.05, 0.5, 0.95])
    return Percentiles(*map(float, found))


@dataclass(frozen=True, slots=True)
class Probability:
    """A probability and its sampling error (one standard error, between independent seeds)."""

    value: float
    error: float


def replicates(inputs: Sequence[Uncertain], draws: int, seed: int) -> list[dict[str, np.ndarray]]:
    """The draws of a probability, split over independently scrambled sequences."""
    seeds = np.random.SeedSequence(seed).generate_state(REPLICATES)
    return [sample(inputs, max(1, draws // REPLICATES), int(one)) for one in seeds]


def chance(answers: Sequence[np.ndarray], threshold: float) -> Probability:
    """Probability that a model's answer reaches `threshold`, from its answers to `replicates`.

    The spread between them is the sampling error (the standard error of the mean, Owen's randomised
    quasi-Monte Carlo).
    """
    shares = [float(np.mean(answer >= threshold)) for answer in answers]
    error = float(np.std(shares, ddof=1) / math.sqrt(REPLICATES))
    return Probability(float(np.mean(shares)), error)


def sobol_indices(
    model: Model, inputs: Sequence[Uncertain], draws: int = 4096, seed: int = 0
) -> pd.DataFrame:
    """Share of the variance of the answer's logarithm that each input causes, alone and with its interactions: the answer is a
    ratio, whose tail would drown the rest.

    draws: size of the base sample, a power of two; the model is called on draws x (inputs + 2) points.
    Columns: name, first, total. A known input has indices of zero. Sorted by total. Source: Saltelli et al. 2010, as in SALib.
    """
    from SALib.analyze import sobol as analyse
    from SALib.sample import sobol as saltelli

    by_name = named(inputs)
    moving = {name: item for name, item in by_name.items() if not item.fixed}
    if not moving:
        raise InputError(
            "uncertainty: every input is a known number, there is no variance to divide"
        )
    problem = {"num_vars": len(moving), "names": list(moving), "bounds": [[0.0, 1.0]] * len(moving)}
    points = saltelli.sample(problem, draws, calc_second_order=False, scramble=True, seed=seed)
    filled = _through_quantiles(moving, points)
    still = {
        name: np.full(len(points), item.median) for name, item in by_name.items() if item.fixed
    }
    answer = np.asarray(model(filled | still), dtype=float)
    if not (answer > 0).all():
        raise InputError("uncertainty: the answer must be above 0 for indices of its logarithm")
    with warnings.catch_warnings():  # SALib divides by a resample's variance, harmless when small
        warnings.simplefilter("ignore", RuntimeWarning)
        found = analyse.analyze(problem, np.log(answer), calc_second_order=False, seed=seed)
    table = pd.DataFrame({"first": found["S1"], "total": found["ST"]}, index=list(moving))
    table = table.reindex([*moving, *still], fill_value=0.0).rename_axis("name").reset_index()
    return table.sort_values("total", ascending=False, kind="stable", ignore_index=True)


def tornado(model: Model, inputs: Sequence[Uncertain]) -> pd.DataFrame:
    """The answer with each input at its 5th and 95th percentile, all others at their medians.

    Columns: name, unit, p05, p95 (the input), at_p05, at_p95, base (the answer), widest first by the
    difference of the two answers, as the chart of that name draws them.
    """
    by_name = named(inputs)
    rows = 2 * len(by_name) + 1
    columns = {name: np.full(rows, float(item.median)) for name, item in by_name.items()}
    for index, (name, item) in enumerate(by_name.items()):
        columns[name][2 * index + 1 : 2 * index + 3] = item.p05, item.p95
    answer = np.asarray(model(columns), dtype=float)
    told = [(name, item.unit, item.p05, item.p95) for name, item in by_name.items()]
    table = pd.DataFrame(told, columns=["name", "unit", "p05", "p95"])
    table = table.assign(at_p05=answer[1::2], at_p95=answer[2::2], base=answer[0])
    swing = (table.at_p95 - table.at_p05).abs()
    return table.iloc[np.argsort(-swing.to_numpy(), kind="stable")].reset_index(drop=True)
