"""`moat calibrate`: fit a model's constants anew, store their tables, say what changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from training_moat.calibrate import (
    fit_collectives,
    fit_serving_frameworks,
    fit_training,
    goodput,
    measured_memory,
    measured_training,
    own_machines,
    source_intervals,
)
from training_moat.calibrate.leaving_out import leave_out
from training_moat.calibrate.measured_training import Rows, families
from training_moat.calibrate.stored_rows import stored_row
from training_moat.catalog import paths, tables
from training_moat.core.whole_files import beside
from training_moat.predict import serving_constants, training_constants

UNSEEN_TABLE = "training_left_out"
UNSEEN_COLUMNS = {"measured": "source", "family": "chip", "generic": "family"}
"""Calibration level and what was left out of the fit behind its interval."""


def left_out(rows: Rows, fitted: fit_training.Fit) -> dict[str, np.ndarray]:
    """Predicted seconds for every row by fits that never saw its source, its chip or its chip's family."""
    return {
        "measured": leave_out(rows, rows.frame["source"], fitted),
        "family": leave_out(rows, rows.frame["chip_id"], fitted),
        "generic": leave_out(rows, families(rows.frame), fitted),
    }


def interval_kinds(frame: pd.DataFrame) -> pd.Series:
    """By row, the kind of run whose errors set its interval."""
    pairs = zip(families(frame), frame["experts"], strict=True)
    kinds = [training_constants.interval_kind(family, experts > 0) for family, experts in pairs]
    return pd.Series(kinds, index=frame.index)


def intervals(
    rows: Rows, predictions: dict[str, np.ndarray], constants: training_constants.Constants
) -> pd.DataFrame:
    """Rows of the calibration table on how far a new source may be off, and what own runs say of it (see
    `source_intervals`, `own_machines`)."""
    frame = rows.frame
    errors = {
        level: pd.Series(np.log(rows.measured_seconds / seconds), index=frame.index)
        for level, seconds in predictions.items()
    }
    known, kinds = (
        source_intervals.supported(frame, fit_training.widths(frame)),
        interval_kinds(frame),
    )
    points = own_machines.settings(rows, constants)
    power = own_machines.hidden_power(errors["measured"], kinds, frame, points)
    scale = training_constants.relative_scatter(frame["hidden"], power)
    wider = source_intervals.routed_scatter(frame, rows.plan.routed, errors["measured"] / scale)
    scale = scale * np.where(rows.plan.routed, wider, 1.0)
    alike = {level: own / scale for level, own in errors.items()}
    found = source_intervals.scatters(frame, kinds, known, alike)
    own = own_machines.records(alike["measured"], kinds, frame, points)
    own.append(own_machines.power_record(power, frame))
    own.append(source_intervals.routed_record(wider, frame, rows.plan.routed))
    told = [source_intervals.records(found), pd.DataFrame(own)]
    return pd.concat(told, ignore_index=True)


def _memory_records(date: str) -> pd.DataFrame:
    rows = measured_memory.usable()
    names = ("reserve_bytes", "reserve_share")
    bases = (
        "contexts, communication buffers and fragments, whatever the plan",
        "allocator's loss on activations",
    )
    ran = measured_memory.runs_that_fit()
    told = [*zip(names, measured_memory.fit_reserve(rows), bases, (rows, rows), strict=True)]
    most = "the most that lets 95% of runs with fused attention fit the chips they ran on"
    told.append(("reserve_bytes_fused", measured_memory.fit_fused_reserve(ran), most, ran))
    records = []
    for name, value, basis, of in told:
        support = len(of.frame), of.frame["source"].nunique()
        records.append(stored_row(("generic", "all", name), value, *support, basis))
    return pd.DataFrame(records).assign(date=date)


def training_tables(date: str) -> dict[str, pd.DataFrame]:
    """The training constants fitted anew, and every run predicted by fits that had not seen it."""
    rows = measured_training.usable()
    fitted = fit_training.fit(rows)
    unseen = left_out(rows, fitted)
    return tables_of(rows, fitted, unseen, date)


def tables_of(
    rows: Rows, fitted: fit_training.Fit, unseen: dict[str, np.ndarray], date: str
) -> dict[str, pd.DataFrame]:
    """What is stored of a fit and of the predictions without each source, chip and family."""
    table = fit_training.as_table(fitted, rows, intervals(rows, unseen, fitted.constants), date)
    table = pd.concat([table, _memory_records(date)], ignore_index=True)
    return {training_constants.TABLE: table, UNSEEN_TABLE: unseen_table(rows, unseen, date)}


class Kind(NamedTuple):
    """What can be fitted: the tables it makes on a date (the constants first), the columns that name a constant, and how long
    it takes, in words."""

    build: Callable[[str], dict[str, pd.DataFrame]]
    keys: list[str]
    takes: str


KINDS = {
    "training": Kind(training_tables, ["level", "key", "constant"], "minutes"),
    "serving": Kind(
        lambda date: {serving_constants.TABLE: fit_serving_frameworks.table(date)},
        ["level", "key", "constant"],
        "half an hour",
    ),
    "frameworks": Kind(
        lambda date: {serving_constants.TABLE: fit_serving_frameworks.second_stage(date)},
        ["level", "key", "constant"],
        "seconds",
    ),
    "collectives": Kind(
        lambda date: {fit_collectives.TABLE: fit_collectives.table(date)},
        ["fabric", "constant", "source"],
        "seconds",
    ),
}
"""`serving` fits what frameworks have of their own as well, `frameworks` that alone."""


def refit(kind: str, date: str) -> pd.DataFrame:
    """Fit one set of constants, store its tables, and return the constants that moved by over a thousandth."""
    build, keys, _ = KINDS[kind]
    made = build(date)
    name, table = next(iter(made.items()))
    stored = (paths.data_folder() / f"{name}.csv").exists()
    before = tables.load(name) if stored else pd.DataFrame(columns=table.columns)
    for each, frame in made.items():
        _write(frame, paths.data_folder() / f"{each}.csv")
    if kind == "training":
        table = _with_goodput(table, date)
        _write(table, paths.data_folder() / f"{name}.csv")
    return changes(before, table, keys)


def _with_goodput(table: pd.DataFrame, date: str) -> pd.DataFrame:
    """The constants with the goodput that whole runs show beside the step times these constants give."""
    runs = goodput.runs()
    low, high = goodput.hours_range(runs)
    told = [
        ("generic", "all", "goodput", goodput.middle(runs), "hours of pure steps over hours taken"),
        ("interval", "whole_run", "hours_p05", low, "hours taken over those of the usual goodput"),
        ("interval", "whole_run", "hours_p95", high, "hours taken over those of the usual goodput"),
    ]
    records = pd.DataFrame(told, columns=["level", "key", "constant", "value", "basis"])
    records["value"] = records["value"].map(lambda value: float(f"{value:.6g}"))
    records["basis"] = "whole published runs: " + records["basis"]
    records = records.assign(rows=len(runs), sources=runs["source"].nunique(), date=date)
    return pd.concat(
        [table, records[[*table.columns.intersection(records.columns)]]], ignore_index=True
    )


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
    with beside(path) as fresh:
        table.to_csv(fresh, index=False, lineterminator="\n")
