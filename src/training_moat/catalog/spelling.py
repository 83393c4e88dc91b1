"""Finding a table row by any of its spellings."""

from __future__ import annotations

import re

import pandas as pd

ALIAS_SEPARATOR = "|"
"""Between the spellings in an `aliases` cell (which may hold commas and semicolons)."""


def normal(name: str) -> str:
    """A spelling without case, spaces and punctuation; two numbers stay apart ("GPT-2 2B" is not "GPT 22B")."""
    apart = re.sub(r"(?<=[0-9])[^a-z0-9]+(?=[0-9])", "_", name.lower())
    return re.sub(r"[^a-z0-9_]+", "", apart)


def ids_by_spelling(frame: pd.DataFrame) -> dict[str, str]:
    """Every normalised spelling (id, name, aliases) with the id it means; ids win over names over aliases."""
    found: dict[str, str] = {}
    for column in ("id", "name", "aliases"):
        for row_id, cell in zip(frame["id"], frame[column], strict=True):
            for spelling in cell.split(ALIAS_SEPARATOR) if isinstance(cell, str) else ():
                found.setdefault(normal(spelling), row_id)
    return found
