"""The model on what it has not seen: sources put aside by lot, and machines whose own first runs are told to it."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pandas as pd
from scipy.special import ndtri

from training_moat.calibrate import measured_training, own_machines, source_intervals
from training_moat.calibrate.fit_training import widths
from training_moat.calibrate.measured_training import Rows
from training_moat.calibrate.source_intervals import COVERAGE
from training_moat.calibrate.training_errors import (
    beside_prediction,
    ideal_seconds,
    met,
    reach,
    rows,
)
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core.errors import InputError
from training_moat.predict import own_runs, software, training_constants


def lock_box() -> pd.DataFrame:
    """The runs of the sources put aside by lot, each beside its prediction, its interval and the fair constant.

    Columns: source, model, chip_id, kind, interval_kind, measured_s, predicted_s, error, constant_error, inside.
    """
    frame = _put_aside(by_lot=True)
    frame["inside"] = _inside_stored(frame, training_constants.load(), np.ones(len(frame)))
    columns = ["source", "model", "chip_id", "format", "kind", "interval_kind", "measured_s"]
    return frame[[*columns, "predicted_s", "error", "constant_error", "inside"]]


def _put_aside(by_lot: bool) -> pd.DataFrame:
    """Runs that no fit has seen beside their prediction and the fair constant: of sources put aside by lot, or of those found
    since the last fit."""
    drawn = tables.load("lock_box")
    drawn = drawn.loc[drawn["chosen_by"].str.startswith("lot"), "source"]
    aside = measured_training.put_aside()
    aside = aside.take(aside.frame["source"].isin(drawn).to_numpy() == by_lot)
    frame = beside_prediction(aside)
    frame["constant_error"] = fair_constant(aside) / frame["measured_s"] - 1
    return frame


def fair_constant(aside: Rows) -> np.ndarray:
    """Seconds by the middle utilisation of all runs of the same width, of other sources, that are not put aside."""
    known = _utilisation()
    known = known[~known["source"].isin(aside.frame["source"])]
    middle = known.groupby("width")["mfu"].median()
    own = widths(aside.frame).str[0].map(middle).to_numpy(float)
    return ideal_seconds(aside) / own


@tables.kept()
def _utilisation() -> pd.DataFrame:
    """Source, width of the products and utilisation of every run of `rows`."""
    known = rows()
    return known[["source", "mfu"]].assign(width=widths(known).str[0])


def _inside_stored(
    frame: pd.DataFrame, constants: training_constants.Constants, width: np.ndarray
) -> np.ndarray:
    """By row, whether it lies inside its interval, of which own runs leave the share `width` in logarithms."""
    low, high = _ends(frame, constants)
    ratio = (frame["measured_s"] / frame["predicted_s"]).to_numpy(float)
    return (low**width <= ratio) & (ratio <= high**width)


def _ends(
    frame: pd.DataFrame, constants: training_constants.Constants
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of every row's interval, over its prediction."""

    @cache
    def ends(chip_id: str, label: str, form: str, experts: bool) -> tuple[float, float]:
        chip = chip_catalog.chip(chip_id)
        level = training_constants.level(constants, chip, form, experts, software.find(label))
        return training_constants.usual_interval(constants, level, chip.family, experts)

    columns = (frame["chip_id"], frame["label"], frame["format"], frame["experts"] > 0)
    low, high = np.array([ends(*kind) for kind in zip(*columns)]).reshape(-1, 2).T
    wide = reach(frame)
    return low**wide, high**wide


def to_store(source: str, date: str) -> pd.DataFrame:
    """What the constants say of the runs of a source that is in the lock-box, as rows of `training_blind`: who enters a new
    source stores them before anything is fitted to it. Raises InputError for a source without such runs."""
    aside = measured_training.put_aside()
    own = aside.take((aside.frame["source"] == source).to_numpy())
    if own.frame.empty:
        raise InputError(
            f"lock_box: no comparable run of the source '{source}'; expected one whose rows are in training_measurements "
            "and whose line is in lock_box"
        )
    frame = beside_prediction(own)
    low, high = _ends(frame, training_constants.load())
    told = {"p05_s": frame["predicted_s"] * low, "p95_s": frame["predicted_s"] * high}
    columns = ["config_id", "source", "measured_s", "predicted_s", "p05_s", "p95_s"]
    return frame.assign(**told)[columns].assign(allocated_gb="", date=date)


ANCHORS = 2
"""Own runs whose worth is measured."""
LEAST_RUNS = 4
"""Runs of one source on one chip from which the worth of its own runs can be measured."""


@tables.kept(copied=True, lasting=True)
def worth_of_own_runs() -> pd.DataFrame:
    """How much two own runs help: each source and chip with enough runs, predicted without its source, then again after
    its first two runs (in the tables' order) were told; the others are judged.

    Columns: source, chip_id, interval_kind, weights_b (of the middle run's model), runs, without, with_two (mean absolute
    errors, as shares), inside (share of runs in the interval that the two leave).
    """
    frame, constants = rows(), training_constants.load()
    scale = reach(frame)
    frame["log"] = np.log(frame["measured_s"] / frame["unseen_source_s"]) / scale
    points = own_machines.settings(met(), constants)
    records = []
    for (source, chip, kind), group in frame.groupby(["source", "chip_id", "interval_kind"]):
        if len(group) < LEAST_RUNS:
            continue
        told, judged = group.iloc[:ANCHORS], group.iloc[ANCHORS:]
        spread = training_constants.scatter(constants, group["family"].iloc[0], kind == "moe")
        say = partial(own_runs.shift, told["log"].to_numpy(), points[:, told.index], scatter=spread)
        said = [say(points[:, [run]]) for run in judged.index]
        factor = np.array([shift.factor for shift in said]) ** scale[judged.index]
        moved = judged["unseen_source_s"] * factor
        judged = judged.assign(predicted_s=moved)
        left = np.array([shift.width for shift in said])
        without = judged["unseen_source_error"].abs().mean()
        with_two = (moved / judged["measured_s"] - 1).abs().mean()
        inside = _inside_stored(judged, constants, left).mean()
        size = float(group["weights_b"].median())
        records.append((source, chip, kind, size, len(judged), without, with_two, inside))
    keys = ["source", "chip_id", "interval_kind", "weights_b"]
    found = pd.DataFrame(records, columns=[*keys, "runs", "without", "with_two", "inside"])
    order = ["interval_kind", "source", "chip_id"]
    return found.sort_values(order, kind="stable", ignore_index=True)


def not_met(by: list[str]) -> pd.DataFrame:
    """Mean absolute errors, as shares, of the stored constants on runs that no fit has met: those of the lock-box, and those
    that can be compared since the last fit. Columns: those of `by`, error, rows."""
    usable, known = measured_training.usable(), rows()["config_id"]
    later = usable.take(~usable.frame["config_id"].isin(known).to_numpy())
    found = [
        beside_prediction(some).assign(family=measured_training.families(some.frame))
        for some in (measured_training.put_aside(), later)
        if len(some.frame)
    ]
    if not found:
        return pd.DataFrame(columns=[*by, "error", "rows"])
    groups = pd.concat(found).assign(error=lambda frame: frame["error"].abs()).groupby(by)["error"]
    return groups.agg(error="mean", rows="size").reset_index()


def by_group(aside: pd.DataFrame) -> pd.DataFrame:
    """Unseen runs by source and kind of run. Columns: source, kind, runs, error, constant, inside (shares)."""
    shares = aside.assign(error=aside["error"].abs(), constant=aside["constant_error"].abs())
    groups = shares.groupby(["source", "kind"])[["error", "constant", "inside"]]
    return groups.size().rename("runs").to_frame().join(groups.mean()).reset_index()


def blind() -> pd.DataFrame:
    """Runs of sources found after a fit, as its constants predicted them, beside what was measured. Those of this project,
    which nobody had measured when they were predicted, are told apart (`foretold`).

    Columns: source, kind, interval_kind, measured_s, predicted_s, error, date (of the prediction), constant_error, inside.
    """
    columns = ["config_id", "kind", "interval_kind", "constant_error"]
    known = pd.concat([rows()[columns], _put_aside(by_lot=False)[columns]])
    others = tables.load("training_blind")
    others = others[~others["source"].isin(_own_experiments())]
    found = others.merge(known, on="config_id", validate="one_to_one")
    found["error"] = found["predicted_s"] / found["measured_s"] - 1
    found["inside"] = found["measured_s"].between(found["p05_s"], found["p95_s"])
    columns = ["source", "kind", "interval_kind", "measured_s", "predicted_s", "error", "date"]
    return found[[*columns, "constant_error", "inside"]]


def _own_experiments() -> pd.Series:
    """Keys of the sources that are measurements of this project."""
    known = tables.load("sources")
    return known.loc[known["kind"] == "experiment", "key"]


def foretold() -> pd.DataFrame:
    """Runs of this project that were predicted before anybody measured them: as stored before, whatever a later fit says of
    them, beside what was measured since. Of a run that the tables cannot judge (adapters, say) there is no constant error.

    Columns: config_id, source, set (1 for the first one measured), chip_id, model, run (in words), kind, label (the
    software asked for), measured_s, predicted_s, p05_s, p95_s, error, constant_error, inside, measured_gb, allocated_gb
    (the tensors' peak as predicted), memory_error.
    """
    every = measured_training.configurations()
    own = every[every["source"].isin(_own_experiments())].reset_index(drop=True)
    own["fair_s"] = _fair_seconds(own)
    own["run"] = own["table_ref"].str.extract(r": (.*);", expand=False)
    own["label"] = own["table_ref"].str.extract(r"([\w-]+), (?:tied|own)", expand=False)
    mixed, tuned = own["experts"] > 0, own["run"].str.contains("adapters")
    own["kind"] = np.select([mixed, tuned], ["mixture of experts", "adapters"], "dense")
    columns = ["config_id", "chip_id", "model", "run", "kind", "label", "peak_allocated", "fair_s"]
    found = tables.load("training_blind").merge(own[columns], on="config_id", validate="one_to_one")
    found.insert(0, "set", pd.factorize(found["source"])[0] + 1)
    found = found.rename(columns={"peak_allocated": "measured_gb"})
    found["error"] = found["predicted_s"] / found["measured_s"] - 1
    found["constant_error"] = found.pop("fair_s") / found["measured_s"] - 1
    found["inside"] = found["measured_s"].between(found["p05_s"], found["p95_s"])
    found["memory_error"] = found["allocated_gb"] / found["measured_gb"] - 1
    return found


def _fair_seconds(own: pd.DataFrame) -> np.ndarray:
    """Seconds of configurations by the fair constant; unknown where the tables cannot judge one."""
    seconds, whole = np.full(len(own), np.nan), (own["reason"] == "").to_numpy()
    if whole.any():
        seconds[whole] = fair_constant(measured_training.rows_of(own))
    return seconds


def by_set(told: pd.DataFrame) -> pd.DataFrame:
    """Foretold runs by set, chip and software asked for. Columns: set, chip_id, label, runs, error, level (the middle
    of predicted over measured), constant, inside, memory (middle absolute errors, as shares)."""
    size = ("error", "constant_error", "memory_error")
    shares = told.assign(**{name: told[name].abs() for name in size}, level=1 + told["error"])
    groups = shares.groupby(["set", "chip_id", "label"], sort=False)
    found = groups[["error", "level", "constant_error", "memory_error"]].median()
    found.insert(0, "runs", groups.size())
    found["inside"] = groups["inside"].mean()
    names = {"constant_error": "constant", "memory_error": "memory"}
    return found.rename(columns=names).reset_index()


LOTS = 20_000
"""Lots drawn to tell chance from fault."""


def chance_of_as_few(aside: pd.DataFrame) -> float:
    """How often a lot of as many sources with as many runs each would show as few runs inside, were the 90% interval right.

    A source's runs share what it errs by, so that a lot of few sources says less than its number of runs: errors are drawn
    as a source's own and a run's own, with the scatters of the sources in the fit.
    """
    known, draw = rows(), np.random.default_rng(1)
    errors = np.log(known["measured_s"] / known["unseen_source_s"])
    errors = errors / reach(known)
    inside = np.zeros(LOTS)
    for (_, kind), group in aside.groupby(["source", "interval_kind"]):
        own = known["interval_kind"] == kind
        spread = source_intervals.scatter(errors[own], known["source"][own])
        bound = ndtri((1 + COVERAGE) / 2) * np.hypot(spread.between, spread.within)
        shared = draw.normal(0, spread.between, (LOTS, 1))
        drawn = shared + draw.normal(0, spread.within, (LOTS, len(group)))
        inside += (np.abs(drawn) <= bound).sum(axis=1)
    return float(np.mean(inside / len(aside) <= aside["inside"].mean()))
