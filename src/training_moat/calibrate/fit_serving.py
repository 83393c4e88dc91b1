"""Fitting the serving constants on the measured rows, and the intervals on what the fit has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from training_moat.calibrate import measured_serving
from training_moat.catalog import chips, models
from training_moat.core import serving_step
from training_moat.predict.serving import MEASURED_SOURCES
from training_moat.predict.serving_batch import Batch, Question, batches, evaluate
from training_moat.predict.serving_constants import (
    FIXED,
    KV_PRECISION,
    OF_ENGINE,
    OF_FAMILY,
    OF_PAIR,
    SHARES,
    SPECULATIVE,
    START,
    Constants,
    lineage,
)

GENERIC_SPREAD = 0.7
"""Prior standard deviation (in logarithms) of a generic constant about its start."""

FACTOR_SPREAD = {
    "bandwidth_efficiency": 0.25,
    "matmul_efficiency": 0.35,
    "kv_efficiency": 0.35,
    "prefill_share": 0.35,
    "tokens_per_step": 0.4,
}
"""Prior standard deviation of a family's or engine's factor about one; overheads vary more."""

OVERHEAD_SPREAD = 0.7
IDEAL = {name: 1.0 for name in (*SHARES, *FIXED, "prefill_share", "copy_coupling")} | {
    "kv_reread": 0.0
}
"""Constants of a machine that keeps its data sheet's promises with software that costs nothing."""
FIRST_TOKEN_WEIGHT = 0.15
"""Weight of times to first token beside times per token: they hold queueing the rows do not describe."""
STEP = 1e-4
"""Step of the finite differences, in logarithms."""
KNOWLEDGE = ("measured", "family", "generic")
"""What a fit knows of a chip and engine, most first."""
MANY_ROWS = 150
"""Rows from which on a model is held out in turn."""
LEAVING_STEPS = 9
"""Steps by which a fit is moved off the rows held out."""
REFRESHED_SHARE, REFRESHED_EVERY = 0.1, 3
"""Share of the rows from which on the slopes are computed anew on the way, and after how many steps."""
DAMPINGS = (0.0, 0.1, 1.0, 10.0)
LARGEST_STEP = 0.7
"""No step moves a constant by more, in logarithms."""
EVALUATIONS = 15
"""Steps of the fit; the error changes in the fourth digit afterwards."""
OUTLIER = 0.2
"""Residuals (in logarithms) beyond which a row counts less."""

LEVELS = (0.05, 0.95)
"""The quantiles of measured over predicted that an interval reports."""


def questions(rows: pd.DataFrame) -> list[Question]:
    """The measured rows as questions to the model."""
    known_models = {name: models.model(name) for name in rows["model"].unique()}
    known_chips = {name: chips.chip(name) for name in rows["chip"].unique()}
    return [
        Question(
            known_models[row.model],
            known_chips[row.chip],
            row.software,
            row.precision,
            KV_PRECISION,
            row.batch,
            row.input_len,
            row.output_len,
            serving_step.ServingPlan(row.tp, row.pp, row.dp, row.ep, row.expert_tp),
        )
        for row in rows.itertuples()
    ]


def predict(
    rows: pd.DataFrame, constants: Constants, prepared: list[Batch] | None = None
) -> np.ndarray:
    """Seconds per output token for measured rows, as each row's `kind` defines it."""
    return predict_both(rows, constants, prepared)[0]


def predict_both(
    rows: pd.DataFrame, constants: Constants, prepared: list[Batch] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(seconds per output token, seconds to the first token) for measured rows."""
    prepared = batches(questions(rows)) if prepared is None else prepared
    seconds, first = np.zeros(len(rows)), np.zeros(len(rows))
    whole_request = (rows["kind"] == "request").to_numpy()
    for batch in prepared:
        told = evaluate(batch, constants.resolve(batch.families, batch.engines))
        request = batch.job.batch / told.tokens_per_s
        seconds[batch.positions] = np.where(whole_request[batch.positions], request, told.tpot_s)
        first[batch.positions] = told.ttft_s
    return seconds, first


def beats_the_data_sheet(rows: pd.DataFrame) -> np.ndarray:
    """Rows faster than reading weights and cache at the full published bandwidth: unit or format not as stated."""
    ideal = Constants({("generic", "all", name): IDEAL.get(name, 0.0) for name in START})
    floor = np.zeros(len(rows))
    for batch in batches(questions(rows)):
        sheet = replace(batch, bandwidth_cap=np.ones(len(batch.positions)))
        step = evaluate(sheet, ideal.resolve(batch.families, batch.engines)).step
        floor[batch.positions] = step.weights + step.kv_cache
    too_fast = floor > rows["seconds_per_token"].to_numpy()
    return too_fast & ~rows["software"].isin(SPECULATIVE).to_numpy()


def usable_rows() -> pd.DataFrame:
    """The measured rows that physics allows."""
    rows = measured_serving.usable_rows()
    return rows[~beats_the_data_sheet(rows)].reset_index(drop=True)


def row_weights(rows: pd.DataFrame) -> np.ndarray:
    """Weights by which a combination of source, model, chip and engine counts as the root of its rows."""
    key = ["source", "model", "chip", "software"]
    size = rows.groupby(key)["batch"].transform("size").to_numpy()
    weight = size**-0.25
    return weight / np.sqrt(np.mean(weight**2))


def _groups(rows: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Which rows each (level, key) of the factors moves."""
    family = rows["chip"].map({name: chips.chip(name).family for name in rows["chip"].unique()})
    born = {name: lineage(name) for name in rows["software"].unique()}
    base, era = (rows["software"].map({n: one[i] for n, one in born.items()}) for i in (0, 1))
    of_row = {
        "family": [family],
        "era": [era],
        "software": [base, rows["software"]],
        "port": [family + "/" + base, family + "/" + rows["software"]],
    }
    found: dict[tuple[str, str], np.ndarray] = {}
    for level, columns in of_row.items():
        for column in columns:
            for key, where in column.groupby(column).indices.items():
                if key:
                    found[level, str(key)] = np.sort(where)
    return dict(sorted(found.items()))


OF_LEVEL = {"family": OF_FAMILY, "era": OF_ENGINE, "software": OF_ENGINE, "port": OF_PAIR}
"""Constants with a factor at each level."""


def _parameters(groups: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    return [("generic", "all", name) for name in START if name not in FIXED] + [
        (level, key, name)
        for level, key in groups
        for name in OF_LEVEL[level]
        if name not in FIXED or key in SPECULATIVE
    ]


def _start_and_spread(keys: list[tuple[str, str, str]]) -> tuple[np.ndarray, np.ndarray]:
    start = [np.log(START[name]) if level == "generic" else 0.0 for level, _, name in keys]
    spread = [
        GENERIC_SPREAD if level == "generic" else FACTOR_SPREAD.get(name, OVERHEAD_SPREAD)
        for level, _, name in keys
    ]
    return np.array(start), np.array(spread)


def _damped(error: np.ndarray) -> np.ndarray:
    """Errors whose square grows like |error| beyond `OUTLIER` (the soft L1 loss)."""
    return np.sign(error) * OUTLIER * np.sqrt(2 * (np.sqrt(1 + (error / OUTLIER) ** 2) - 1))


class _Problem:
    """The least-squares problem: rows, prepared once whole and once per chip family and engine, because a
    factor only moves the rows it belongs to."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        groups = _groups(rows)
        self.keys = _parameters(groups)
        self.start, self.spread = _start_and_spread(self.keys)
        self.weight = row_weights(rows)
        asked = questions(rows)
        self.whole = batches(asked)
        self.parts = {
            key: (where, batches([asked[i] for i in where])) for key, where in groups.items()
        }

    def row_residuals(
        self, logs: np.ndarray, where: np.ndarray | None = None, prepared: list[Batch] | None = None
    ):
        """Weighted, damped log errors of all rows or of one part of them."""
        rows = self.rows if where is None else self.rows.iloc[where]
        weight = self.weight if where is None else self.weight[where]
        constants = Constants(dict(zip(self.keys, np.exp(logs))))
        found, first = predict_both(rows, constants, self.whole if prepared is None else prepared)
        error = np.log(found / rows["seconds_per_token"].to_numpy())
        first_error = np.nan_to_num(np.log(first / rows["ttft_s"].to_numpy()))
        return np.concatenate(
            [weight * _damped(error), FIRST_TOKEN_WEIGHT * weight * _damped(first_error)]
        )

    def prior_residuals(self, logs: np.ndarray) -> np.ndarray:
        """Distance of each constant from its prior, far ones damped so that one odd family or engine does
        not drag the generic value along."""
        return _damped((logs - self.start) / self.spread * OUTLIER)

    def residuals(self, logs: np.ndarray) -> np.ndarray:
        """Rows first, then the priors."""
        return np.append(self.row_residuals(logs), self.prior_residuals(logs))

    def jacobian(self, logs: np.ndarray) -> np.ndarray:
        """Forward differences, each over the rows its constant can move."""
        count = len(self.rows)
        slopes = np.zeros((2 * count + len(self.keys), len(self.keys)))
        slopes[2 * count :, :] = np.diag(
            (self.prior_residuals(logs + STEP) - self.prior_residuals(logs)) / STEP
        )
        here = self.row_residuals(logs)
        for column, (level, key, _) in enumerate(self.keys):
            moved = logs.copy()
            moved[column] += STEP
            where, prepared = self.parts.get((level, key), (np.arange(count), None))
            both = np.concatenate([where, where + count])
            slopes[both, column] = (self.row_residuals(moved, where, prepared) - here[both]) / STEP
        return slopes


def fit(
    rows: pd.DataFrame | None = None, start: Constants | None = None, evaluations: int = EVALUATIONS
) -> Constants:
    """The constants that fit the rows best: least squares of log(predicted / measured), outliers damped,
    every factor held to one by a prior so that little data moves it little. `start` warm-starts the search."""
    problem = _Problem(usable_rows() if rows is None else rows)
    first = problem.start
    if start is not None:
        first = np.log(
            [
                start.values.get(key, np.exp(value))
                for key, value in zip(problem.keys, problem.start)
            ]
        )
    solved = least_squares(problem.residuals, first, jac=problem.jacobian, max_nfev=evaluations)
    return Constants(dict(zip(problem.keys, np.exp(solved.x))))


def splits(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """What is held out in turn: each source, each chip, each chip family, each model with many rows; what would leave
    the same rows out as one before it, once."""
    family = rows["chip"].map(lambda name: chips.chip(name).family)
    many = [name for name, count in rows["model"].value_counts().items() if count >= MANY_ROWS]
    held = {f"source {name}": rows["source"] == name for name in sorted(rows["source"].unique())}
    held |= {f"family {name}": family == name for name in sorted(family.unique())}
    held |= {f"chip {name}": rows["chip"] == name for name in sorted(rows["chip"].unique())}
    held |= {f"model {name}": rows["model"] == name for name in sorted(many)}
    different = {mask.to_numpy().tobytes(): name for name, mask in reversed(held.items())}
    return {name: held[name].to_numpy() for name in held if name in different.values()}


def support(known: pd.DataFrame, asked: pd.DataFrame) -> list[str]:
    """What `known` rows tell of each row asked: `measured` where two sources or more timed its engine on its chip,
    `family` where any timed its chip or its chip's family, else `generic`."""
    sources = known.groupby(["chip", "software"])["source"].nunique()
    pairs = set(sources[sources >= MEASURED_SOURCES].index)
    families = {chips.chip(chip).family for chip in known["chip"].unique()}
    return [
        "measured"
        if (row.chip, row.software) in pairs
        else "family"
        if chips.chip(row.chip).family in families
        else "generic"
        for row in asked.itertuples()
    ]


class _Leaving:
    """Fits that never saw some rows, found from the full fit in a few steps: the slopes of the rows that stay are those
    of the full fit (Gauss-Newton with a frozen Jacobian), only the residuals and the priors are evaluated anew."""

    def __init__(self, rows: pd.DataFrame, constants: Constants) -> None:
        self.problem = _Problem(rows)
        self.logs = np.log([constants.values.get(key, 1.0) for key in self.problem.keys])
        self.slopes = self.problem.jacobian(self.logs)[: 2 * len(rows)]

    def _cost(self, logs: np.ndarray, kept: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        rows, priors = (self.problem.row_residuals(logs)[kept], self.problem.prior_residuals(logs))
        return float(rows @ rows + priors @ priors), rows, priors

    def without(self, mask: np.ndarray) -> Constants:
        """The constants fitted to the rows outside `mask`."""
        kept = np.tile(~mask, 2)
        slopes = self.slopes[kept]
        # What no row is left to speak of goes back to its prior.
        logs = np.where(np.any(slopes != 0, axis=0), self.logs, self.problem.start)
        for step in range(LEAVING_STEPS):
            if step and step % REFRESHED_EVERY == 0 and mask.mean() > REFRESHED_SHARE:
                slopes = self.problem.jacobian(logs)[: 2 * len(mask)][kept]
            logs = self._stepped(logs, kept, slopes)
        return Constants(dict(zip(self.problem.keys, np.exp(logs), strict=True)))

    def _stepped(self, logs: np.ndarray, kept: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """One step downhill, damped as far as it takes (Levenberg 1944; Marquardt 1963)."""
        cost, rows, priors = self._cost(logs, kept)
        pull = (self.problem.prior_residuals(logs + STEP) - priors) / STEP
        curvature = slopes.T @ slopes + np.diag(pull**2 + STEP)
        downhill = -(slopes.T @ rows + pull * priors)
        for damping in DAMPINGS:
            damped = curvature + damping * np.diag(np.diag(curvature))
            move = np.clip(np.linalg.solve(damped, downhill), -LARGEST_STEP, LARGEST_STEP)
            if self._cost(logs + move, kept)[0] < cost:
                return logs + move
        return logs


def held_out(rows: pd.DataFrame, constants: Constants) -> pd.DataFrame:
    """Each row predicted by constants fitted without its source, its chip, its chip family, its model.

    Columns: those of `rows`, `held` (what was left out), `level` (what the fit still knew: measured, family,
    generic, as in `serving.level`) and `predicted`.
    """
    leaving = _Leaving(rows, constants)
    parts = []
    for name, mask in splits(rows).items():
        if mask.all():
            continue
        left = rows[mask].reset_index(drop=True)
        level = support(rows[~mask], left)
        seconds = predict(left, leaving.without(mask))
        parts.append(left.assign(held=name, level=level, predicted=seconds))
    return pd.concat(parts, ignore_index=True)


def intervals(tested: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of measured over predicted by level, over everything that was held out (split conformal
    prediction, Lei et al. 2018, with the held-out folds as calibration set).

    Sources weigh by the square root of their rows, as in the fit of training, so that one long table does not set the
    width alone. A level that knows less is never given a narrower interval.
    """
    weight = tested.groupby(["level", "source"])["batch"].transform("size") ** -0.5
    found = {}
    for level in [level for level in KNOWLEDGE if (tested["level"] == level).any()]:
        own = tested[tested["level"] == level]
        ratio = (own["seconds_per_token"] / own["predicted"]).to_numpy()
        order = np.argsort(ratio, kind="stable")
        share = np.cumsum(weight[own.index].to_numpy()[order])
        found[level] = [float(ratio[order][np.searchsorted(share, q * share[-1])]) for q in LEVELS]
    table = pd.DataFrame.from_dict(found, orient="index", columns=["p05", "p95"])
    return pd.DataFrame({"p05": table["p05"].cummin(), "p95": table["p95"].cummax()})


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


def table(date: str, start: Constants | None = None) -> pd.DataFrame:
    """The constants as `data/calibration_serving.csv` stores them: value, origin, date, residual.

    `start` warm-starts the fit, for a refit after few rows have changed.
    """
    rows = usable_rows()
    constants = fit(rows, start)
    error = (predict(rows, constants) / rows["seconds_per_token"] - 1).abs()
    about = {("generic", "all"): np.arange(len(rows))} | _groups(rows)
    records = []
    for (level, key, name), value in constants.values.items():
        used = about[level, key]
        records.append(_record(level, key, name, value, rows.iloc[used], error.iloc[used], date))
    for (chip, engine), group in rows.groupby(["chip", "software"]):
        for name, count in (("rows", len(group)), ("sources", group["source"].nunique())):
            records.append(
                _record("pair", f"{chip}/{engine}", name, count, group, error[group.index], date)
            )
    tested = held_out(rows, constants)
    wrong = (tested["predicted"] / tested["seconds_per_token"] - 1).abs()
    for level, row in intervals(tested).iterrows():
        used = tested["level"] == level
        for name in ("p05", "p95"):
            records.append(
                _record("interval", level, name, row[name], tested[used], wrong[used], date)
            )
    for row in held_out_errors(tested).itertuples():
        used = tested["held"] == row.held
        for name in ("mape", "coverage"):
            records.append(
                _record(
                    "held_out", row.held, name, getattr(row, name), tested[used], wrong[used], date
                )
            )
    return pd.DataFrame(records)


def _record(
    level: str, key: str, name: str, value: float, rows: pd.DataFrame, error: pd.Series, date: str
) -> dict[str, object]:
    sources = {measured_serving.TABLE_SOURCE.get(source, source) for source in rows["source"]}
    return {
        "level": level,
        "key": key,
        "constant": name,
        "value": float(f"{value:.4g}"),
        "rows": len(rows),
        "mape": round(float(error.mean()), 4),
        "source": ";".join(sorted(sources)),
        "date": date,
        "confirmed": "yes",
    }
