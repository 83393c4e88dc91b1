"""How far the serving model is off: measured rows, baselines beside it, what was held out, coverage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from training_moat.calibrate import fit_serving, fit_serving_frameworks, measured_makers
from training_moat.catalog import chips, models, tables
from training_moat.core.serving_step import ServingPlan
from training_moat.predict import engines, expert_exchange, serving, serving_constants
from training_moat.predict.serving_batch import (
    Question,
    accepted_tokens,
    batches,
    evaluate,
    networks,
)
from training_moat.predict.serving_constants import KV_PRECISION, Constants, generic, stored


def _data_sheet() -> Constants:
    """Every efficiency at one, so that all rates are the data sheet's; overheads typical of any engine."""
    told = {name: 1.0 if one.share else one.start for name, one in generic().items()}
    return Constants(
        {("generic", "all", name): v for name, v in (told | {"kv_reread": 0.0}).items()}
    )


def _errors(measured: pd.Series, predicted: np.ndarray) -> np.ndarray:
    return np.abs(np.asarray(predicted) / measured.to_numpy() - 1)


def left_out_median(rows: pd.DataFrame, ideal: np.ndarray) -> np.ndarray:
    """Baseline: the median ratio of measured time to data-sheet time, `ideal`, on all other sources' rows."""
    ratio = rows["seconds_per_token"].to_numpy() / ideal
    predicted = np.zeros(len(rows))
    for source in rows["source"].unique():
        own = (rows["source"] == source).to_numpy()
        predicted[own] = ideal[own] * np.median(ratio[~own])
    return predicted


@tables.kept(copied=True, lasting=True)
def rows() -> pd.DataFrame:
    """The usable measured rows with the model's prediction, the baselines' and their relative errors."""
    rows = fit_serving.usable_rows()
    rows["family"] = chips.families(rows["chip"])
    prepared = batches(fit_serving.questions(rows))
    rows["predicted"], rows["predicted_ttft_s"] = fit_serving.predict_both(rows, stored(), prepared)
    rows["data_sheet"] = fit_serving.predict(rows, _data_sheet(), prepared)
    ideal = fit_serving.weight_read_s(prepared)
    rows["half_bandwidth"] = ideal / 0.5
    rows["other_sources_median"] = left_out_median(rows, ideal)
    for name in ("predicted", "data_sheet", "half_bandwidth", "other_sources_median"):
        rows[f"{name}_error"] = _errors(rows["seconds_per_token"], rows[name])
    rows["measured_ms"] = rows["seconds_per_token"] * 1e3
    rows["predicted_ms"] = rows["predicted"] * 1e3
    return rows


def accuracy(by: list[str]) -> pd.DataFrame:
    """Mean absolute percentage error of the calibrated model, the data sheet alone and the baselines, by group."""
    columns = {
        "predicted_error": "calibrated",
        "data_sheet_error": "data sheet alone",
        "half_bandwidth_error": "half the bandwidth",
        "other_sources_median_error": "median of other sources",
    }
    judged = rows()
    table = judged.groupby(by)[list(columns)].mean().rename(columns=columns)
    return table.assign(rows=judged.groupby(by).size()).reset_index()


def overall() -> dict[str, float]:
    """Error over all usable rows: calibrated, data sheet alone, baselines, and how many rows."""
    judged = rows()
    names = ("predicted", "data_sheet", "half_bandwidth", "other_sources_median")
    return {name: float(judged[f"{name}_error"].mean()) for name in names} | {"rows": len(judged)}


def held_out() -> pd.DataFrame:
    """Error and interval coverage on what the constants had not seen. Columns: held, what, rows, mape, coverage."""
    frame = tables.load(serving_constants.TABLE)
    found = frame[frame["level"] == "held_out"].pivot(
        index="key", columns="constant", values="value"
    )
    counts = frame[frame["level"] == "held_out"].groupby("key")["rows"].first()
    table = found.join(counts).reset_index().rename(columns={"key": "held"})
    table["what"] = table["held"].str.split(" ").str[0]
    return table


def unseen() -> pd.DataFrame:
    """Error and interval coverage on what was held out, by what was held out: source, chip, family, model; of engines, since
    frameworks were fitted apart (`frameworks`).

    Columns: error (every row with the same weight), coverage (every source, chip, family or model with the same, as the
    intervals are made), coverage_of_rows, rows.
    """
    found = held_out()
    found = found[found["what"] != fit_serving_frameworks.HELD]
    by = found.groupby("what")
    weighed = found[["mape", "coverage"]].mul(found["rows"], axis=0).groupby(found["what"]).sum()
    rows = by["rows"].sum()
    table = weighed.div(rows, axis=0).set_axis(["error", "coverage_of_rows"], axis=1)
    return table.assign(coverage=by["coverage"].mean(), rows=rows)


def frameworks() -> dict[str, float]:
    """What the second stage of the fit, of frameworks alone, says of the sources that it has not seen: how many there are,
    with how many rows, the least and the greatest of their mean errors, and the mean share of their rows in the 90% range."""
    found = held_out()
    found = found[found["what"] == fit_serving_frameworks.HELD]
    told = {"sources": len(found), "rows": int(found["rows"].sum())}
    ends = {"least": float(found["mape"].min()), "most": float(found["mape"].max())}
    return told | ends | {"inside": float(found["coverage"].mean())}


def first_seen() -> tuple[pd.DataFrame, dict[str, float]]:
    """(the sources as they were first met, before they could move a constant, best first; their error and coverage in the
    middle source and the mean, each source with the same weight).

    Columns: source, rows, error, inside the range.
    """
    table = tables.load("serving_first_seen")
    shown = table.sort_values(["error", "source"], kind="stable", ignore_index=True)
    shown = shown[["source", "rows", "error", "inside_share"]]
    found = {
        "median": float(table["error"].median()),
        "mean": float(table["error"].mean()),
        "inside": float(table["inside_share"].mean()),
        "sources": len(table),
        "rows": int(table["rows"].sum()),
    }
    return shown.rename(columns={"inside_share": "inside the range"}), found


def first_token() -> pd.DataFrame:
    """Time to first token, measured over predicted, by engine: median and 90% range. It contains queueing that
    the rows do not describe. Columns: software, p05, median, p95, mape, rows."""
    judged = rows()
    judged = judged[judged["ttft_s"].notna()]
    ratio = judged["ttft_s"] / judged["predicted_ttft_s"]
    by = judged["software"]
    table = (
        ratio.groupby(by)
        .quantile([0.05, 0.5, 0.95])
        .unstack()
        .set_axis(["p05", "median", "p95"], axis=1)
    )
    wrong = (1 / ratio - 1).abs().groupby(by).mean()
    return table.assign(mape=wrong, rows=ratio.groupby(by).size()).reset_index()


def thinned(judged: pd.DataFrame) -> pd.DataFrame:
    """One dot per chip, engine, model, number of chips and batch: medians over prompt and answer lengths."""
    keys = ["source", "chip", "software", "model", "tp", "pp", "batch"]
    return judged.groupby(keys, as_index=False)[["measured_ms", "predicted_ms"]].median()


SEVERAL = 5
"""Rows from which on a chip's mean error is called one of the lowest or highest."""


def by_chip(judged: pd.DataFrame) -> pd.DataFrame:
    """Mean error and number of rows by chip, best first. Columns: chip, error, rows."""
    found = judged.groupby("chip")["predicted_error"].agg(error="mean", rows="size").reset_index()
    return found.sort_values(["error", "chip"], kind="stable", ignore_index=True)


CHALLENGERS = ("cerebras-wse", "groq-lpu", "sambanova-rdu", "d-matrix-dimc", "tenstorrent")
"""Families whose published speeds are set beside the model one by one."""


GAP_WORDS = {
    "input_len": "prompt", "output_len": "answer", "batch": "users at once", "precision": "format",
}  # fmt: skip
"""What a published speed may leave unsaid, in a reader's words."""


def makers() -> pd.DataFrame:
    """The challengers' published speeds beside the model, one by one.

    Columns: chip, model, chips, users (at once), drafts (whether a small model proposed words: yes, no, unknown),
    published, predicted, low, high (tokens per second that one user sees, with the 90% range), inside (whether the range
    holds the published speed), gaps (what the source does not state, in words), source, date.
    """
    rows = measured_makers.rows()
    rows = rows[chips.families(rows["chip"]).isin(CHALLENGERS)].reset_index(drop=True)
    whole = ["chips", "tp", "pp", "dp", "batch", "input_len", "output_len"]
    rows = rows.assign(chips=rows["total_chips"]).astype(dict.fromkeys(whole, int))
    asked = rows[["model", "chip", "precision", "software", *whole]].to_dict("records")
    told = pd.DataFrame(serving.predict(asked))
    names = {"batch": "users", "tokens_per_s_user": "published", "speculative": "drafts"}
    found = rows.rename(columns=names)
    ends = {"predicted": "tpot_s", "low": "tpot_s_p95", "high": "tpot_s_p05"}
    found = found.assign(**{name: 1 / told[seconds] for name, seconds in ends.items()})
    inside = found["published"].between(found["low"], found["high"])
    gaps = rows["assumed"].where(rows["unusable"] == "", rows["unusable"])
    found["inside"] = inside.map({True: "yes", False: "no"})
    found["gaps"] = gaps.replace(GAP_WORDS, regex=True)
    columns = ["chip", "model", "chips", "users", "drafts", "published", *ends, "inside", "gaps"]
    keys = ["chip", "model", "published", "source"]
    return found[[*columns, "source", "date"]].sort_values(keys, kind="stable", ignore_index=True)


def decoding() -> pd.DataFrame:
    """Published decoding rates of wide groups (table serving_decoding) beside the model's decode step, which no constant
    was fitted to: prompts are read on other chips.

    Columns: chip, model, software, chips, per chip (sequences), published and predicted (tokens per second and chip),
    ratio (published over predicted), across servers (whether the group is larger than what a chip's own links join), source,
    date.
    """
    blank = {"kv_precision": "", "attention_precision": ""}
    table = tables.load("serving_decoding").fillna(blank)
    asked = [_decoding_question(row) for row in table.itertuples()]
    predicted = np.zeros(len(table))
    for batch in batches(asked):
        values = stored().resolve(batch.families, batch.engines)
        per_chip = batch.load.job.batch / batch.plan.dp
        told = table["tokens_per_pass"].to_numpy()[batch.positions] / accepted_tokens(batch, values)
        seconds = evaluate(batch, values).step.total
        predicted[batch.positions] = per_chip / seconds * np.where(np.isnan(told), 1.0, told)
    names = {"chip_id": "chip", "model_id": "model", "batch_per_chip": "per chip"}
    found = table.rename(columns=names | {"tokens_per_s_chip": "published"})
    found = found.astype({"chips": int, "per chip": int}).assign(predicted=predicted)
    found["ratio"] = found["published"] / found["predicted"]
    joined = [networks(question.chip).scaleup.domain_chips for question in asked]
    found["across servers"] = np.where(found["chips"] > joined, "yes", "no")
    found["source"] = found["source"].str.split(";").str[0]
    columns = ["chip", "model", "software", "chips", "per chip", "published", "predicted", "ratio"]
    return found[[*columns, "across servers", "source", "date"]]


def _decoding_question(row: Any) -> Question:
    """A row of serving_decoding as a question: a copy of the attention on every chip, all of which share one set of
    experts; what was not stated about drafting is taken as none."""
    plan = ServingPlan(dp=row.chips, ep=row.chips)
    chip = chips.chip(row.chip_id)
    software, _ = engines.engine(row.software, chip, stored())
    cache, attention = row.kv_precision or KV_PRECISION, row.attention_precision
    asked = (models.model(row.model_id), chip, software, row.precision, cache)
    load = (row.batch_per_chip * row.chips, row.kv_tokens - 1, 2.0)
    exchange = expert_exchange.of_engine(row.software, software, chip)
    if exchange and row.micro_batches > 0:
        exchange = replace(exchange, micro_batches=row.micro_batches)
    drafted = np.nan_to_num(row.drafted)
    return Question(*asked, *load, plan, attention, drafted, exchange=exchange)
