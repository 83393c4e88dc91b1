"""What is known of single labs and of tokens: the lab that told both sides, growth, fine-tunes, custom models."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from training_moat.catalog import tables
from training_moat.catalog.cited import credible
from training_moat.core import lifecycle
from training_moat.core.units import SECONDS_PER_HOUR
from training_moat.inquiry import chip_stock, chronicle
from training_moat.inquiry.wording import amount, between, digits

HALF_YEAR_DAYS = 183.0
DEEPSEEK_DAY = "deepseek-2025-02"
"""The row of data/disclosed_service.csv with a day of DeepSeek's service."""


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """DeepSeek-V3 and R1 from disclosed figures alone: cost of training against a day of service."""

    training_chip_hours: float
    serving_chip_hours_per_day: float
    tokens_per_day: float
    computed_tokens_per_day: float
    training_tokens: float
    training_flop: float
    active_params: float
    training_mfu: float
    inference_mfu: float
    days_chip_hours: float
    days_flop_all_tokens: float
    days_flop_computed: float
    flop_per_answer_share: float

    def table(self) -> pd.DataFrame:
        """The three ways to count, as a frame: count, days."""
        return pd.DataFrame(
            {
                "count": ["FLOP, every token", "Chip-hours", "FLOP, cached tokens left out"],
                "days": [self.days_flop_all_tokens, self.days_chip_hours, self.days_flop_computed],
            }
        )


def deepseek() -> WorkedExample:
    """Rebuild the break-even of DeepSeek-V3 from what it disclosed (arXiv 2412.19437, table 1;
    open-infra-index, day 6). The peak is the H800's dense BF16 rate for both sides.
    """
    day = tables.load("disclosed_service").set_index("service").loc[DEEPSEEK_DAY]
    run = tables.load("training_runs").set_index("model").loc[day["model"]]
    peak = chip_stock.bf16_peak(day["chip_id"])
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
    trained_hours = float(run["chip_hours"])
    flop = lifecycle.training_cost(life, "final_run", "flop")
    per_token = lifecycle.forward_flop_per_token(life.active_params)
    return WorkedExample(
        training_chip_hours=trained_hours,
        serving_chip_hours_per_day=hours,
        tokens_per_day=life.served_tokens,
        computed_tokens_per_day=life.served_tokens * (1 - life.cache_share),
        training_tokens=life.training_tokens,
        training_flop=flop,
        active_params=life.active_params,
        training_mfu=flop / (trained_hours * seconds),
        inference_mfu=lifecycle.inference_cost(life, "flop") / (hours * seconds),
        days_chip_hours=trained_hours / hours,
        days_flop_all_tokens=lifecycle.break_even_days(every, "final_run", "flop"),
        days_flop_computed=lifecycle.break_even_days(life, "final_run", "flop"),
        flop_per_answer_share=per_token * float(day["mean_kv_tokens"]) / flop,
    )


def token_history() -> pd.DataFrame:
    """Published token volumes per day with a series and a short `name`, oldest first; single reports left out."""
    frame = tables.load("tokens_served")
    frame = frame[frame["basis"].isin(["company", "reported", "government"])]
    scope = frame["scope"].fillna("")
    frame = frame.assign(
        series=frame["organisation"] + ": " + scope,
        day=pd.to_datetime(frame["date"], format="mixed"),
        name=frame["organisation"] + " " + scope.str.split().str[:2].str.join(" "),
    )
    several = frame.groupby("series")["day"].transform("nunique") > 1
    return frame[several].sort_values(["series", "day"], kind="stable", ignore_index=True)


def token_growth() -> pd.DataFrame:
    """Growth per year of every published series with at least half a year between its ends.

    Columns: series, first, last (dates), growth_per_year.
    """
    rows = []
    for series, group in token_history().groupby("series", sort=False):
        first, last = group.iloc[0], group.iloc[-1]
        days = (last.day - first.day).days
        if days >= HALF_YEAR_DAYS - 3:
            growth = lifecycle.annual_growth(first.tokens_per_day, last.tokens_per_day, days)
            rows.append((series, first.day, last.day, float(growth)))
    found = pd.DataFrame(rows, columns=["series", "first", "last", "growth_per_year"])
    return found.sort_values("growth_per_year", ascending=False, ignore_index=True, kind="stable")


def training_growth() -> float:
    """Growth per year, 2023 to 2025, of the summed FLOP of all notable training runs with a published estimate."""
    first, last = (chip_stock.known_runs(year) for year in (2023, 2025))
    return (last / first) ** (1.0 / 2)


def runs_of(organisation: str, year: int) -> float:
    """FLOP of one lab's runs of a year that have an estimate."""
    runs = chip_stock.notable_runs()
    mask = (runs["organisation"] == organisation) & runs["date"].str.startswith(str(year))
    return float(runs[mask]["training_flop"].sum())


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


def finetuning() -> FineTuning:
    """A generous bound on cheap fine-tuning: one LoRA job (Hu et al. 2021) per model added to the Hugging
    Face hub in 2025, each as long as the dearest typical job on a price list, on an 8-billion model.
    """
    rows = tables.load("custom_models").set_index("row_id")
    jobs = float(rows.loc["M05", "value"] - rows.loc["M03", "value"])
    tokens = float(rows.loc["M14", "value_high"] / rows.loc["M12", "value"]) * 1e6
    params = float(tables.load("models").set_index("id").loc["llama3.1-8b", "params_b"]) * 1e9
    flop = jobs * lifecycle.finetune_flop(params, tokens, frozen_base=True)
    return FineTuning(jobs, tokens, flop, chip_stock.known_runs(2025))


def custom_models() -> pd.DataFrame:
    """What is known about custom models, for a table; unconfirmed rows left out.

    Columns: who, date, what, value, unit, source.
    """
    frame = credible(tables.load("custom_models"))
    value = [_spread(row.value, row.value_low, row.value_high) for row in frame.itertuples()]
    shown = frame.rename(columns={"organisation": "who", "quantity": "what"}).assign(value=value)
    columns = ["who", "date", "what", "value", "unit", "source"]
    return shown[columns].reset_index(drop=True)


def _spread(value: float, low: float, high: float) -> str:
    """A number, a range or an upper bound in words."""
    if pd.notna(value):
        return amount(value, significant=4)
    return between(low, high, digits) if pd.notna(low) else f"below {digits(high)}"


MANY_TRAIN = ("2023", "2024", "2025")
"""Full years in which more than a few organisations published large runs."""


def many_train() -> pd.DataFrame:
    """Notable runs of these years, with `year` and `house`, the organisation that each counts for."""
    runs = chip_stock.notable_runs()
    runs = runs.assign(year=runs["date"].str[:4], house=chronicle.houses(runs["organisation"]))
    return runs[runs["year"].isin(MANY_TRAIN)]


def over_the_few(few: int) -> pd.Series:
    """Published training (FLOP) of all organisations over that of the `few` that trained most, by year."""
    flop = many_train().groupby(["year", "house"])["training_flop"].sum()
    return flop.groupby("year").apply(lambda one: one.sum() / one.nlargest(few).sum())
