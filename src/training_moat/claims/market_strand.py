"""The market argument: splits, use per model, concentration, custom models (C08 to C13)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.catalog.cited import cited, credible
from training_moat.claims import ranges
from training_moat.claims.base import NOTHING, Measured, counted, keys, measure
from training_moat.core import lifecycle
from training_moat.inquiry import lab_ledgers, market, market_evidence, market_share, uncertainty
from training_moat.inquiry.wording import digits, listed

YEAR = market_share.LAST_KNOWN
MARKET_TABLES = ("market_splits", "lab_ledgers", "chip_counts", "training_runs", "tokens_served")


@measure
def market_ratio(threshold: str, year: str = str(YEAR)) -> Measured:
    """Inference over training in the AI computing of a year (the last known one, or a later by forecasts), all ways together,
    and the chance that it reaches a threshold."""
    draws = market_share.all_draws(int(year))
    ratio = lifecycle.ratio_of(draws)
    low, middle, high = uncertainty.percentiles(ratio)
    frames = {name: tables.load(name) for name in MARKET_TABLES}
    rows = [keys(frames[name], name) for name in ("market_splits", "lab_ledgers")]
    chance = float(np.mean(ratio >= float(threshold)))
    note = f"the whole market, AI computing of {year}"
    sources = cited(*frames.values())
    return Measured(middle, low, high, chance, rows[0] + rows[1], sources, note, ranges.MONTE_CARLO)


def analysts() -> pd.DataFrame:
    """Splits with a ratio by named research houses; `upper` is the highest ratio that each statement names: "more than" a
    share names no more than that share."""
    classes = tables.load("split_classes").set_index("split")
    frame = tables.load("market_splits").join(classes[["house", "ratio_high"]], on="row_id")
    frame = credible(frame[frame["house"] == "analyst"])
    ratio = pd.to_numeric(frame["inference_to_training_ratio"])
    return frame.assign(upper=np.fmax(ratio, frame["ratio_high"])).dropna(subset="upper")


@measure
def highest_analyst() -> Measured:
    """The highest ratio of inference to training that a research house names."""
    frame = analysts()
    return counted(frame.nlargest(3, "upper"), "market_splits", float(frame["upper"].max()))


@measure
def analysts_at_ten() -> Measured:
    """Research houses that name ten times or more."""
    frame = analysts()
    houses = frame[frame["upper"] >= market.TEN]["organisation"].nunique()
    return counted(frame, "market_splits", float(houses))


def _disclosed_rows(value: float) -> Measured:
    runs, days = tables.load("training_runs"), tables.load("disclosed_service")
    runs = runs[runs["model"].isin(days["model"])]
    rows = keys(days, "disclosed_service", "service") + keys(runs, "training_runs")
    return Measured(value, rows=rows, sources=cited(days, runs))


@measure
def many_inferences() -> Measured:
    """Tokens that DeepSeek serves in half a year for each token of its training."""
    day = market_evidence.deepseek()
    return _disclosed_rows(
        day.tokens_per_day * market_evidence.HALF_YEAR_DAYS / day.training_tokens
    )


@measure
def trained_once() -> Measured:
    """Share of the computing for research that final runs take, by what labs have told."""
    frame = tables.load("market_splits")
    frame = frame[frame["definition"] == "final runs within R&D compute"]
    values = frame["training_share"]
    low, middle, high = float(values.min()), float(values.median()), float(values.max())
    return counted(frame, "market_splits", middle, low=low, high=high, kind=ranges.OF_SOURCES)


@measure
def one_answer() -> Measured:
    """FLOP of an answer with its prompt over those of the model's training (DeepSeek). How long an answer is was not
    disclosed; the mean context of an output token was, to which long conversations add more than short ones."""
    return _disclosed_rows(market_evidence.deepseek().flop_per_answer_share)


@measure
def disclosed_days() -> Measured:
    """Days of service until its chip-hours are those of the final run (DeepSeek)."""
    return _disclosed_rows(market_evidence.deepseek().days_chip_hours)


@measure
def modelled_days() -> Measured:
    """The same days in dollars by the lifecycle model for the assumed lab, and the chance that half a year is enough."""
    life = market.life_of(market.Case().drawn)
    days = lifecycle.break_even_days(life, "final_run", "dollars")
    found = uncertainty.percentiles(days)
    frame = tables.load("assumptions")
    chance = float(np.mean(days <= market_evidence.HALF_YEAR_DAYS))
    ends: dict[str, Any] = {"low": found.p05, "high": found.p95, "kind": ranges.MONTE_CARLO}
    return counted(frame, "assumptions", found.median, key="name", probability=chance, **ends)


def _splits_counting(definition: str) -> pd.DataFrame:
    classes = tables.load("split_classes")
    rows = classes[
        (classes["definition"] == definition) & classes["house"].isin(["operator", "analyst"])
    ]
    frame = tables.load("market_splits")
    frame = frame[
        frame["row_id"].isin(rows["split"]) & frame["inference_to_training_ratio"].notna()
    ]
    return credible(frame)


@measure
def per_model() -> Measured:
    """Highest published ratio of inference to the training of models, without research."""
    frame = _splits_counting("all_training")
    top = frame.nlargest(1, "inference_to_training_ratio")
    return counted(top, "market_splits", float(frame["inference_to_training_ratio"].max()))


@measure
def per_lab(lab: str) -> Measured:
    """A lab's inference over all its research computing by its books of the latest year, with the range of the reports on
    it; what salaries cost is not computing."""
    frame = lab_ledgers.shares(lab_ledgers.COUNT)
    frame = frame[(frame["organisation"] == lab) & (frame["kind"] == "books")].dropna(
        subset="share"
    )
    if frame.empty:
        return NOTHING
    last = frame.sort_values("year", kind="stable").iloc[-1]
    now, low, high = (market_share.odds(last[name]) for name in ("share", "low", "high"))
    rows = lab_ledgers.ledger().query("organisation == @lab and year == @last.year")
    rows = rows[rows["item"].isin(["inference_compute", lab_ledgers.COUNT])]
    note = f"{lab} in {last['year']}"
    return counted(rows, "lab_ledgers", now, note, low=low, high=high, kind=ranges.OF_SOURCES)


@measure
def beyond_the_few(few: str) -> Measured:
    """Published training of all organisations over that of the `few` that train most, each year by itself: the median of the
    full years since 2023, with all of them as the range."""
    runs = market_evidence.many_train()
    if runs.empty:
        return NOTHING
    times = market_evidence.over_the_few(int(few))
    note = listed([f"{digits(value, 3)} in {year}" for year, value in times.items()])
    ends: dict[str, Any] = {"low": float(times.min()), "high": float(times.max())}
    return counted(runs, "training_runs", float(times.median()), note, **ends, kind=ranges.OF_CASES)


@measure
def lever() -> Measured:
    """Times by which training grows if the largest assumed part of it were custom models (95th percentile)."""
    frame = tables.load("assumptions")
    row = frame[frame["name"] == "custom_share"]
    return counted(row, "assumptions", 1.0 / (1.0 - float(row["p95"].iloc[0])), key="name")


@measure
def trainers() -> Measured:
    """Growth from 2021 to 2024 of the organisations that trained a large model."""
    frame = tables.load("custom_models")
    frame = frame[frame["quantity"] == "organisations with such a model"].set_index(
        "date", drop=False
    )
    first, last = (float(frame.loc[year, "value"]) for year in ("2021", "2024"))
    return counted(frame, "custom_models", last / first)


@measure
def finetunes_in_production() -> Measured:
    """Share of deployments in production that use fine-tuning."""
    frame = tables.load("custom_models")
    frame = frame[frame["quantity"].str.contains("deployments in production using fine-tuning")]
    value = float(frame["value"].iloc[0]) / 100 if len(frame) else None
    return counted(frame, "custom_models", value)


@measure
def finetune_compute() -> Measured:
    """FLOP of a year of public fine-tunes over those of a year of known training runs, a generous bound."""
    found = market_evidence.finetuning()
    frame = tables.load("custom_models")
    frame = frame[frame["row_id"].isin(["M03", "M05", "M12", "M14"])]
    return counted(frame, "custom_models", found.share)
