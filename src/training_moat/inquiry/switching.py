"""How much better must a challenger be? The break-even advantage as a distribution, and the moves on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_moat.catalog import tables
from training_moat.catalog.cited import credible
from training_moat.core import breakeven as core
from training_moat.core.errors import InputError
from training_moat.inquiry import chronicle
from training_moat.inquiry.uncertainty import (
    Draws,
    Percentiles,
    Uncertain,
    centred,
    jeffreys,
    of_row,
    sample,
    tornado,
)

MONTHS_PER_YEAR = 12
MILLION = 1e6
PARAMETERS = (
    *("horizon_years", "port_months", "port_cost_musd", "delay_months", "delay_value"),
    *("failure_probability", "realised_share"),
)
"""Inputs whose median the chapter's reader may move."""

BANDS = ((1.25, "small"), (1.5, "clear"), (4.0, "remarkable"))
NEVER = "never"
"""Words for a break-even advantage below 1.25, 1.5 and 4 times, beyond, and where none is enough. Remarkable begins where it
does for the claims: half as much again."""

OFFERED = (1.5, 2.0, 3.0, 5.0)
"""Advantages on paper whose chance is drawn over the yearly spend."""
CURVE_POINTS = 81

_CHALLENGERS = r"TPU|Trainium|MI\d|Gaudi|Ascend|MTIA|domestic"
_NVIDIAS = r"Nvidia|\b[VAHB]\d{2,3}\b"
_GIVEN_UP = r"^no successful"


def assumptions() -> pd.DataFrame:
    """The uncertain inputs, indexed by name."""
    return tables.load("switching_assumptions").set_index("name", drop=False)


def inputs(medians: Mapping[str, float | None] | None = None) -> list[Uncertain]:
    """The uncertain inputs of the decision; `medians` moves the named ones, keeping their relative spread."""
    found = [of_row(row) for _, row in assumptions().iterrows()]
    return centred(found, medians, "switching input")


def move(draws: Mapping[str, Any], yearly_spend_musd: float) -> core.Move:
    """The decision filled with draws (or plain numbers) of the inputs."""
    return core.Move(
        yearly_spend_usd=yearly_spend_musd * MILLION + 0.0 * draws["horizon_years"],
        horizon_years=draws["horizon_years"],
        port_years=draws["port_months"] / MONTHS_PER_YEAR,
        port_cost_usd=draws["port_cost_musd"] * MILLION,
        delay_years=draws["delay_months"] / MONTHS_PER_YEAR,
        delay_value=draws["delay_value"],
        failure_probability=draws["failure_probability"],
        failure_delay_years=draws["failure_delay_months"] / MONTHS_PER_YEAR,
        failure_waste_years=draws["failure_waste_years"],
        start_share=draws["start_share"],
        learning_years=draws["learning_months"] / MONTHS_PER_YEAR,
    )


@dataclass(frozen=True)
class Breakeven:
    """Advantage in performance per dollar at which a move pays: draws in use and on paper (infinite: never)."""

    in_use: np.ndarray
    on_paper: np.ndarray
    quantiles_in_use: Percentiles
    quantiles_on_paper: Percentiles
    never: float  # share of the draws in which no advantage is enough

    def chance(self, paper_advantage: float) -> float:
        """Probability that an advantage on paper is enough."""
        return float(np.mean(self.on_paper <= paper_advantage))


def breakeven(
    yearly_spend_musd: float,
    medians: Mapping[str, float | None] | None = None,
    draws: int = 2**15,
    seed: int = 0,
) -> Breakeven:
    """Distribution of the break-even advantage for a buyer with that yearly spend on training, in million dollars."""
    if not yearly_spend_musd > 0:
        raise InputError(f"yearly_spend_musd: {yearly_spend_musd!r}; expected a number above 0.")
    drawn = sample(inputs(medians), draws, seed)
    in_use = core.breakeven_advantage(move(drawn, yearly_spend_musd))
    on_paper = core.paper_advantage(in_use, drawn["realised_share"])
    return Breakeven(
        in_use,
        on_paper,
        _percentiles(in_use),
        _percentiles(on_paper),
        float(np.mean(np.isinf(in_use))),
    )


def _percentiles(values: np.ndarray) -> Percentiles:
    """Percentiles that are draws themselves: no number can be interpolated towards infinity."""
    return Percentiles(*map(float, np.quantile(values, [0.05, 0.5, 0.95], method="higher")))


def chance_curve(bar: Breakeven, highest: float = 5.0) -> pd.DataFrame:
    """Chance that a move pays against the advantage, counted in use and on paper. Columns: advantage, chance, counted."""
    rows = [
        (advantage, float(np.mean(draws <= advantage)), counted)
        for counted, draws in (("in use", bar.in_use), ("on paper", bar.on_paper))
        for advantage in np.linspace(1.0, highest, CURVE_POINTS)
    ]
    return pd.DataFrame(rows, columns=["advantage", "chance", "counted"])


def by_spend(
    spends_musd: Sequence[float], medians: Mapping[str, float | None] | None = None
) -> pd.DataFrame:
    """Chance that a move pays, by yearly spend and advantage on paper. Columns: spend_musd, offered, chance, offer."""
    records = []
    for spend in spends_musd:
        found = breakeven(spend, medians, draws=2**13)
        records += [(spend, one, found.chance(one), f"{one:g} times on paper") for one in OFFERED]
    return pd.DataFrame(records, columns=["spend_musd", "offered", "chance", "offer"])


def by_delay(
    yearly_spend_musd: float,
    delays_months: Sequence[float],
    values: Sequence[float],
    medians: Mapping[str, float | None] | None = None,
) -> pd.DataFrame:
    """Break-even in use over the delay and its worth, all other inputs at their medians.

    Columns: delay_months, delay_value, breakeven (infinite where no advantage is enough), band (its word), shown.
    """
    centre = {item.name: item.median for item in inputs(medians)}
    grid = [(delay, value) for delay in delays_months for value in values]
    moves = (
        move(centre | {"delay_months": d, "delay_value": v}, yearly_spend_musd) for d, v in grid
    )
    found = [float(core.breakeven_advantage(one)) for one in moves]
    table = pd.DataFrame(grid, columns=["delay_months", "delay_value"]).assign(breakeven=found)
    shown = [NEVER if np.isinf(value) else f"{value:.2g}" for value in found]
    return table.assign(band=table["breakeven"].map(band), shown=shown)


def band(breakeven_advantage: float) -> str:
    """Word for a break-even advantage."""
    if np.isinf(breakeven_advantage):
        return NEVER
    return next((word for limit, word in BANDS if breakeven_advantage < limit), "beyond")


def what_matters(
    yearly_spend_musd: float, medians: Mapping[str, float | None] | None = None
) -> pd.DataFrame:
    """Saving that the move must bring, in percent of the bill, with each input at its ends and the others at their medians.

    The saving is 1 - 1 / (break-even on paper); it stays finite where the break-even does not. Columns as in
    `uncertainty.tornado`, plus title.
    """

    def saving(draws: Draws) -> np.ndarray:
        on_paper = core.paper_advantage(
            core.breakeven_advantage(move(draws, yearly_spend_musd)), draws["realised_share"]
        )
        return 100 * (1 - 1 / on_paper)

    table = tornado(saving, inputs(medians))
    return table.assign(title=table["name"].map(assumptions()["title"]))


def moves_away() -> pd.DataFrame:
    """Moves of training from Nvidia's chips to others on record: those of `_on_others` whose source names chips of Nvidia's
    on which it ran before."""
    tried = _on_others()
    return tried[tried["from_hardware"].str.contains(_NVIDIAS, na=False)]


def tries_elsewhere() -> pd.DataFrame:
    """Training on other makers' chips by those who do not make these chips, wherever they came from: of `_on_others`."""
    tried = _on_others()
    maker = chronicle.maker_of(tried["to_hardware"])
    return tried[~chronicle.by_its_maker(tried.assign(maker=maker))]


def _on_others() -> pd.DataFrame:
    """Rows of `switching_cases` in which training moved to other chips than Nvidia's or was tried on them, doubtful ones left
    out. A move that its team reported twice counts once, by the later report."""
    cases = credible(tables.load("switching_cases"))
    tried = cases[cases["workload_kind"].isin(["training", "both"])]
    tried = tried[tried["to_hardware"].str.contains(_CHALLENGERS, na=False)]
    return tried[~tried["same_move"].isin(tried["row_id"])]


def track_record() -> pd.DataFrame:
    """`moves_away`, oldest first.

    Columns: date, organisation, from_hardware, to_hardware, outcome, per_chip_speed_low,
    per_chip_speed_high, given_up, source, confirmed.
    """
    moved = moves_away()
    moved = moved.assign(given_up=moved["outcome"].str.contains(_GIVEN_UP))
    columns = ["date", "organisation", "from_hardware", "to_hardware", "outcome"]
    columns += ["per_chip_speed_low", "per_chip_speed_high", "given_up", "source", "confirmed"]
    return moved.sort_values(["date", "row_id"], kind="stable")[columns].reset_index(drop=True)


def failure_interval(record: pd.DataFrame) -> Percentiles:
    """Three percentiles of the chance of giving up, from the record alone (Jeffreys prior)."""
    return jeffreys(int(record["given_up"].sum()), len(record))


def port_record() -> pd.DataFrame:
    """What the months of the moves on record span, and which count as the time of a port.

    Columns: case, organisation, work, kind, low_months, high_months (blank: no end known), counted, timed,
    rule, source.
    """
    names = tables.load("switching_cases").set_index("row_id")["organisation"]
    frame = tables.load("move_durations")
    frame.insert(1, "organisation", frame["case"].map(names))
    columns = ["case", "organisation", "work", "kind", "low_months", "high_months", "counted"]
    return frame[[*columns, "timed", "rule", "source"]]
