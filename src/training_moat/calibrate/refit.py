"""`moat calibrate`: fit a model's constants anew, store their tables, say what changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from training_moat.calibrate import (
    fit_collectives,
    fit_serving,
    fit_training,
    measured_memory,
    measured_training,
    random_effects,
)
from training_moat.calibrate.measured_training import Rows, families
from training_moat.catalog import paths, tables
from training_moat.predict import serving_constants, training_constants

UNSEEN_TABLE = "training_left_out"
UNSEEN_COLUMNS = {"measured": "source", "family": "chip", "generic": "family"}
"""Calibration level and what was left out of the fit behind its interval."""
COVERAGE = 0.90
"""Share of unseen runs that the prediction interval is meant to hold."""


def left_out(rows: Rows, start: training_constants.Constants) -> dict[str, np.ndarray]:
    """Predicted seconds for every row by fits that never saw its source, its chip or its chip's family."""
    return {
        "measured": fit_training.leave_out(rows, rows.frame["source"], start),
        "family": fit_training.leave_out(rows, rows.frame["chip_id"], start),
        "generic": fit_training.leave_out(rows, families(rows.frame), start),
    }


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """The smallest value below which at least `share` of the weight lies."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(np.searchsorted(cumulative, share), len(values) - 1)])


def bounds(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The ends between which `COVERAGE` of the weight lies, as much below as above."""
    tail = (1 - COVERAGE) / 2
    return weighted_quantile(values, weights, tail), weighted_quantile(values, weights, 1 - tail)


def interval_kinds(frame: pd.DataFrame) -> pd.Series:
    """By row, the kind of run whose errors set its interval."""
    pairs = zip(families(frame), frame["experts"], strict=True)
    kinds = [training_constants.interval_kind(family, experts > 0) for family, experts in pairs]
    return pd.Series(kinds, index=frame.index)


def intervals(rows: Rows, predictions: dict[str, np.ndarray]) -> pd.DataFrame:
    """Rows `interval/<level>/<kind>_p05` and `_p95`: factors on a prediction, split-conformal on the residuals.

    Residuals are the logarithms of measured over predicted; sources weigh by the square root of their size
    (as in the fit), so that one long table does not set the width. A level less specific than another is never
    given a narrower interval (Vovk et al. 2005; Tibshirani et al. 2019 for the weights).
    """
    kinds = interval_kinds(rows.frame)
    weights = random_effects.row_weights(rows.frame["source"]) ** 2
    records = []
    for kind in sorted(set(kinds)):
        mask = (kinds == kind).to_numpy()
        widest_low, widest_high = 0.0, 0.0
        for level in ("measured", "family", "generic"):
            residual = np.log(rows.measured_seconds / predictions[level])
            good = mask & np.isfinite(residual)
            low, high = bounds(residual[good], weights[good])
            widest_low, widest_high = min(widest_low, low), max(widest_high, high)
            sources = int(rows.frame.loc[good, "source"].nunique())
            for name, value in (("p05", widest_low), ("p95", widest_high)):
                records.append(
                    _interval_record(
                        level, f"{kind}_{name}", float(np.exp(value)), int(good.sum()), sources
                    )
                )
    return pd.DataFrame(records)


def _interval_record(
    level: str, name: str, value: float, rows: int, sources: int
) -> dict[str, object]:
    return {
        "level": "interval",
        "key": level,
        "constant": name,
        "value": float(f"{value:.6g}"),
        "rows": rows,
        "sources": sources,
        "basis": "residuals of runs left out of the fit",
    }


def _memory_records(date: str) -> pd.DataFrame:
    rows = measured_memory.usable()
    names = ("reserve_bytes", "reserve_share")
    bases = (
        "contexts, communication buffers and fragments, whatever the plan",
        "allocator's loss on activations",
    )
    records = [
        {
            "level": "generic",
            "key": "all",
            "constant": name,
            "value": float(f"{value:.6g}"),
            "rows": len(rows.frame),
            "sources": int(rows.frame["source"].nunique()),
            "basis": basis,
            "date": date,
        }
        for name, value, basis in zip(names, measured_memory.fit_reserve(rows), bases, strict=True)
    ]
    ran = measured_memory.runs_that_fit()
    records.append(
        {
            "level": "generic",
            "key": "all",
            "constant": "reserve_bytes_fused",
            "value": float(f"{measured_memory.fit_fused_reserve(ran):.6g}"),
            "rows": len(ran.frame),
            "sources": int(ran.frame["source"].nunique()),
            "basis": "the most that lets 95% of runs with fused attention fit the chips they ran on",
            "date": date,
        }
    )
    return pd.DataFrame(records)


def training_tables(date: str) -> dict[str, pd.DataFrame]:
    """The training constants fitted anew, and every run predicted by fits that had not seen it."""
    rows = measured_training.usable()
    fitted = fit_training.fit(rows)
    unseen = left_out(rows, fitted.constants)
    table = fit_training.as_table(fitted, rows, intervals(rows, unseen), date)
    table = pd.concat([table, _memory_records(date)], ignore_index=True)
    return {training_constants.TABLE: table, UNSEEN_TABLE: unseen_table(rows, unseen, date)}


KINDS: dict[str, tuple[Callable[[str], dict[str, pd.DataFrame]], list[str]]] = {
    "training": (training_tables, ["level", "key", "constant"]),
    "serving": (
        lambda date: {serving_constants.TABLE: fit_serving.table(date)},
        ["level", "key", "constant"],
    ),
    "collectives": (
        lambda date: {fit_collectives.TABLE: fit_collectives.table(date)},
        ["fabric", "constant", "source"],
    ),
}
"""What can be fitted: the tables it makes (the constants first) and the columns that name a constant."""


def refit(kind: str, date: str) -> pd.DataFrame:
    """Fit one set of constants, store its tables, and return the constants that moved by over a thousandth."""
    build, keys = KINDS[kind]
    made = build(date)
    name, table = next(iter(made.items()))
    stored = (paths.data_folder() / f"{name}.csv").exists()
    before = tables.load(name) if stored else pd.DataFrame(columns=table.columns)
    for each, frame in made.items():
        _write(frame, paths.data_folder() / f"{each}.csv")
    return changes(before, table, keys)


def unseen_table(rows: Rows, predictions: dict[str, np.ndarray], date: str) -> pd.DataFrame:
    """Predicted step times of every usable run by the fits that never saw its source, chip or family."""
    columns = {f"without_{name}_s": predictions[level] for level, name in UNSEEN_COLUMNS.items()}
    frame = rows.frame[["config_id", "source"]].assign(
        measured_s=rows.measured_seconds, **columns, date=date
    )
    numeric = frame.select_dtypes("number").columns
    frame[numeric] = frame[numeric].map(lambda value: float(f"{value:.6g}"))
    return frame


def changes(before: pd.DataFrame, after: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Constants whose value differs by more than a thousandth, and those that came or went."""
    both = before[[*keys, "value"]].merge(
        after[[*keys, "value"]], on=keys, how="outer", suffixes=("_before", "_after")
    )
    moved = (both["value_after"] / both["value_before"] - 1).abs() > 1e-3
    return both[moved | both["value_after"].isna() | both["value_before"].isna()].reset_index(
        drop=True
    )


def _write(table: pd.DataFrame, path: Path) -> None:
    beside = path.with_suffix(".csv.part")
    table.to_csv(beside, index=False, lineterminator="\n")
    os.replace(beside, path)
