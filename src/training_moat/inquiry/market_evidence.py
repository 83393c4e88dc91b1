"""What has been published about training and inference, set beside the model.

Top-down: published splits, each with what it counts. Bottom-up: one model that disclosed both sides
(DeepSeek-V3), and the world's tokens against the world's training runs. Where they disagree, the
disagreement is the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.core import lifecycle
from training_moat.core.units import SECONDS_PER_HOUR, TERA
from training_moat.inquiry import market, uncertainty

HALF_YEAR_DAYS = 183.0
DEEPSEEK_DAY = "deepseek-2025-02"
"""The row of data/disclosed_service.csv with a day of DeepSeek's service."""


def splits() -> pd.DataFrame:
    """Published splits with a ratio of inference to training, and what each counts, oldest first.

    Adds to market_splits what data/split_classes.csv says (definition, definition_basis, house,
    ratio_low, ratio_high), `ratio`, `counts` (the definition in words), `who` (publisher and year) and
    `year` (the last year the figure speaks of; blank for theory and "the future").
    """
    classes = tables.load("split_classes").set_index("split")
    frame = (
        tables.load("market_splits")
        .drop(columns="definition")
        .join(
            classes[["definition", "definition_basis", "house", "ratio_low", "ratio_high"]],
            on="row_id",
        )
    )
    frame = frame.assign(ratio=frame["inference_to_training_ratio"])
    frame = frame[frame["ratio"].notna() & (frame["confirmed"] != "no")]
    words = market.DEFINITION_WORDS | {"unspecified": "not stated"}
    year = (
        frame["period"]
        .str.extract(r"((?:19|20)\d\d(?:-\d{4})?)", expand=False)
        .fillna(frame["period"].str.strip('"'))
    )
    who = frame["organisation"].str.partition(" (")[0] + ", " + year
    last = pd.to_numeric(year.str.slice(-4), errors="coerce")
    return frame.assign(counts=frame["definition"].map(words), who=who, year=last).sort_values(
        ["date", "row_id"], kind="stable", ignore_index=True
    )


def by_definition(case: market.Case) -> pd.DataFrame:
    """Published ratios and the model's, per definition of training.

    Columns: definition, published_low, published_median, published_high, published_rows, p05, median,
    p95 (model, case's unit), agrees (whether the published median lies in the model's range).
    """
    found = splits()
    rows = []
    for definition, words in market.DEFINITION_WORDS.items():
        published = found[(found["definition"] == definition) & (found["house"] != "article")][
            "ratio"
        ]
        answer = case.counted(definition, case.unit).answer().ratio
        middle = float(published.median()) if len(published) else np.nan
        rows.append(
            {
                "definition": words,
                "published_low": published.min(),
                "published_median": middle,
                "published_high": published.max(),
                "published_rows": len(published),
                "p05": answer.p05,
                "median": answer.median,
                "p95": answer.p95,
                "agrees": bool(answer.p05 <= middle <= answer.p95),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """DeepSeek-V3 and R1 from disclosed figures alone: cost of training against a day of service."""

    training_chip_hours: float
    serving_chip_hours_per_day: float
    tokens_per_day: float
    computed_tokens_per_day: float
    training_tokens: float
    training_mfu: float
    inference_mfu: float
    days_chip_hours: float
    days_flop_all_tokens: float
    days_flop_computed: float
    flop_per_answer_share: float

    def sentence(self) -> str:
        """The example in words, computed."""
        return (
            f"DeepSeek trained V3 in **{self.training_chip_hours / 1e6:.3f} million** H800-hours and served "
            f"{self.tokens_per_day / 1e9:.0f} billion tokens a day with {self.serving_chip_hours_per_day:,.0f} "
            f"H800-hours a day. Serving had used as many chip-hours as training after "
            f"**{self.days_chip_hours:.0f} days**; counted in FLOP, after {self.days_flop_all_tokens:.0f} days "
            f"if every token is computed and {self.days_flop_computed:.0f} if cached ones are not."
        )

    def table(self) -> pd.DataFrame:
        """The three ways to count, as a frame: count, days."""
        return pd.DataFrame(
            {
                "count": ["FLOP, every token", "Chip-hours", "FLOP, cached tokens left out"],
                "days": [self.days_flop_all_tokens, self.days_chip_hours, self.days_flop_computed],
            }
        )


def deepseek(table: Callable[[str], pd.DataFrame] = tables.load) -> WorkedExample:
    """Rebuild the break-even of DeepSeek-V3 from what it disclosed (arXiv 2412.19437, table 1;
    open-infra-index, day 6). The peak is the H800's dense BF16 rate for both sides.

    table: where tables come from, for a judgement on altered evidence.
    """
    day = table("disclosed_service").set_index("service").loc[DEEPSEEK_DAY]
    run = table("training_runs").set_index("model").loc[day["model"]]
    peak = float(table("chips").set_index("id").loc[day["chip_id"], "bf16_tflops"]) * TERA
    per_day = 24.0 / float(day["hours"])
    hours = float(day["mean_nodes"] * day["chips_per_node"] * day["hours"]) * per_day
    tokens = float(day["input_tokens"] + day["output_tokens"])
    life = lifecycle.Lifecycle(
        active_params=float(run["active_params_b"]) * 1e9,
        training_tokens=float(run["training_tokens_b"]) * 1e9,
        served_tokens=tokens * per_day,
        life_days=1.0,
        cache_share=float(day["cached_input_tokens"]) / tokens,
        training_peak_flops=peak,
        inference_peak_flops=peak,
    )
    every = replace(life, cache_share=0.0)
    seconds = SECONDS_PER_HOUR * peak
    return WorkedExample(
        training_chip_hours=float(run["chip_hours"]),
        serving_chip_hours_per_day=hours,
        tokens_per_day=life.served_tokens,
        computed_tokens_per_day=life.served_tokens * (1 - life.cache_share),
        training_tokens=life.training_tokens,
        training_mfu=lifecycle.training_cost(life, "final_run", "flop")
        / (float(run["chip_hours"]) * seconds),
        inference_mfu=lifecycle.inference_cost(life, "flop") / (hours * seconds),
        days_chip_hours=float(run["chip_hours"]) / hours,
        days_flop_all_tokens=lifecycle.break_even_days(every, "final_run", "flop"),
        days_flop_computed=lifecycle.break_even_days(life, "final_run", "flop"),
        flop_per_answer_share=lifecycle.forward_flop_per_token(life.active_params)
        * float(day["mean_kv_tokens"])
        / lifecycle.training_cost(life, "final_run", "flop"),
    )


def token_history() -> pd.DataFrame:
    """Published token volumes per day with a series and a short `name`, oldest first; single reports left out."""
    frame = tables.load("tokens_served")
    frame = frame[frame["basis"].isin(["company", "reported", "government"])]
    frame = frame.assign(
        series=frame["organisation"] + ": " + frame["scope"].fillna(""),
        day=pd.to_datetime(frame["date"], format="mixed"),
    )
    frame["name"] = (
        frame["organisation"] + " " + frame["scope"].fillna("").str.split().str[:2].str.join(" ")
    )
    several = frame.groupby("series")["day"].transform("nunique") > 1
    return frame[several].sort_values(["series", "day"], kind="stable", ignore_index=True)


def token_growth() -> pd.DataFrame:
    """Growth per year of every published series with at least half a year between its ends.

    Columns: series, first, last (dates), tokens_per_day_first, tokens_per_day_last, growth_per_year.
    """
    rows = []
    for series, group in token_history().groupby("series", sort=False):
        first, last = group.iloc[0], group.iloc[-1]
        days = (last.day - first.day).days
        if days >= HALF_YEAR_DAYS - 3:
            growth = lifecycle.annual_growth(first.tokens_per_day, last.tokens_per_day, days)
            rows.append(
                {
                    "series": series,
                    "first": first.day,
                    "last": last.day,
                    "tokens_per_day_first": first.tokens_per_day,
                    "tokens_per_day_last": last.tokens_per_day,
                    "growth_per_year": float(growth),
                }
            )
    return pd.DataFrame(rows).sort_values("growth_per_year", ascending=False, ignore_index=True)


def training_growth(first: int = 2023, last: int = 2025) -> float:
    """Growth per year of the summed FLOP of all notable training runs with a published estimate."""
    runs = _notable_runs()
    years = runs["date"].str[:4].astype(int)
    sums = [float(runs[years == year]["training_flop"].sum()) for year in (first, last)]
    return (sums[1] / sums[0]) ** (1.0 / (last - first))


def growth_race(case: market.Case) -> pd.DataFrame:
    """Years until ten to one from the case's median if tokens kept growing as each series did and
    training as the notable runs did. Columns of `token_growth`, and training_growth_per_year, years_to_ten
    (infinite where training grows as fast)."""
    ratio, training = case.answer().ratio.median, training_growth()
    found = token_growth()
    lead = np.log(found["growth_per_year"] / training)
    years = np.where(lead > 0, np.log(market.TEN / ratio) / lead, np.inf)
    return found.assign(training_growth_per_year=training, years_to_ten=years)


def _notable_runs(table: Callable[[str], pd.DataFrame] = tables.load) -> pd.DataFrame:
    """Notable runs with an estimate of their FLOP; a later version of a model repeats the FLOP of its
    base and is counted once."""
    runs = table("training_runs").dropna(subset="training_flop")
    return runs.drop_duplicates(["organisation", "training_flop"])


@dataclass(frozen=True, slots=True)
class WorldYear:
    """One year of the world: tokens served against training compute that is known."""

    year: int
    tokens_per_day: float
    training_flop_known: float
    runs: int
    ratio: uncertainty.Summary


def world(case: market.Case, year: int = 2025) -> WorldYear:
    """The industry bottom-up: the world's tokens per day (an outside estimate) against all notable
    training runs published that year, times the lab's R&D multiplier.

    Runs without a published FLOP estimate are missing, so the training side is a floor and the
    ratio a ceiling.
    """
    served = tables.load("tokens_served")
    served = served[
        (served["organisation"] == "World")
        & served["date"].str.startswith(str(year))
        & (served["basis"] == "estimate")
    ]
    runs = _notable_runs()
    runs = runs[runs["date"].str.startswith(str(year))]
    tokens, known = float(served["tokens_per_day"].iloc[-1]), float(runs["training_flop"].sum())
    life = market.life_of(case.drawn)
    # The world's runs as one: as many tokens through the assumed model as make their FLOP.
    industry = lifecycle.Lifecycle(
        active_params=life.active_params,
        training_tokens=known / (6.0 * life.active_params),
        served_tokens=tokens * lifecycle.DAYS_PER_YEAR,
        life_days=lifecycle.DAYS_PER_YEAR,
        cache_share=life.cache_share,
        rnd_multiplier=life.rnd_multiplier,
        training_mfu=life.training_mfu,
        inference_mfu=life.inference_mfu,
        training_usd_per_chip_hour=life.training_usd_per_chip_hour,
        inference_usd_per_chip_hour=life.inference_usd_per_chip_hour,
    )
    ratio = lifecycle.inference_ratio(industry, case.definition, case.unit)
    return WorldYear(year, tokens, known, len(runs), uncertainty.summary(ratio))


def top_down_and_bottom_up(case: market.Case) -> pd.DataFrame:
    """Every way to the same number: the model, the world bottom-up, the splits that count alike.

    Columns: way, low, median, high, kind.
    """
    model, industry = case.answer().ratio, world(case)
    rows = [
        {
            "way": "Model: one heavily served model",
            "low": model.p05,
            "median": model.median,
            "high": model.p95,
            "kind": "bottom-up",
        },
        {
            "way": f"World {industry.year}: tokens against known runs",
            "low": industry.ratio.p05,
            "median": industry.ratio.median,
            "high": industry.ratio.p95,
            "kind": "bottom-up",
        },
    ]
    published = splits()
    published = published[
        (published["definition"] == case.definition) & (published["house"] != "article")
    ]
    recent = published[published["date"] >= "2024"]
    for row in recent.itertuples():
        rows.append(
            {
                "way": row.who,
                "low": row.ratio,
                "median": row.ratio,
                "high": row.ratio,
                "kind": "top-down",
            }
        )
    return pd.DataFrame(rows)


def custom_branch(
    case: market.Case, shares: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8)
) -> pd.DataFrame:
    """The article's escape: what the ratio becomes as others train their own models.

    Columns: custom_share, p05, median, p95, probability_larger.
    """
    rows = []
    for share in shares:
        draws = case.drawn | {"custom_share": np.full(case.draws, share)}
        ratio = case.ratio(draws)
        found = uncertainty.summary(ratio)
        rows.append(
            {
                "custom_share": share,
                "p05": found.p05,
                "median": found.median,
                "p95": found.p95,
                "probability_larger": float(np.mean(ratio >= 1.0)),
            }
        )
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class FineTuning:
    """A year of public fine-tunes against a year of known training, both as FLOP."""

    jobs: float
    tokens_per_job: float
    flop: float
    known_training_flop: float

    @property
    def share(self) -> float:
        """Fine-tuning over known training."""
        return self.flop / self.known_training_flop

    def sentence(self) -> str:
        """The comparison in words, computed."""
        return (
            f"If every model added to the largest public hub in a year ({self.jobs / 1e6:.1f} million) were a fine-tune of "
            f"{self.tokens_per_job / 1e6:.0f} million tokens on a small model, all of them together would take "
            f"**{self.share:.1%}** of the compute of that year's notable training runs."
        )


def finetuning(table: Callable[[str], pd.DataFrame] = tables.load, year: int = 2025) -> FineTuning:
    """A generous bound on cheap fine-tuning: one LoRA job (Hu et al. 2021) per model added to the Hugging
    Face hub in a year, each as long as the dearest typical job on a price list, on an 8-billion model.

    table: where tables come from, for a judgement on altered evidence.
    """
    rows = table("custom_models").set_index("row_id")
    jobs = float(rows.loc["M05", "value"] - rows.loc["M03", "value"])
    tokens = float(rows.loc["M14", "value_high"] / rows.loc["M12", "value"]) * 1e6
    params = float(table("models").set_index("id").loc["llama3.1-8b", "params_b"]) * 1e9
    runs = _notable_runs(table)
    known = float(runs[runs["date"].str.startswith(str(year))]["training_flop"].sum())
    return FineTuning(
        jobs, tokens, jobs * lifecycle.finetune_flop(params, tokens, frozen_base=True), known
    )


def custom_models() -> pd.DataFrame:
    """What is known about custom models, for a table; unconfirmed rows left out.

    Columns: who, date, what, value, unit, source.
    """
    frame = tables.load("custom_models")
    frame = frame[frame["confirmed"] != "no"]
    spread = (
        frame["value_low"].map("{:,.4g}".format)
        + " to "
        + frame["value_high"].map("{:,.4g}".format)
    )
    value = (
        frame["value"]
        .map("{:,.4g}".format)
        .where(
            frame["value"].notna(),
            spread.where(
                frame["value_low"].notna(), "below " + frame["value_high"].map("{:,.4g}".format)
            ),
        )
    )
    return pd.DataFrame(
        {
            "who": frame["organisation"],
            "date": frame["date"],
            "what": frame["quantity"],
            "value": value,
            "unit": frame["unit"],
            "source": frame["source"],
        }
    ).reset_index(drop=True)
