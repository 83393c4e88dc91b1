"""What the serving fit does on rows that it has not seen: held out in turn, the intervals from that, and the stored table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import fit_serving
from training_moat.calibrate.fit_serving import Problem
from training_moat.calibrate.source_intervals import COVERAGE
from training_moat.catalog import chips
from training_moat.core import processes
from training_moat.predict.fitted import Key
from training_moat.predict.serving_constants import LEVELS as KNOWLEDGE
from training_moat.predict.serving_constants import known_as

MANY_ROWS = 150
"""Rows from which on a model is held out in turn."""


def splits(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """What is held out in turn: each source, each chip, each chip family, each model with many rows; what would leave
    the same rows out as one before it, once."""
    family = chips.families(rows["chip"])
    many = [name for name, count in rows["model"].value_counts().items() if count >= MANY_ROWS]
    held = {f"source {name}": rows["source"] == name for name in sorted(rows["source"].unique())}
    held |= {f"family {name}": family == name for name in sorted(family.unique())}
    held |= {f"chip {name}": rows["chip"] == name for name in sorted(rows["chip"].unique())}
    held |= {f"model {name}": rows["model"] == name for name in sorted(many)}
    different = {mask.to_numpy().tobytes(): name for name, mask in reversed(held.items())}
    return {name: held[name].to_numpy() for name in held if name in different.values()}


def support(known: pd.DataFrame, asked: pd.DataFrame) -> list[str]:
    """What `known` rows tell of each row asked (`serving_constants.known_as`)."""
    sources = known.groupby(["chip", "software"])["source"].nunique().to_dict()
    families = set(chips.families(known["chip"]))
    engines = set(known["software"])
    return [
        known_as(
            sources.get((row.chip, row.software), 0),
            chips.chip(row.chip).family in families,
            row.software in engines,
        )
        for row in asked.itertuples()
    ]


def held_out(problem: Problem) -> pd.DataFrame:
    """Each row predicted by constants fitted without its source, its chip, its chip family, its model; every search begins
    at the priors, like that of the fit.

    Columns: those of `rows`, `held` (what was left out), `level` (what the fit still knew, as in
    `serving_constants.known_as`) and `predicted`.
    """
    rows, parts = problem.rows, []
    left = {name: mask for name, mask in splits(rows).items() if not mask.all()}
    with processes.pool(None, _begin, rows) as pool:
        errors = pool.map(_unseen, left.values())
    for (name, mask), error in zip(left.items(), errors, strict=True):
        own = rows[mask].assign(predicted=rows.loc[mask, "seconds_per_token"] * np.exp(error))
        parts.append(own.assign(held=name, level=support(rows[~mask], own)))
    return pd.concat(parts, ignore_index=True)


_OWN: list[Problem] = []
"""The problem of a process that searches, made once."""


def _begin(rows: pd.DataFrame) -> None:
    """Make the problem of a process that searches."""
    _OWN[:] = [Problem(rows)]


def _unseen(mask: np.ndarray) -> np.ndarray:
    """Logarithms of predicted over measured for the rows of a mask, by constants that never saw them."""
    (problem,) = _OWN
    without = problem.solve(problem.middle, np.tile(~mask, 2))
    return problem.errors(without)[: len(problem.rows)][mask]


def intervals(tested: pd.DataFrame) -> pd.DataFrame:
    """Factors on a prediction between which `COVERAGE` of what was held out lies, by level: as far to either side of the
    middle in logarithms (split conformal prediction, Lei et al. 2018, with the folds as calibration set).

    The next question is one thing more that the fit had not seen, so everything left out (a source, a chip, a family, a
    model) has the same weight, whatever its rows; and n of them speak for the next one only where (1 + 1/n) times the
    coverage is taken of them. A level that knows less is never given a narrower interval.
    """
    weight = 1.0 / tested.groupby(["level", "held"])["batch"].transform("size")
    logs = np.log(tested["seconds_per_token"] / tested["predicted"])
    found = {}
    for level in [level for level in KNOWLEDGE if (tested["level"] == level).any()]:
        own = tested["level"] == level
        error, weighs = logs[own].to_numpy(), weight[own].to_numpy()
        middle = _quantile(error, weighs, 0.5)
        share = min(COVERAGE * (1 + 1 / tested.loc[own, "held"].nunique()), 1.0)
        reach = _quantile(np.abs(error - middle), weighs, share)
        # Never away from the prediction itself.
        found[level] = (min(middle - reach, 0.0), max(middle + reach, 0.0))
    table = np.exp(pd.DataFrame.from_dict(found, orient="index", columns=["p05", "p95"]))
    return pd.DataFrame({"p05": table["p05"].cummin(), "p95": table["p95"].cummax()})


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The least value at which the weights of it and of all smaller ones reach a share of their sum."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = np.searchsorted(reached, share * reached[-1] * (1 - 1e-12))
    return float(values[order][min(place, len(values) - 1)])


def held_out_errors(tested: pd.DataFrame) -> pd.DataFrame:
    """For everything held out: error, and share of rows inside the intervals that the other folds give.

    Columns: held, rows, mape, coverage.
    """
    found = []
    for name, group in tested.groupby("held"):
        bounds = intervals(tested[tested["held"] != name]).reindex(group["level"]).to_numpy()
        ratio = (group["seconds_per_token"] / group["predicted"]).to_numpy()
        inside = (ratio >= bounds[:, 0]) & (ratio <= bounds[:, 1])
        found.append(
            (name, len(group), float(np.mean(np.abs(1 / ratio - 1))), float(inside.mean()))
        )
    return pd.DataFrame(found, columns=["held", "rows", "mape", "coverage"])


def table(date: str) -> pd.DataFrame:
    """The constants as `data/calibration_serving.csv` stores them: value, origin, date, residual."""
    problem = Problem(fit_serving.usable_rows())
    records = fitted_records(problem)
    tested = held_out(problem)
    tested = tested.assign(off=tested["predicted"] / tested["seconds_per_token"] - 1)
    for column, found in (
        ("level", intervals(tested)),
        ("held", held_out_errors(tested).set_index("held")[["mape", "coverage"]]),
    ):
        level = "interval" if column == "level" else "held_out"
        for key, told in found.iterrows():
            own = tested[tested[column] == key]
            records += [record((level, str(key), name), told[name], own) for name in found]
    return pd.DataFrame(records).assign(date=date, confirmed="yes")


def fitted_records(problem: Problem) -> list[dict[str, object]]:
    """What a fit to all rows gives: its constants, and how many rows and sources stand behind each chip with an engine."""
    fitted = problem.solve(problem.middle, np.ones(2 * len(problem.rows)))
    rows = problem.rows.assign(off=np.exp(problem.errors(fitted)[: len(problem.rows)]) - 1)
    values = problem.constants(fitted).values
    records = [record(key, value, rows.iloc[problem.about(key)]) for key, value in values.items()]
    for pair, own in rows.groupby(["chip", "software"]):
        for name, count in (("rows", len(own)), ("sources", own["source"].nunique())):
            records.append(record(("pair", "/".join(pair), name), count, own))
    return records


def record(place: Key, value: float, rows: pd.DataFrame) -> dict[str, object]:
    """A constant at its `place`, and how far `off` the rows are that it rests on."""
    told: dict[str, object] = dict(zip(("level", "key", "constant"), place, strict=True))
    told |= {"value": float(f"{value:.4g}"), "rows": len(rows)}
    error = round(float(rows["off"].abs().mean()), 4)
    return told | {"mape": error, "source": ";".join(sorted(set(rows["source"])))}
