"""Numbers of a user's own chips that lie far beyond every chip of the tables: most often a unit that was taken for another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from training_moat.catalog import files, scenario, tables

FAR = 10
"""Times the most, or a part of the least, that any chip of the table has."""


def doubts(path: str | Path) -> list[str]:
    """A sentence for every number of a scenario's chips that is `FAR` beyond those of the table; zeros are none.

    Raises InputError where the file is wrong.
    """
    found, units = scenario.load(path), tables.units("chips")
    own, table = found.rows["chips"], files.read("chips")
    given = found.document.content.get("chips") or {}
    bodies = given if isinstance(given, dict) else {body["id"]: body for body in given}
    told = []
    for row in own.to_dict("records"):
        for column in (name for name in units if name in bodies[row["id"]]):
            known = pd.to_numeric(table[column], errors="coerce")
            least, most = known[known > 0].min(), known.max()
            value = row[column]
            if most * FAR < value or 0 < value < least / FAR:
                beyond = f"{value / most:,.0f} times the most"
                short = f"{value / least:.2g} times the least"
                told.append(
                    f"{found.path.name}, chips '{row['id']}', column {column}: {value:,.10g} {units[column]} is "
                    f"{beyond if value > most else short} of any chip in the tables; is the unit right?"
                )
    return told
