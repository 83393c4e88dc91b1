"""Rows that name other rows: what they point to is there and is what the pointing says, or a count would drop or double it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Sheet, check

LETTERS = {
    "E": "startup_events",
    "W": "switching_cases",
    "R": "training_runs",
    "N": "low_precision_runs",
}
"""Table that a row's name stands in, by its letter, where several tables may be meant."""


@check("switching_cases")
def repeated_moves(sheet: Sheet) -> Iterator[Problem]:
    """Moves said to be told again by a row that is none, no later one or one to other chips: both would be left out, or both
    counted."""
    rows = sheet.frame.set_index("row_id")
    told = rows.reindex(sheet.frame["same_move"]).reset_index(drop=True)
    own = sheet.frame.reset_index(drop=True)
    right = (told["date"] > own["date"]) & (told["to_hardware"] == own["to_hardware"])
    wrong = (own["same_move"].notna() & ~right).set_axis(sheet.frame.index)
    yield from sheet.refused(
        wrong, "same_move", "the row of a later report of a move to the same chips"
    )


@check("split_classes", "market_splits")
def repeated_statements(classes: Sheet, splits: Sheet) -> Iterator[Problem]:
    """Statements said to repeat one that is none, or one of another publisher, year or measure."""
    houses = splits.frame.set_index("row_id")["organisation"]
    own = classes.frame.assign(house=classes.frame["split"].map(houses))
    alike = ["house", "year", "measure"]
    told = own.set_index("split").reindex(own["repeats"])[alike].reset_index(drop=True)
    right = (told == own[alike].reset_index(drop=True)).all(axis=1)
    itself = (own["repeats"] == own["split"]).reset_index(drop=True)
    wrong = own["repeats"].notna().reset_index(drop=True) & (~right | itself)
    expected = "the row of market_splits that says the same: of that publisher, year and measure"
    yield from classes.refused(wrong.set_axis(own.index), "repeats", expected)


@check("history_events", *LETTERS.values())
def continued_rows(sheet: Sheet, *others: Sheet) -> Iterator[Problem]:
    """Later events that continue a row which is none: the first report and the later one would both be counted."""
    yield from sheet.refused(_astray(sheet, "extends", others), "extends", _expected())


@check("runs_non_nvidia", *LETTERS.values())
def same_runs(sheet: Sheet, *others: Sheet) -> Iterator[Problem]:
    """Runs said to be those of a row which is none: they would be counted beside it."""
    yield from sheet.refused(_astray(sheet, "same_as", others), "same_as", _expected())


@check("corrections", "chips")
def corrected_chips(sheet: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Corrections of chips that name none, or several in one row: no chip's page would tell them."""
    of_chips = sheet.frame["table"] == "chips"
    wrong = of_chips & ~sheet.frame["row"].isin(chips.frame["id"])
    yield from sheet.refused(wrong, "row", "the id of one chip")


def _expected() -> str:
    return "rows that are there, of " + ", ".join(f"{name} ({at})" for at, name in LETTERS.items())


def _astray(sheet: Sheet, column: str, others: tuple[Sheet, ...]) -> pd.Series:
    """Where a column names a row that none of the other tables has."""
    known = {row for other in others for row in other.frame["row_id"]}
    named = sheet.frame[column].fillna("").str.split(";")
    return named.map(lambda rows: any(row.strip() not in known for row in rows if row.strip()))
