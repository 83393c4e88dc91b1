"""Fitting the serving constants on the measured rows, and the intervals on what the fit has not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from training_moat.calibrate import measured_serving, reasons
from training_moat.calibrate.random_effects import ROBUST_SCALE, robust, robust_weight
from training_moat.catalog import chips, models, tables
from training_moat.core import serving_step
from training_moat.core.workload import layer_matmul_flops_per_token
from training_moat.predict import serving_formats, serving_software
from training_moat.predict.attainable import attainable
from training_moat.predict.fitted import Key
from training_moat.predict.records import mapped
from training_moat.predict.serving_batch import Batch, Question, batches, evaluate
from training_moat.predict.serving_constants import (
    FIXED,
    HOSTED,
    SPECULATIVE,
    YEARLY,
    Constants,
    factors,
    generic,
    maker,
    power_of,
    speaking,
)

FIRST_TOKEN_WEIGHT = 0.15
"""Weight of times to first token beside times per token: they hold queueing the rows do not describe."""
STEP = 1e-4
"""Step of the finite differences, in logarithms."""
SPREAD = 0.2 / ROBUST_SCALE
"""Scatter of the rows' logarithms: those farther off than 0.2 count less."""
STEPS = 100
LEAST_DAMPING, FREE, DAMPINGS = 1e-2, 0.1, 10
"""Damping in units of the priors' own curvature: the least, up to which a step counts as free, and how often a step is
tried."""
LARGEST_STEP = 0.7
"""No step of the search moves a constant by more, in logarithms."""
SETTLED = 1e-5
"""Share of the cost below which a step's gain ends the search."""


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
        values = constants.resolve(batch.families, batch.engines)
        told = _told(batch, whole_request, values)
        seconds[batch.positions], first[batch.positions] = told
    return seconds, first


def _told(
    batch: Batch, whole_request: np.ndarray, values: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(seconds per output token, seconds to the first token) of a batch of rows, of which some time whole requests."""
    told = evaluate(batch, values)
    request = batch.load.job.batch / told.tokens_per_s
    return np.where(whole_request[batch.positions], request, told.tpot_s), np.asarray(told.ttft_s)


def _ideal() -> dict[str, float]:
    """Constants of a machine that keeps its data sheet's promises with software that costs nothing."""
    whole = {name: float(one.share or name in FIXED) for name, one in generic().items()}
    reached = {"copy_coupling": 1.0, "kv_reread": 0.0, "acceptance": generic()["acceptance"].most}
    return whole | reached


def weight_read_s(prepared: list[Batch]) -> np.ndarray:
    """Seconds to read all touched weights and the cache once at the data sheet's bandwidth, for rows as `batches`."""
    seconds = np.zeros(sum(len(batch.positions) for batch in prepared))
    for batch in prepared:
        size = len(batch.positions)
        sheet = replace(batch, load=replace(batch.load, bandwidth_cap=np.inf))
        step = evaluate(
            sheet, {name: np.full(size, value) for name, value in _ideal().items()}
        ).step
        seconds[batch.positions] = step.weights + step.kv_cache
    return seconds


def beats_the_data_sheet(rows: pd.DataFrame) -> np.ndarray:
    """Rows faster than reading weights and cache at the full published bandwidth: unit or format not as stated."""
    too_fast = weight_read_s(batches(questions(rows))) > rows["seconds_per_token"].to_numpy()
    return too_fast & ~rows["software"].isin(SPECULATIVE).to_numpy()


def prompts_beat_the_matmuls(rows: pd.DataFrame) -> np.ndarray:
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


@tables.kept(copied=True, lasting=True)
def all_rows() -> pd.DataFrame:
    """Every measured row, those that physics forbids unusable as well."""
    rows = measured_serving.all_rows()
    stated = rows[rows["unusable"] == ""]
    why = [(pd.Series(of(stated), stated.index), words) for words, of in IMPOSSIBLE.items()]
    rows.loc[stated.index, "unusable"] = reasons.first(stated.index, why)
    return rows


def usable_rows(framework: bool = False) -> pd.DataFrame:
    """The measured rows that physics allows: those of engines, or those of frameworks, which are fitted apart
    (`fit_serving_frameworks`)."""
    rows = reasons.usable(all_rows())
    own = rows["software"].map(serving_software.is_framework) == framework
    return rows[own].reset_index(drop=True)


def row_weights(rows: pd.DataFrame) -> np.ndarray:
    """Weights by which a combination of source, model, chip and engine counts as the root of its rows."""
    key = ["source", "model", "chip", "software"]
    size = rows.groupby(key)["batch"].transform("size").to_numpy()
    weight = size**-0.25
    return weight / np.sqrt(np.mean(weight**2))


def _of_frameworks(key: Key) -> bool:
    """Whether a constant is fitted on frameworks' rows: what they alone feel, and their own factors."""
    level, owner, name = key
    return name in HOSTED or (level == "software" and serving_software.is_framework(owner))


def _fitted(told: list[dict[str, list[Key]]], families: set[str], later: bool) -> list[Key]:
    """The constants that the fit sets: the generic ones, then the factors of what was timed; of its `later` stage, those of
    frameworks alone."""
    of_maker = Counter(map(maker, families))
    order = {name: place for place, name in enumerate({**generic(), **factors()})}

    def is_fitted(key: Key) -> bool:
        level, owner, name = key
        # What the one family of a maker has is its own.
        alone = level == "maker" and of_maker[owner] == 1
        known = name in FIXED and owner not in SPECULATIVE
        return not alone and not known and _of_frameworks(key) == later

    found = {key for one in told for keys in one.values() for key in keys if is_fitted(key)}
    return sorted(found, key=lambda key: (key[0] != "generic", *key[:2], order[key[2]]))


def _priors(keys: list[Key]) -> tuple[np.ndarray, np.ndarray]:
    """Median and standard deviation of the constants' logarithms before any row is looked at."""
    told = [
        (generic() if key[0] == "generic" and key != YEARLY else factors())[key[2]] for key in keys
    ]
    return np.log([one.start for one in told]), np.array([one.log_sd for one in told])


def _repeated(batch: Batch, times: int) -> Batch:
    """A batch with its questions that many times in a row, to be asked with so many sets of constants in one call."""
    return mapped(
        batch, lambda part: np.tile(part, times) if isinstance(part, np.ndarray) else part
    )


class _Step(NamedTuple):
    """Where a step of the search ends, what it costs there, and how much it was damped."""

    logs: np.ndarray
    cost: float
    damping: float


class Problem:
    """The least-squares problem: rows, prepared once, and what is expected of their constants.

    A row's constants are those of its chip family and engine, its pair. `moves` says which of the fitted logarithms (`keys`)
    add up to that of each constant of each pair: a row's slopes by its two dozen constants give those by all factors.
    What is `given` stays as it is, and only what frameworks have of their own is fitted beside it.
    """

    def __init__(self, rows: pd.DataFrame, given: Mapping[Key, float] | None = None) -> None:
        self.rows, self.prepared = rows, batches(questions(rows))
        self.repeated = [_repeated(batch, len(generic())) for batch in self.prepared]
        self.whole_request = (rows["kind"] == "request").to_numpy()
        pairs = list(zip(chips.families(rows["chip"]), rows["software"], strict=True))
        known = sorted(set(pairs))
        self.pair = np.array([known.index(pair) for pair in pairs])
        told = [speaking(*pair) for pair in known]
        self.keys = _fitted(told, {family for family, _ in known}, given is not None)
        self.moves = np.array(
            [
                [
                    [(key in keys) * power_of(key, pair[0]) for key in self.keys]
                    for keys in one.values()
                ]
                for pair, one in zip(known, told, strict=True)
            ]
        )
        # What is fitted comes on top of what is not.
        still = Constants({**(given or {}), **dict.fromkeys(self.keys, 1.0)})
        self.base = np.log([still.of_pair(*pair) for pair in known])
        self.middle, self.width = _priors(self.keys)
        self.most = np.array([one.most for one in generic().values()])
        self.measured = np.log(np.concatenate([rows["seconds_per_token"], rows["ttft_s"]]))
        self.weight = np.outer([1.0, FIRST_TOKEN_WEIGHT**2], row_weights(rows) ** 2).ravel()

    def constants(self, logs: np.ndarray) -> Constants:
        """The constants by key."""
        return Constants(dict(zip(self.keys, map(float, np.exp(logs)), strict=True)))

    def about(self, key: Key) -> np.ndarray:
        """Positions of the rows that a constant moves."""
        moved = np.asarray(self.moves[:, :, self.keys.index(key)].any(axis=1))
        return np.flatnonzero(moved[self.pair])

    def _errors(self, own: np.ndarray, prepared: list[Batch]) -> np.ndarray:
        """Logarithms of predicted over measured seconds per token, then to the first token (zero where not measured), by
        the logarithms of each pair's constants, in as many versions (the first axis) as the rows are `prepared` in."""
        values = np.minimum(np.exp(own), self.most)
        told = np.zeros((2, len(own), len(self.rows)))
        for batch, once in zip(prepared, self.prepared, strict=True):
            constants = values[:, self.pair[once.positions]].transpose(2, 0, 1)
            flat = {name: one.ravel() for name, one in zip(generic(), constants, strict=True)}
            found = np.stack(_told(batch, self.whole_request, flat))
            told[:, :, once.positions] = found.reshape(2, len(own), -1)
        return np.nan_to_num(np.log(np.concatenate(told, axis=1)) - self.measured)

    def errors(self, logs: np.ndarray) -> np.ndarray:
        """`_errors` by the fitted logarithms."""
        return self._errors(self._own(logs)[None], self.prepared)[0]

    def _own(self, logs: np.ndarray) -> np.ndarray:
        """Logarithms of each pair's constants by the fitted ones."""
        return np.asarray(self.base + self.moves @ logs)

    def cost(self, logs: np.ndarray, kept: np.ndarray) -> float:
        """Half the sum of the robust squares of errors and priors, of the rows `kept`."""
        rows = self.weight * kept @ robust(self.errors(logs) / SPREAD) ** 2
        return float(rows + np.sum(robust(self._from_priors(logs)) ** 2)) / 2

    def _from_priors(self, logs: np.ndarray) -> np.ndarray:
        """How far constants are from what is expected, in units that damp those over a standard deviation off, so that one
        odd family or engine does not drag the generic value along."""
        return ROBUST_SCALE * (logs - self.middle) / self.width

    def slopes(self, logs: np.ndarray) -> np.ndarray:
        """Forward differences of the errors by each of a row's constants."""
        steps = STEP * np.eye(len(generic()))[:, None]
        moved = self._errors(self._own(logs) + steps, self.repeated)
        return (moved - self.errors(logs)).T / STEP

    def downhill(
        self, logs: np.ndarray, kept: np.ndarray, slopes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(gradient of the cost, its curvature as Gauss and Newton take it: outliers reweighted, Holland and Welsch
        1977), by the errors at `logs` and their `slopes`, there or nearby."""
        error, far = self.errors(logs), self._from_priors(logs)
        pull = ROBUST_SCALE / self.width * robust_weight(far)
        gradient, curvature = pull * far, np.diag(pull * ROBUST_SCALE / self.width)
        weight = self.weight * kept * robust_weight(error / SPREAD) / SPREAD**2
        for pair, moves in enumerate(self.moves):
            own = np.tile(self.pair == pair, 2) & (weight > 0)
            felt = np.flatnonzero(moves.any(axis=0))
            tilted = slopes[own].T * weight[own]
            gradient[felt] += moves[:, felt].T @ (tilted @ error[own])
            curvature[np.ix_(felt, felt)] += (
                moves[:, felt].T @ (tilted @ slopes[own]) @ moves[:, felt]
            )
        return gradient, curvature

    def solve(self, start: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """The logarithms that explain the rows `kept` and the priors best, beginning at `start`: steps by the curvature,
        damped as far as it takes (Levenberg 1944; Marquardt 1963), until they gain nothing to speak of.

        There are many minima of about one cost. A search that begins at another fit may end in one that it owes to rows
        which are not kept, so what is told of such rows begins at the priors, `middle`.
        """
        logs, cost, damping, idle = start, self.cost(start, kept), LEAST_DAMPING, 0
        slopes, nearby = self.slopes(start), False
        for _ in range(STEPS):
            found = self._step(logs, cost, kept, slopes, damping, 1 if nearby else DAMPINGS)
            if found is None and not nearby:
                break
            small = found is None or cost - found.cost < SETTLED * cost
            if found is not None:
                logs, cost = found.logs, found.cost
                damping = max(found.damping / 3, LEAST_DAMPING)
            if found is not None and not nearby:
                # The small gain of a much damped step may be a kink's: two of them end the search.
                idle = (idle + (1 if found.damping > FREE else 2)) * small
                if idle >= 2:
                    break
            # Slopes cost ten times what errors do, and serve the next step as well where this one gained much.
            nearby = not nearby and not small
            slopes = slopes if nearby else self.slopes(logs)
        return logs

    def _step(
        self,
        logs: np.ndarray,
        cost: float,
        kept: np.ndarray,
        slopes: np.ndarray,
        damping: float,
        tries: int,
    ) -> _Step | None:
        """The first step that costs less, damped more with each of the `tries`; None where there is none."""
        gradient, curvature = self.downhill(logs, kept, slopes)
        stiffness = np.diag((ROBUST_SCALE / self.width) ** 2)
        for _ in range(tries):
            step = -np.linalg.solve(curvature + damping * stiffness, gradient)
            moved = logs + np.clip(step, -LARGEST_STEP, LARGEST_STEP)
            found = self.cost(moved, kept)
            if found < cost:
                return _Step(moved, found, damping)
            damping *= 4
        return None


def fit(rows: pd.DataFrame | None = None) -> Constants:
    """The constants that fit the rows best: least squares of log(predicted / measured), outliers damped,
    every factor held to one by a prior so that little data moves it little."""
    problem = Problem(usable_rows() if rows is None else rows)
    return problem.constants(problem.solve(problem.middle, np.ones(2 * len(problem.rows))))
