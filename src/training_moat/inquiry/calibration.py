"""Fitting the training model's few constants to the measured runs.

One set of constants, fitted once on everything: generic values, and factors for chip families, chips and
software stacks. Each constant has a prior (its physical expectation) and a width; the fit is a robust least
squares on log step times in which every source carries weight by the square root of its size, so that one long
table does not decide alone. There is no constant per row, per model or per source.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares

from ..catalog import chips as chip_catalog
from ..core.fabrics import Fabric
from ..core.machine import Chip
from ..core.training import Node, StepTime, step_time
from . import constants as known
from .constants import WIDTH_OF_FORMAT, Constants
from .measured_training import Rows

NOISE = 0.08
"""Scatter of log step times between repeated runs of one configuration in the tables (releases of one stack)."""
ROBUST_SCALE = 2.0
"""Residuals beyond this many NOISE count linearly, not squared."""
FULL_WEIGHT_ROWS = 40
"""A source of this many rows has weight one per row; larger ones less, smaller ones up to MAX_WEIGHT."""
MAX_WEIGHT = 2.5

Key = tuple[str, str, str]

GENERIC_PRIORS: dict[str, tuple[float, float, str]] = {
    "matmul_16": (0.75, 0.10, "large BF16 products reach 70 to 85% of the data sheet (A100 270 of 312, H100 700 to 760 of 989)"),
    "matmul_8": (0.65, 0.12, "FP8 products are limited by power sooner than BF16 ones"),
    "matmul_8mx": (0.60, 0.12, "block scales cost a little more"),
    "matmul_4": (0.50, 0.15, "as above, twice"),
    "attention": (0.45, 0.30, "FlashAttention-2 on A100: 50 to 73% forward, less backward (Dao 2023, figure 4)"),
    "memory": (0.80, 0.15, "STREAM-like kernels reach 80 to 92% of HBM peak"),
    "reread": (1.0, 0.30, "tiles of a product fetch their operands more than once; ragged edges waste the rest"),
    "expert": (0.60, 0.40, "grouped products against one product of the same FLOPs"),
    "layer_seconds": (2e-5, 1.0, "a dozen kernel launches of a few microseconds"),
    "expert_layer_seconds": (1e-4, 1.0, "routing and its host synchronisation"),
    "step_seconds": (5e-3, 1.0, "data loading, logging, gradient norm"),
    "scaleup": (0.70, 0.20, "collectives beside computation against line rate"),
    "scaleup_torus": (0.70, 0.20, "the same on rings and tori, whose rings XLA keeps busy"),
    "scaleout": (0.60, 0.30, "the same over the cluster network"),
    "straggling": (0.01, 0.70, "slow-down per doubling of the replicas"),
    "other_stack": (0.70, 0.30, "speed of a stack's own kernels against the best stack's, where it is another"),
    "exposed_data": (0.50, 0.50, "share of data-parallel traffic not hidden"),
    "exposed_tensor": (0.50, 0.50, "share of tensor-parallel traffic not hidden"),
    "exposed_expert": (0.60, 0.50, "share of expert exchange not hidden"),
}
"""Prior median, prior standard deviation of its logarithm, and why."""

FACTOR_WIDTHS = {
    ("family", "matmul"): 0.10,
    ("family", "attention"): 0.30,
    ("family", "matmul_16"): 0.05,
    ("family", "matmul_8"): 0.05,
    ("family", "matmul_8mx"): 0.05,
    ("family", "matmul_4"): 0.05,
    ("chip", "matmul"): 0.05,
    ("software", "kernels"): 0.30,
    ("software", "matmul"): 0.10,
}
"""Prior standard deviation of the logarithm of each kind of factor (prior median one)."""
SHARES = ("memory", "exposed_data", "exposed_tensor", "exposed_expert")
"""Generic constants that cannot exceed one."""


@dataclass(frozen=True)
class Group:
    """Rows whose chips share the shape of their networks: timed in one call.

    `kinds` are the distinct (chip, format, stack) triples, `which` the kind of every row.
    """

    index: np.ndarray
    rows: Rows
    node: Node
    kinds: list[tuple[Chip, str, str]]
    which: np.ndarray


@dataclass(frozen=True)
class Fit:
    """A fitted set: the constants, how far each moved, and the rows behind each."""

    constants: Constants
    keys: tuple[Key, ...]
    prior: dict[Key, tuple[float, float]]
    support: dict[Key, tuple[int, int]]


def groups(rows: Rows, constants: Constants) -> list[Group]:
    """Split rows by the topologies of their chips' links; link efficiencies come in later as constants."""
    labels = list(zip(rows.frame["chip_id"], rows.frame["format"], rows.frame["stack"], strict=True))
    chips = chip_catalog.all_chips()
    nodes = {label: known.node(constants, chips[label[0]], label[1]) for label in set(labels)}
    shape = [f"{nodes[label].scaleup.topology}/{nodes[label].scaleout.topology}" for label in labels]
    found = []
    for topology in sorted(set(shape)):
        index = np.flatnonzero([name == topology for name in shape])
        own = [labels[i] for i in index]
        distinct = sorted(set(own))
        which = np.array([distinct.index(label) for label in own])
        mask = np.zeros(len(labels), bool)
        mask[index] = True
        node = _stack([nodes[label] for label in distinct], which)
        kinds = [(chips[chip], precision, stack) for chip, precision, stack in distinct]
        found.append(Group(index, rows.take(mask), node, kinds, which))
    return found


def _stack(records: list[Any], which: np.ndarray) -> Any:
    """One record whose numeric fields are arrays over rows, from one record per label."""
    first = records[0]
    columns: dict[str, Any] = {}
    for name, value in vars(first).items():
        if isinstance(value, str):
            columns[name] = value
        elif isinstance(value, Fabric):
            columns[name] = _stack([getattr(record, name) for record in records], which)
        else:
            columns[name] = np.array([getattr(record, name) for record in records], float)[which]
    return type(first)(**columns)


def predict_rows(rows: Rows, constants: Constants, prepared: list[Group] | None = None) -> np.ndarray:
    """Predicted step seconds of every row under `constants`."""
    seconds = np.empty(len(rows.frame))
    for group in prepared or groups(rows, constants):
        seconds[group.index] = _group_step(group, constants).total
    return seconds


def _group_step(group: Group, constants: Constants) -> StepTime:
    each = [known.efficiency(constants, *kind) for kind in group.kinds]
    node = known.with_efficiencies(group.node, constants)
    return step_time(group.rows.model, group.rows.plan, node, _stack(each, group.which))


def parameter_keys(rows: Rows) -> list[Key]:
    """The constants that these rows can speak to, generic ones first."""
    frame = rows.frame
    keys: list[Key] = [("generic", "all", name) for name in GENERIC_PRIORS]
    family = frame["chip_id"].map(lambda chip: chip_catalog.chip(chip).family)
    width = frame["format"].map(WIDTH_OF_FORMAT)
    for name in sorted(family.unique()):
        keys += [("family", name, "matmul"), ("family", name, "attention")]
        keys += [("family", name, f"matmul_{item}") for item in sorted(width[family == name].unique())]
    keys += [("chip", name, "matmul") for name in sorted(frame["chip_id"].unique())]
    for name in sorted(set(frame["stack"]) - {known.REFERENCE_STACK}):
        keys += [("software", name, "kernels"), ("software", name, "matmul")]
    return keys


def _priors(keys: Iterable[Key]) -> tuple[np.ndarray, np.ndarray]:
    medians, widths = [], []
    for level, _, name in keys:
        if level == "generic":
            median, width, _ = GENERIC_PRIORS[name]
        else:
            median, width = 1.0, FACTOR_WIDTHS[level, name]
        medians.append(np.log(median))
        widths.append(width)
    return np.array(medians), np.array(widths)


def _as_constants(keys: list[Key], logs: np.ndarray) -> Constants:
    values = dict(zip(keys, np.exp(logs), strict=True))
    for name in SHARES:
        values["generic", "all", name] = min(values["generic", "all", name], 1.0)
    return Constants(values)


def row_weights(sources: pd.Series) -> np.ndarray:
    """Weight of each row's residual: one over the square root of its source's size, bounded."""
    size = sources.groupby(sources).transform("size").to_numpy(float)
    return np.minimum(np.sqrt(FULL_WEIGHT_ROWS / size), MAX_WEIGHT)


def fit(rows: Rows, start: Constants | None = None) -> Fit:
    """Fit all constants to `rows`; deterministic, a few seconds. `start` is where to begin (default: the priors)."""
    keys = parameter_keys(rows)
    median, width = _priors(keys)
    begin = median if start is None else np.log([start.values[key] for key in keys])
    prepared = groups(rows, _as_constants(keys, median))
    measured, weights = np.log(rows.measured_seconds), row_weights(rows.frame["source"])

    def residuals(logs: np.ndarray) -> np.ndarray:
        scaled = (np.log(predict_rows(rows, _as_constants(keys, logs), prepared)) - measured) / NOISE
        robust = np.sign(scaled) * ROBUST_SCALE * np.sqrt(2 * (np.sqrt(1 + (scaled / ROBUST_SCALE) ** 2) - 1))
        return np.concatenate([weights * robust, (logs - median) / width])

    solution = least_squares(residuals, begin, max_nfev=60, xtol=1e-5, ftol=1e-6)
    priors = {key: (float(np.exp(m)), float(w)) for key, m, w in zip(keys, median, width, strict=True)}
    return Fit(_as_constants(keys, solution.x), tuple(keys), priors, _support(keys, rows))


def _support(keys: list[Key], rows: Rows) -> dict[Key, tuple[int, int]]:
    """(rows, sources) that each constant was fitted on."""
    frame = rows.frame.assign(family=rows.frame["chip_id"].map(lambda chip: chip_catalog.chip(chip).family))
    column = {"family": "family", "chip": "chip_id", "software": "stack"}
    width = frame["format"].map(WIDTH_OF_FORMAT)
    found: dict[Key, tuple[int, int]] = {}
    for level, key, name in keys:
        mask = frame[column[level]] == key if level in column else pd.Series(True, index=frame.index)
        if "_" in name and name.startswith("matmul_"):
            mask = mask & (width == name.removeprefix("matmul_"))
        if name in ("expert", "expert_layer_seconds", "exposed_expert"):
            mask = mask & (frame["experts"] > 0)
        found[level, key, name] = int(mask.sum()), int(frame.loc[mask, "source"].nunique())
    return found


def leave_out(rows: Rows, labels: pd.Series, start: Constants | None = None) -> np.ndarray:
    """Predicted seconds of every row by a fit that never saw the rows with its label (source, chip or family).

    `start` only saves time: where the search begins.
    """
    seconds = np.full(len(rows.frame), np.nan)
    for label in sorted(labels.unique()):
        held = (labels == label).to_numpy()
        if held.all():
            continue
        fitted = fit(rows.take(~held), start).constants
        seconds[held] = predict_rows(rows.take(held), fitted)
    return seconds


def as_table(fitted: Fit, intervals: pd.DataFrame, date: str) -> pd.DataFrame:
    """The fit as the rows of `data/calibration_training.csv`."""
    records: list[dict[str, Any]] = []
    for key in fitted.keys:
        level, name, constant = key
        prior, width = fitted.prior[key]
        rows, sources = fitted.support[key]
        records.append(
            {
                "level": level,
                "key": name,
                "constant": constant,
                "value": float(f"{fitted.constants.values[key]:.6g}"),
                "prior": prior,
                "prior_log_sd": width,
                "rows": rows,
                "sources": sources,
                "basis": GENERIC_PRIORS[constant][2] if level == "generic" else "shrunk towards one",
                "date": date,
            }
        )
    return pd.concat([pd.DataFrame(records), intervals.assign(date=date)], ignore_index=True)
