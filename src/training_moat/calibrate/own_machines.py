"""The scatters by which a caller's own runs are weighed (`own_runs`), from the errors on sources left out of the fit.

They are those under which the errors of all machines, a source's runs on one chip each, are likeliest. Machines differ in
how much they scatter, so their errors follow a multivariate t distribution (Lange, Little and Taylor 1989); a machine
counts with the square root of its runs, as in the fit. How fast errors scatter less the wider a model is
(`training_constants.relative_scatter`) is what makes them likeliest, too, one power for all kinds of runs.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from training_moat.calibrate import fit_stage
from training_moat.calibrate.measured_training import Rows
from training_moat.calibrate.stored_rows import stored_row
from training_moat.core.units import BYTES_PER_VALUE
from training_moat.predict import own_runs
from training_moat.predict.training_constants import Constants, Scatter, relative_scatter

FREEDOM = 4.0
"""Degrees of freedom of the t distribution (Lange, Little and Taylor 1989 take four for robust fits)."""
USUAL, SHARE_OF_PRIOR = 0.08, 0.1
"""What each scatter is expected to be, and how much a doubling away from it weighs."""
MOST_POWER = 1.0
"""A model twice as wide is not expected to scatter less than half as far."""
MOST_RUNS = 30
"""Runs of one machine that are looked at: every second, third and so on of more."""


def settings(rows: Rows, constants: Constants) -> np.ndarray:
    """The settings of all runs (see `own_runs.settings`), their steps by these constants."""
    value_bytes = rows.frame["format"].map(BYTES_PER_VALUE)
    step = fit_stage.step_of_rows(rows, constants)
    return own_runs.settings(rows.model, rows.plan, value_bytes, step)


def hidden_power(
    errors: pd.Series, kinds: pd.Series, frame: pd.DataFrame, points: np.ndarray
) -> float:
    """The power of the hidden size by which the scatter of log errors falls, under which errors of all kinds are likeliest."""
    from scipy.optimize import minimize_scalar  # slow to import, and only fits need it

    known = errors.dropna()
    machine = [frame["source"], frame["chip_id"]]
    counts = np.sqrt(known.groupby([column[known.index] for column in machine]).transform("size"))

    def unlikely(power: float) -> float:
        scale = relative_scatter(frame.loc[known.index, "hidden"], power)
        told = float((np.log(scale) / counts).sum())
        for kind in sorted(set(kinds)):
            own = known.index[kinds[known.index] == kind]
            told += likeliest((known / scale)[own], frame.loc[own], points)[1]
        return told

    found = minimize_scalar(unlikely, bounds=(0.0, MOST_POWER), method="bounded")
    return float(found.x)


def scatter(errors: pd.Series, frame: pd.DataFrame, points: np.ndarray) -> Scatter:
    """The `likeliest` scatters."""
    return likeliest(errors, frame, points)[0]


def likeliest(errors: pd.Series, frame: pd.DataFrame, points: np.ndarray) -> tuple[Scatter, float]:
    """The likeliest scatters of the log errors of some runs, and how unlikely errors are under them: `frame` tells their
    source and chip, `points` the settings of all runs, whose places are the index of `errors`."""
    from scipy.optimize import minimize  # slow to import, and only fits need it

    machines = []
    for _, own in errors.groupby([frame["source"], frame["chip_id"]]):
        some = own[:: math.ceil(len(own) / MOST_RUNS)]
        at = points[:, some.index]
        machines.append((some.to_numpy(float), own_runs.alike(at, at)))

    def unlikely(logs: np.ndarray) -> float:
        between, setting, run = np.exp(2 * logs)
        total = SHARE_OF_PRIOR * float(((logs - math.log(USUAL)) ** 2).sum())
        for own, alike in machines:
            size = len(own)
            root = np.linalg.cholesky(between + setting * alike + run * np.eye(size))
            scaled = np.linalg.solve(root, own)
            far = (FREEDOM + size) / 2 * math.log1p(float(scaled @ scaled) / FREEDOM)
            total += (far + float(np.log(np.diag(root)).sum())) / math.sqrt(size)
        return total

    found = minimize(unlikely, np.full(len(Scatter._fields), math.log(USUAL)), method="L-BFGS-B")
    return Scatter(*np.exp(found.x).tolist()), float(found.fun)


def records(errors: pd.Series, kinds: pd.Series, frame: pd.DataFrame, points: np.ndarray) -> list:
    """Rows of the calibration table: the scatters by kind of run."""
    rows = []
    for kind in sorted(set(kinds)):
        own = errors[kinds == kind].dropna()
        told = scatter(own, frame.loc[own.index], points)
        for part, value in told._asdict().items():
            place, sources = ("scatter", part, kind), frame["source"][own.index].nunique()
            basis = "errors on sources left out of the fit"
            rows.append(stored_row(place, value, len(own), sources, basis))
    return rows


def power_record(power: float, frame: pd.DataFrame) -> dict:
    """Row of the calibration table: the power of the hidden size (`hidden_power`)."""
    place, sources = ("scatter", "all", "hidden_power"), frame["source"].nunique()
    return stored_row(place, power, len(frame), sources, "errors on sources left out of the fit")
