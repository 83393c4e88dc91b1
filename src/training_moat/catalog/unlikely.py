"""Numbers of a user's own chips that lie far beyond every chip of the tables: most often a unit that was taken for another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from training_moat.catalog import files, scenario, tables

FAR = 10
"""Times the most, or a part of the least, that any chip of the table has."""
QUESTION = "; is the unit right?"


def of_file(path: str | Path) -> list[str]:
    """A sentence for every number of a scenario's chips that is `FAR` beyond those of the table. Raises InputError where
    the file is wrong."""
    found = scenario.load(path)
    told = [(name, doubt) for name in found.bodies("chips") for doubt in _of_entry(found, name)]
    return [f"{found.path.name}, chips '{name}', {doubt}" for name, doubt in told]


def of_active(name: str) -> list[str]:
    """The same of one chip of the scenario in force, without the question; nothing of a chip of the tables."""
    found = scenario.active()
    if found is None or name not in found.bodies("chips"):
        return []
    return [doubt.removesuffix(QUESTION) for doubt in _of_entry(found, name)]


def _of_entry(found: scenario.Scenario, name: str) -> list[str]:
    own = found.rows["chips"].set_index("id").loc[name]
    return of_chip({column: own[column] for column in found.bodies("chips")[name] if column in own})


def of_chip(record: Mapping[str, Any]) -> list[str]:
    """The same for a chip's record, in the order of the table's columns. Zeros, and what is no number, are not doubted."""
    told = []
    for column, (unit, least, most) in _ends().items():
        value = record.get(column)
        if not isinstance(value, (int, float)) or not value > 0:
            continue
        if value > most * FAR:
            beyond = f"{value / most:,.0f} times the most"
        elif value < least / FAR:
            beyond = f"{value / least:.2g} times the least"
        else:
            continue
        told.append(
            f"column {column}: {value:,.10g} {unit} is {beyond} of any chip in the tables{QUESTION}"
        )
    return told


@tables.kept()
def _ends() -> dict[str, tuple[str, float, float]]:
    """Unit, least (zeros apart) and most of every numeric column of the table of chips."""
    table, found = files.read("chips"), {}
    for column, unit in tables.units("chips").items():
        known = pd.to_numeric(table[column], errors="coerce")
        found[column] = unit, float(known[known > 0].min()), float(known.max())
    return found
