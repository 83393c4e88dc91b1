"""How far the training model may be trusted: predictions against every usable measurement.

Three errors stand side by side for every source: with the stored constants (fitted on all sources), with a fit
that never saw the source, and with a fit that never saw the chip; and beside them what simple baselines reach.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training_moat.calibrate import (
    fit_stage,
    fit_training,
    measured_memory,
    measured_training,
    source_intervals,
)
from training_moat.calibrate.measured_training import Rows
from training_moat.calibrate.refit import UNSEEN_COLUMNS, UNSEEN_TABLE, interval_kinds
from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import tables
from training_moat.core.errors import Unpublished, require_known
from training_moat.core.plan import fills_unequally
from training_moat.core.training_step import model_flops_per_step
from training_moat.core.units import BILLION
from training_moat.core.workload import params
from training_moat.predict import training_constants

VERSION_SPREAD = 1.15
"""One configuration measured this many times faster in another release is marked as such."""
CASE = [
    *("chip_id", "model", "format", "chips", "seq_len", "global_batch", "micro_batch"),
    *("tp", "pp", "cp", "ep", "virtual_stages"),
]
"""What makes two rows the same configuration of different releases."""
ERROR_COLUMNS = {
    "error": "all sources fitted",
    "unseen_source_error": "source left out",
    "unseen_chip_error": "chip left out",
    "constant_error": "fair constant",
}


KINDS = {
    "dense": "dense runs on Nvidia chips",
    "dense_other": "dense runs on other chips",
    "moe": "mixture-of-experts runs",
}
"""Kinds of runs whose errors are reported apart, in readers' words."""


def met() -> Rows:
    """Every usable run that the stored fits met. Runs that can be compared since then are judged by the next fit."""
    measured, unseen = measured_training.usable(), tables.load(UNSEEN_TABLE)
    return measured.take(measured.frame["config_id"].isin(unseen["config_id"]).to_numpy())


@tables.kept(copied=True, lasting=True)
def rows() -> pd.DataFrame:
    """The runs `met`: measured and predicted seconds, errors as shares, baselines, what each ran on, and the
    billions of weights that its model's sizes give."""
    measured, unseen = met(), tables.load(UNSEEN_TABLE).set_index("config_id")
    frame = beside_prediction(measured)
    frame["family"] = measured_training.families(frame)
    frame["weights_b"] = np.broadcast_to(params(measured.model) / BILLION, len(frame))
    for name in ("source", "chip", "family"):
        frame[f"unseen_{name}_s"] = frame["config_id"].map(unseen[f"without_{name}_s"])
        frame[f"unseen_{name}_error"] = frame[f"unseen_{name}_s"] / frame["measured_s"] - 1
    return _with_baselines(frame, ideal_seconds(measured))


def beside_prediction(runs: Rows) -> pd.DataFrame:
    """Runs with `measured_s`, `predicted_s` by the stored constants, `error` (as a share), and their kind."""
    frame = runs.frame.copy()
    frame["measured_s"] = runs.measured_seconds
    frame["predicted_s"] = fit_stage.predict_rows(runs, training_constants.load())
    frame["error"] = frame["predicted_s"] / frame["measured_s"] - 1
    frame["interval_kind"] = interval_kinds(frame)
    frame["kind"] = np.where(frame["experts"] > 0, "mixture of experts", "dense")
    return frame


def ideal_seconds(runs: Rows) -> np.ndarray:
    """Seconds a step takes at the peak of the units that each run's format runs on."""
    chips = chip_catalog.of_rows(runs.frame["chip_id"])
    formats = zip(chips, runs.frame["format"], strict=True)
    peak = np.array([chip.peak_flops[chip.compute_format(name)] for chip, name in formats])
    flops = model_flops_per_step(runs.model, runs.plan)
    return flops / (runs.frame["chips"].to_numpy(float) * peak)


def _with_baselines(frame: pd.DataFrame, ideal: np.ndarray) -> pd.DataFrame:
    """Utilisation of the run's own peak, and the fair constant: for every width of matmuls the middle utilisation of all
    other sources' runs. A constant fitted to the row's own source would be no prediction, one for all widths no rival."""
    width = fit_training.widths(frame).str[0]
    frame["mfu"] = ideal / frame["measured_s"]
    constant = pd.Series(np.nan, index=frame.index)
    for (source, own), group in frame["mfu"].groupby([frame["source"], width]):
        others = frame.loc[(frame["source"] != source) & (width == own), "mfu"]
        constant[group.index] = others.median() if len(others) else frame["mfu"].median()
    frame["constant"] = constant
    frame["constant_s"] = ideal / constant
    frame["constant_error"] = frame["constant_s"] / frame["measured_s"] - 1
    return frame


def accuracy(by: list[str]) -> pd.DataFrame:
    """Mean absolute percentage error of the model and the baselines per group, as shares, with row counts."""
    frame = rows()
    errors = frame[list(ERROR_COLUMNS)].abs()
    table = errors.groupby([frame[name] for name in by]).mean().rename(columns=ERROR_COLUMNS)
    counts = frame.groupby(by).size().rename("rows")
    return table.join(counts).reset_index()


def mean_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute errors of the model and the fair constant by kind of run, as shares."""
    return frame[list(ERROR_COLUMNS)].abs().groupby(frame["interval_kind"]).mean()


def mape(source: str, column: str = "error") -> float:
    """Mean absolute percentage error on one source's rows, as a share."""
    frame = rows()
    return float(frame.loc[frame["source"] == source, column].abs().mean())


def dense_nvidia() -> pd.DataFrame:
    """Dense runs on Nvidia chips: the rows that the headline accuracy is about."""
    frame = rows()
    return frame[frame["interval_kind"] == "dense"]


def reach(frame: pd.DataFrame) -> np.ndarray:
    """How much further log errors of every row scatter than those for which intervals are stored: by the width of its model, and
    where the router decides."""
    routed = fills_unequally(frame["ep"], frame["uneven_routing"], frame["expert_capacity"])
    routed = routed & (frame["experts"] > 0)
    return training_constants.reach(training_constants.load(), frame["hidden"], routed)


@tables.kept(lasting=True)
def _inside() -> tuple[pd.Series, pd.Series]:
    """By row: whether others support it, and whether its error lies in the interval that all other sources give."""
    frame = rows()
    unseen = {level: frame[f"unseen_{name}_s"] for level, name in UNSEEN_COLUMNS.items()}
    scale = reach(frame)
    errors = {
        level: np.log(frame["measured_s"] / seconds) / scale for level, seconds in unseen.items()
    }
    known = source_intervals.supported(frame, fit_training.widths(frame))
    kinds = frame["interval_kind"]
    return known, source_intervals.inside_of_others(frame, kinds, known, errors)


def coverage(by_support: bool = True) -> pd.DataFrame:
    """Share of runs inside the 90% interval, by kind of run and support, when neither the constants nor the interval saw
    the source.

    Columns: interval_kind, level (`all` where not split `by_support`), rows, sources, coverage, coverage_by_source (every
    source with the same weight), low, high (the stored interval's factors at the usual hidden size, blank for `all`).
    """
    frame, values = rows(), training_constants.load().values
    known, inside = _inside()
    level = np.where(known, "measured", "family") if by_support else "all"
    records = []
    for (kind, name), group in frame.assign(level=level).groupby(["interval_kind", "level"]):
        held = inside[group.index].dropna()
        by_source = held.groupby(group["source"][held.index]).mean()
        ends = [values.get(("interval", name, f"{kind}_{end}"), np.nan) for end in ("p05", "p95")]
        counts = {"rows": len(held), "sources": len(by_source)}
        means = {"coverage": float(held.mean()), "coverage_by_source": float(by_source.mean())}
        record = {"interval_kind": kind, "level": name} | counts | means
        records.append(record | {"low": ends[0], "high": ends[1]})
    return pd.DataFrame(records)


SIZES_B = {"under 3": 3.0, "3 to 13": 13.0, "13 to 70": 70.0, "70 and more": np.inf}
"""Billions of weights below which a model belongs to a class of sizes, by what readers call it."""


def by_size(frame: pd.DataFrame) -> pd.DataFrame:
    """Some of the `rows` by kind of run and size of the model, none of them by a fit that saw its source.

    Columns: interval_kind, weights_b (a class of `SIZES_B`), rows, sources, error and constant_error (mean absolute errors,
    as shares, every source counted once), inside (share of runs in the 90% interval, likewise).
    """
    _, inside = _inside()
    ends = [0.0, *SIZES_B.values()]
    size = pd.cut(frame["weights_b"], ends, right=False, labels=list(SIZES_B))
    own = frame.set_index("config_id")
    within = pd.Series(inside.to_numpy(), index=rows()["config_id"]).reindex(own.index)
    told = own[["interval_kind", "source"]].assign(
        weights_b=size.array,
        error=own["unseen_source_error"].abs(),
        constant_error=own["constant_error"].abs(),
        inside=within,
    )
    keys = ["interval_kind", "weights_b"]
    means = told.groupby([*keys, "source"], observed=True).mean().groupby(keys, observed=True)
    counts = told.groupby(keys, observed=True)["source"].agg(rows="size", sources="nunique")
    return counts.join(means.mean()).reset_index()


def worst() -> pd.DataFrame:
    """The ten rows predicted worst by fits that never saw their source, with what the tables say of the reason."""
    frame = rows()
    frame["remark"] = _remarks(frame)
    off = frame["unseen_source_error"].abs().sort_values(ascending=False, kind="stable")
    columns = ["source", "model", "chip_id", "format", "chips", "measured_s"]
    columns += ["unseen_source_s", "unseen_source_error", "remark"]
    return frame.loc[off.index[:10], columns].reset_index(drop=True)


def _remarks(frame: pd.DataFrame) -> pd.Series:
    """What sets a row apart, read from the tables: other releases of the same configuration, sparsity, host-bound
    sizes, scale."""
    fastest = frame.groupby(CASE, dropna=False)["measured_s"].transform("min")
    spread = frame["measured_s"] / fastest
    tokens = frame["micro_batch"] * frame["seq_len"] / frame["cp"]
    few = (frame["experts"] > 0) & (tokens <= 4096)
    rules = [
        (spread > VERSION_SPREAD, "the same configuration ran faster in another release"),
        (frame["model"].str.contains("tokendrop"), "drops tokens beyond an expert's capacity"),
        (few, "few tokens per expert: bound by routing and kernel launches"),
        (frame["chips"] >= 4096, "thousands of chips: few sequences each"),
        (frame["experts"] > 0, "mixture of experts: load balance and kernels differ by release"),
        (frame["seq_len"] <= 512, "short sequences"),
    ]
    remark = pd.Series("no single cause in the tables", index=frame.index)
    for condition, text in reversed(rules):
        remark[condition.fillna(False)] = text
    return remark


def unused() -> pd.DataFrame:
    """Configurations that cannot be compared, counted by reason and source."""
    frame = measured_training.configurations()
    frame = frame[frame["reason"] != ""]
    counts = frame.groupby(["reason", "source"]).size().rename("rows").reset_index()
    return counts.sort_values("rows", ascending=False, kind="stable")


def memory_rows() -> pd.DataFrame:
    """Measured and predicted peak memory per chip with the relative error."""
    return measured_memory.comparison(training_constants.load())


CLASSIC_TABLES = {
    "T1": ("narayanan2021_t1", "Megatron-LM 2021"),
    "K5": ("korthikanti2022_t5", "Korthikanti 2022"),
}
"""The two published tables that other tools were run on: label in peer_errors, source, name for readers."""
OWN = "training-moat"


def peers() -> pd.DataFrame:
    """Errors of other tools and of this model on the two classic tables: system, table, percent.

    The tools' come from benchmarks/ (table peer_errors); the model's own are computed now, with the stored
    constants and with the table's source left out.
    """
    frame = tables.load("peer_errors")
    others = frame[frame["system"] != OWN]
    version = others["version"].fillna("").astype(str)
    name = others["system"] + version.where(version == "", " " + version)
    title = others["rows"].map({label: title for label, (_, title) in CLASSIC_TABLES.items()})
    shown = pd.DataFrame({"system": name, "table": title, "percent": 100 * others["mape"]})
    columns = {"this book": "error", "this book, source left out": "unseen_source_error"}
    own = [
        {"system": label, "table": title, "percent": 100 * mape(source, column)}
        for source, title in CLASSIC_TABLES.values()
        for label, column in columns.items()
    ]
    return pd.concat([shown, pd.DataFrame(own)], ignore_index=True)


def chosen(sources: Sequence[str] | None, chips: Sequence[str] | None) -> pd.DataFrame:
    """The usable runs of these sources and chips (all where a list is empty or none is given).

    Raises `InputError` for a source without usable runs, `Unpublished` for a choice that leaves nothing.
    """
    frame, sources, chips = rows(), sources or (), chips or ()
    known = sorted(frame["source"].unique())
    for source in sources:
        require_known("source", source, known, "parameter sources")
    ids = [chip_catalog.resolve(chip) for chip in chips]
    kept = frame[frame["source"].isin(sources or known)]
    kept = kept[kept["chip_id"].isin(ids or kept["chip_id"])]
    if kept.empty:
        asked = ", ".join([*ids, *sources])
        raise Unpublished(f"{asked}: no measured run that the model can be asked about")
    return kept.reset_index(drop=True)


def errors_by_source(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute error per source, kind and yardstick, in percent, long: label, yardstick, percent, rows."""
    label = frame["source"] + np.where(frame["kind"] == "dense", "", " (experts)")
    errors = frame[list(ERROR_COLUMNS)].abs().rename(columns=ERROR_COLUMNS)
    means = (100 * errors.groupby(label).mean()).reset_index(names="label")
    counts = frame.groupby(label).size().rename("rows")
    tall = means.melt("label", var_name="yardstick", value_name="percent")
    return tall.join(counts, on="label").dropna()


def by_chip(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute error per chip and kind in percent: as fitted, and when the chip or its family was left out."""
    columns = {name: words for name, words in ERROR_COLUMNS.items() if name != "constant_error"}
    columns["unseen_family_error"] = "family left out"
    groups = frame.groupby(["chip_id", "kind"])
    table = groups[list(columns)].agg(lambda errors: 100 * errors.abs().mean())
    found = table.rename(columns=columns).join(groups.size().rename("rows")).reset_index()
    return found.sort_values(["kind", "rows"], ascending=[True, False], kind="stable")


def ladder() -> pd.Series:
    """Step seconds of one run (DeepSeek-V3 on GB200) as its software was improved, in the source's order: the steps and
    the run itself."""
    frame = measured_training.configurations()
    own = frame.loc[frame["source"] == "mcore_gb200_dsv3", "step_seconds"]
    return own.dropna().reset_index(drop=True)
