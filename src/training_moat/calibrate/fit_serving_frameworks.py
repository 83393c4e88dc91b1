"""The second stage of the serving fit: what frameworks have of their own, on their own rows, all else as the first left it.

Frameworks (Hugging Face's transformers) start every operation from the host. Fitted together with the engines their rows moved
the constants of all others to the worse, so that they are judged here alone: each of their sources is left out in turn.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from training_moat.calibrate import fit_serving, fit_serving_unseen
from training_moat.calibrate.fit_serving import Problem
from training_moat.calibrate.fit_serving_unseen import fitted_records, record
from training_moat.catalog import tables
from training_moat.predict import serving_software
from training_moat.predict.serving_constants import HOSTED, LEVELS, TABLE, Constants, interval_kind

HELD = "framework"
"""Before the source in the name of what was held out, which tells it from the sources of the first stage."""


def table(date: str) -> pd.DataFrame:
    """Both stages, as `data/calibration_serving.csv` stores them."""
    return with_frameworks(fit_serving_unseen.table(date), date)


def second_stage(date: str) -> pd.DataFrame:
    """The stored table with its second stage made anew: seconds, where the first takes half an hour."""
    return with_frameworks(tables.load(TABLE), date)


def with_frameworks(whole: pd.DataFrame, date: str) -> pd.DataFrame:
    """A table of constants with those of frameworks behind all others, which stay as they are."""
    first = whole[~of_frameworks(whole)]
    found = pd.DataFrame(_records(Constants.of(first)))
    return pd.concat([first, found.assign(date=date, confirmed="yes")], ignore_index=True)


def of_frameworks(whole: pd.DataFrame) -> pd.Series:
    """Which rows of a table of constants the second stage made."""
    engine = whole["key"].str.split("/").str[-1]
    own = whole["level"].isin(["software", "pair"]) & engine.isin(serving_software.frameworks())
    own |= whole["constant"].isin(HOSTED) | whole["key"].str.startswith(f"{HELD} ")
    kinds = tuple({interval_kind(engine) for engine in serving_software.frameworks()})
    return own | whole["constant"].str.startswith(kinds)


def _records(given: Constants) -> list[dict[str, object]]:
    """The constants of frameworks beside those `given`, what their fit says of sources that it has not seen, and intervals."""
    problem = Problem(fit_serving.usable_rows(framework=True), given.values)
    records = fitted_records(problem)
    tested = held_out(problem)
    tested = tested.assign(off=tested["predicted"] / tested["seconds_per_token"] - 1)
    for level in LEVELS:
        for name, end in zip(("p05", "p95"), ends(tested, given, level), strict=True):
            records.append(record(("interval", level, f"framework_{name}"), end, tested))
    for name, own in tested.groupby("held"):
        low, high = ends(tested[tested["held"] != name], given, "family")
        ratio = own["seconds_per_token"] / own["predicted"]
        told = {"mape": own["off"].abs().mean(), "coverage": ratio.between(low, high).mean()}
        records += [record(("held_out", str(name), key), one, own) for key, one in told.items()]
    return records


def held_out(problem: Problem) -> pd.DataFrame:
    """Each row `predicted` by constants fitted without its source (`held`)."""
    rows, parts = problem.rows, []
    for source in sorted(rows["source"].unique()):
        mask = (rows["source"] == source).to_numpy()
        logs = problem.solve(problem.middle, np.tile(~mask, 2).astype(float))
        off = np.exp(problem.errors(logs)[: len(rows)][mask])
        own = rows[mask].assign(predicted=rows.loc[mask, "seconds_per_token"] * off)
        parts.append(own.assign(held=f"{HELD} {source}"))
    return pd.concat(parts, ignore_index=True)


def ends(tested: pd.DataFrame, given: Constants, level: str) -> tuple[float, float]:
    """Factors on a framework's prediction that hold what was left out of the second stage, and no less than an engine's of
    the same level do."""
    own = fit_serving_unseen.intervals(tested.assign(level=level)).loc[level]
    low, high = given.interval(level)
    return min(low, float(own["p05"])), max(high, float(own["p95"]))
