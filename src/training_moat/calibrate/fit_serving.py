"""Fitting the serving constants on the measured rows, and the intervals on what the fit has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_serving
from training_moat.catalog import chips, models
from training_moat.core import serving_step
from training_moat.core.workload import layer_matmul_flops_per_token
from training_moat.predict import serving_formats
from training_moat.predict.attainable import attainable
from training_moat.predict.serving_batch import Batch, Question, batches, evaluate
from training_moat.predict.serving_constants import (
    FIXED,
    OF_ENGINE,
    OF_FAMILY,
    OF_PAIR,
    SHARES,
    SPECULATIVE,
    START,
    Constants,
    lineage,
    maker,
)

GENERIC_SPREAD = 0.7
"""Prior standard deviation (in logarithms) of a generic constant about its start."""

FACTOR_SPREAD = {
    "bandwidth_efficiency": 0.06,
    "matmul_efficiency": 0.09,
    "score_efficiency": 0.09,
    "kv_efficiency": 0.09,
    "kv_reread": 0.4,
    "prefill_share": 0.09,
    "mixed": 0.4,
    "tokens_per_step": 0.24,
}
"""Prior standard deviation of a factor of a maker, family, engine, era or port about one; overheads vary more. Rows of one source
share its peculiarities, so that thousands of them must not move a factor as thousands of sources would: the smaller of
the scales tried (1 and 0.6 times 0.1, 0.15, 0.4 and 0.3) predicts sources, chips and models that were left out better."""

OVERHEAD_SPREAD = 0.18
IDEAL = {name: 1.0 for name in (*SHARES, *FIXED, "acceptance", "copy_coupling")} | {
    "kv_reread": 0.0
}
"""Constants of a machine that keeps its data sheet's promises with software that costs nothing."""
FIRST_TOKEN_WEIGHT = 0.15
"""Weight of times to first token beside times per token: they hold queueing the rows do not describe."""
STEP = 1e-4
"""Step of the finite differences, in logarithms."""
EVALUATIONS = 15
"""Steps of the fit; the error changes in the fourth digit afterwards."""
OUTLIER = 0.2
"""Residuals (in logarithms) beyond which a row counts less."""


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
            row.kv_precision,
            row.batch,
            row.input_len,
            row.output_len,
            serving_step.ServingPlan(row.tp, row.pp, row.dp, row.ep, row.expert_tp),
            row.attention,
            row.drafted,
            row.copies,
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


def weight_read_s(rows: pd.DataFrame, prepared: list[Batch] | None = None) -> np.ndarray:
    """Seconds to read all touched weights and the cache once at the data sheet's bandwidth."""
    ideal = Constants({("generic", "all", name): IDEAL.get(name, 0.0) for name in START})
    seconds = np.zeros(len(rows))
    for batch in batches(questions(rows)) if prepared is None else prepared:
        sheet = replace(batch, bandwidth_cap=np.ones(len(batch.positions)))
        step = evaluate(sheet, ideal.resolve(batch.families, batch.engines)).step
        seconds[batch.positions] = step.weights + step.kv_cache
    return seconds


def beats_the_data_sheet(rows: pd.DataFrame, prepared: list[Batch] | None = None) -> np.ndarray:
    """Rows faster than reading weights and cache at the full published bandwidth: unit or format not as stated."""
    too_fast = weight_read_s(rows, prepared) > rows["seconds_per_token"].to_numpy()
    return too_fast & ~rows["software"].isin(SPECULATIVE).to_numpy()


def prompts_beat_the_matmuls(rows: pd.DataFrame, _: list[Batch] | None = None) -> np.ndarray:
    """Rows of deployments where some run passes its prompts faster than the chip's largest matmuls (table matmul_maxima)
    would multiply them: their prompts were cached, or did not all pass while their clients waited."""
    sizes = (rows[name] for name in ("tp", "pp", "dp", "ep", "expert_tp"))
    work = {name: layer_matmul_flops_per_token(models.model(name)) for name in set(rows["model"])}
    units = list(zip(rows["chip"], rows["precision"], strict=True))
    rate = {unit: _largest_matmul_flops(*unit) for unit in set(units)}
    needed = rows["batch"] * rows["input_len"] * rows["model"].map(work)
    needed = needed / (serving_step.ServingPlan(*sizes).chips * [rate[unit] for unit in units])
    taken = rows["seconds_per_token"] * rows["output_len"]
    taken = taken.where(rows["kind"] == "request", taken + rows["ttft_s"].fillna(np.inf))
    key = [rows[name] for name in ("source", "model", "chip", "software", "precision")]
    return (needed > taken).groupby(key).transform("any").to_numpy()


def _largest_matmul_flops(chip_id: str, precision: str) -> float:
    """Multiplications and additions a second of a large matmul on a chip."""
    chip = chips.chip(chip_id)
    used = serving_formats.multiplied_in(chip, precision)
    return chip.peak_flops[used] * attainable(chip, used).share


IMPOSSIBLE = {
    "faster than the data sheet's bandwidth allows": beats_the_data_sheet,
    "prompts pass faster than the chip multiplies": prompts_beat_the_matmuls,
}
"""What physics forbids, by the reason that is given."""


def forbidden(rows: pd.DataFrame, prepared: list[Batch] | None = None) -> np.ndarray:
    """Where measured rows are what physics forbids."""
    return np.any([found(rows, prepared) for found in IMPOSSIBLE.values()], axis=0)


def usable_rows() -> pd.DataFrame:
    """The measured rows that physics allows."""
    rows = measured_serving.usable_rows()
    return rows[~forbidden(rows)].reset_index(drop=True)


def row_weights(rows: pd.DataFrame) -> np.ndarray:
    """Weights by which a combination of source, model, chip and engine counts as the root of its rows."""
    key = ["source", "model", "chip", "software"]
    size = rows.groupby(key)["batch"].transform("size").to_numpy()
    weight = size**-0.25
    return weight / np.sqrt(np.mean(weight**2))


def groups(rows: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Which rows each (level, key) of the factors moves."""
    family = rows["chip"].map({name: chips.chip(name).family for name in rows["chip"].unique()})
    born = {name: lineage(name) for name in rows["software"].unique()}
    base, era = (rows["software"].map({n: one[i] for n, one in born.items()}) for i in (0, 1))
    several = family.groupby(family.map(maker)).transform("nunique") > 1
    of_row = {
        # What the one family of a maker has is its own.
        "maker": [family.map(maker).where(several, "")],
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


OF_LEVEL = {
    "maker": OF_FAMILY,
    "family": OF_FAMILY,
    "era": OF_ENGINE,
    "software": OF_ENGINE,
    "port": OF_PAIR,
}
"""Constants with a factor at each level."""


def _parameters(moved: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    return [("generic", "all", name) for name in START if name not in FIXED] + [
        (level, key, name)
        for level, key in moved
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


class Problem:
    """The least-squares problem: rows, prepared once whole and once per chip family and engine, because a
    factor only moves the rows it belongs to."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        moved = groups(rows)
        self.keys = _parameters(moved)
        self.start, self.spread = _start_and_spread(self.keys)
        self.weight = row_weights(rows)
        asked = questions(rows)
        self.whole = batches(asked)
        self.parts = {
            key: (where, batches([asked[i] for i in where])) for key, where in moved.items()
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
    problem = Problem(usable_rows() if rows is None else rows)
    first = problem.start
    if start is not None:
        first = np.log(
            [
                start.values.get(key, np.exp(value))
                for key, value in zip(problem.keys, problem.start)
            ]
        )
    from scipy.optimize import least_squares  # slow to import, and only fits need it

    solved = least_squares(problem.residuals, first, jac=problem.jacobian, max_nfev=evaluations)
    return Constants(dict(zip(problem.keys, np.exp(solved.x))))
