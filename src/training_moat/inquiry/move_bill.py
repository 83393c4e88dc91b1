"""What a move of training would have cost the laboratory of GPT-4 in the year of its run, against that run.

Bill and run are of one laboratory and one year: the worth of a delay grows with what the laboratory spends, and that grew
far faster after 2022 than what GPT-4's run would cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.core import breakeven as core
from training_moat.core.errors import InputError
from training_moat.inquiry import switching
from training_moat.inquiry.uncertainty import Percentiles, percentiles, sample

LAB, YEAR, RUN, TRAINED = "OpenAI", 2022, "GPT-4", "GPT-4 (Mar 2023)"
"""The laboratory, the year in which it trained the model, and the model's names in the tables of costs and of runs."""

MUSD_PER_BN = 1000.0


@dataclass(frozen=True)
class MoveBill:
    """Draws of the bill, in dollars and in times the run; what the laboratory spent in the year, and the least and the most
    that the run is said to have cost, in dollars; the rows behind them by table."""

    usd: np.ndarray
    times: np.ndarray
    spent_usd: float
    run_usd: tuple[float, float]
    rows: dict[str, pd.DataFrame]

    @property
    def quantiles(self) -> Percentiles:
        """Three percentiles of the bill in times the run."""
        return percentiles(self.times)

    @property
    def quantiles_usd(self) -> Percentiles:
        """The same in dollars."""
        return percentiles(self.usd)

    def chance(self, times: float) -> float:
        """Share of the draws in which the bill is at least so many times the run."""
        return float(np.mean(self.times >= times))


def known() -> bool:
    """Whether the tables say what the laboratory spent and what the run cost."""
    return not (_spent().empty or _costs().empty)


def of_the_run(
    medians: Mapping[str, float | None] | None = None, draws: int = 2**15, seed: int = 0
) -> MoveBill:
    """The bill of a move: port, delay, and what a failure costs times its chance, with everything that the laboratory spent
    counted as training, the most that it can be. The cost of the run is drawn evenly between its reports, as a
    laboratory's bills are."""
    if not known():
        raise InputError(f"lab_ledgers, training_costs: nothing on {LAB} in {YEAR} or on {RUN}")
    spent_musd = float(_spent()["value"].iloc[0]) * MUSD_PER_BN
    drawn = sample(switching.inputs(medians), draws, seed)
    years = sum(core.fixed_cost_years(switching.move(drawn, spent_musd)).values())
    usd = np.asarray(years) * spent_musd * switching.MILLION
    costs = [*_costs()["value"], *_runs()["cost_usd_2023"]]
    ends = float(min(costs)), float(max(costs))
    run = np.random.default_rng([seed, YEAR]).uniform(*ends, draws)
    rows = {"lab_ledgers": _spent(), "training_costs": _costs(), "training_runs": _runs(),
            "switching_assumptions": switching.assumptions().reset_index(drop=True)}  # fmt: skip
    return MoveBill(usd, usd / run, spent_musd * switching.MILLION, ends, rows)


def _spent() -> pd.DataFrame:
    frame = tables.load("lab_ledgers")
    told = (frame["organisation"] == LAB) & (frame["year"] == YEAR)
    return frame[told & (frame["item"] == "all_expense")]


def _costs() -> pd.DataFrame:
    frame = tables.load("training_costs")
    return frame[(frame["model"] == RUN) & (frame["category"] == "cost")]


def _runs() -> pd.DataFrame:
    frame = tables.load("training_runs")
    return frame[frame["model"] == TRAINED].dropna(subset="cost_usd_2023")
