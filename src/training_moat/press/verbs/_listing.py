"""Printing a table of the catalog, for `moat chips` and `moat models`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pandas as pd

from training_moat.core.errors import InputError
from training_moat.press.verbs import _scenario


def offer(parser: argparse.ArgumentParser, example: str) -> None:
    """Declare the arguments of a verb that lists a table."""
    parser.epilog = f"example: {example}"
    parser.add_argument(
        "pattern", metavar="PATTERN", nargs="?", default="", help="part of an id, a name or a maker"
    )
    _scenario.add(parser)


def listed(
    options: argparse.Namespace, table: Callable[[], pd.DataFrame], who: str, columns: list[str]
) -> None:
    """Print the rows whose id, name or maker (the column `who`) contains the pattern, the scenario's included."""
    with _scenario.laid_over(options):
        frame = table()
    kept = [column for column in columns if column in frame]
    show(frame, options.pattern, ["id", who, "name"], kept)


def show(frame: pd.DataFrame, pattern: str, searched: list[str], columns: list[str]) -> None:
    """Print the rows that contain the pattern, one a line; a blank cell is unknown. Raises InputError when none does."""
    text = frame[searched].astype(str).agg(" ".join, axis=1).str.lower()
    # Not by pandas, whose strings refuse what a terminal sends of another encoding.
    found = frame[[pattern.lower() in row for row in text]]
    if found.empty:
        said = f"nothing in the table contains '{pattern}'"
        raise InputError(f"{said}; leave the pattern out to see all {len(frame)}.")
    cells = found[columns].astype(object).where(found[columns].notna(), "").map(_shown)
    rows = [columns, *cells.itertuples(index=False, name=None)]
    width = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(room) for cell, room in zip(row, width)).rstrip())


def _shown(value: object) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:,.6g}" if number else str(value)
