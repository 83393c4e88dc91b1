"""Reading text cells into typed columns, and checking them against the constraints of the descriptor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from training_moat.catalog import descriptor
from training_moat.catalog.problems import Problem
from training_moat.core.errors import nearest

Cells: TypeAlias = pd.DataFrame
"""A frame of text as it stands in a file; blank cells are missing."""

Check: TypeAlias = tuple[str, Callable[[pd.Series], Any]]
"""The sentence part that a failure prints, and which of a column's cells that are not blank pass."""


def _checks(field: dict[str, Any]) -> list[Check]:
    """The field's constraints."""
    rules, error = field.get("constraints", {}), descriptor.expectation(field)
    checks: list[Check] = []
    if "enum" in rules:
        checks.append((error, lambda cells: cells.isin(rules["enum"])))
    if "pattern" in rules:
        checks.append((error, lambda cells: cells.astype(str).str.fullmatch(rules["pattern"])))
    if "minimum" in rules:
        checks.append((error, lambda cells: cells >= rules["minimum"]))
    if "maximum" in rules:
        checks.append((error, lambda cells: cells <= rules["maximum"]))
    if field["type"] == "integer":
        checks.append((error, lambda cells: cells == np.floor(cells)))
    if "listOf" in field:
        allowed = set(field["listOf"])
        checks.append((error, lambda cells: [_words(cell) <= allowed for cell in cells]))
    return checks


def _words(cell: str) -> set[str]:
    return set(cell.split(descriptor.SEPARATOR))


def parse(
    name: str, cells: Cells, file: str, rows: Sequence[int | str]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Type the text `cells` of table `name` and check every constraint.

    `rows` names each row in messages (line numbers, or entry names). Returns the typed frame and all
    problems; the frame is only to be used when there are none.
    """
    problems = _header_problems(name, cells, file)
    if problems:
        return cells, problems
    typed, problems = _typed(name, cells, file, rows)
    seen = {(problem.row, problem.column) for problem in problems}
    for position, field, said in _failures(name, typed):
        row, column = rows[position], field["name"]
        if (row, column) not in seen:
            seen.add((row, column))
            text = cells[column].iloc[position]
            value = None if pd.isna(text) else str(text)
            hint = None if value is None else _hint(field, value)
            problems.append(Problem(file, row, column, value, said, hint))
    return typed, problems


def _failures(name: str, typed: pd.DataFrame) -> list[tuple[int, dict[str, Any], str]]:
    """(position, field, what was expected) of every cell that breaks a constraint, row by row."""
    found: list[tuple[int, dict[str, Any], str]] = []
    key = descriptor.primary_key(name)
    for field in descriptor.fields(name):
        column, checks = typed[field["name"]], _checks(field)
        required = field.get("constraints", {}).get("required", False)
        if not (checks or required or field["name"] == key):
            continue
        blank = column.isna().to_numpy()
        if required:
            said = "a value, the cell is blank"
            found += [(position, field, said) for position in np.flatnonzero(blank).tolist()]
        if field["name"] == key:
            twice = np.flatnonzero(column.duplicated(keep=False)).tolist()
            found += [(position, field, "a value no other row has") for position in twice]
        filled = np.flatnonzero(~blank)
        cells = column.iloc[filled] if checks else column
        for said, passes in checks:
            wrong = filled[~np.asarray(passes(cells), bool)].tolist()
            found += [(position, field, said) for position in wrong]
    return sorted(found, key=lambda failure: failure[0])


def _hint(field: dict[str, Any], value: str) -> str | None:
    """The allowed word nearest to a wrong one."""
    words = field.get("constraints", {}).get("enum") or field.get("listOf")
    return nearest(value, [str(word) for word in words]) if words else None


def _header_problems(name: str, cells: Cells, file: str) -> list[Problem]:
    wanted = [field["name"] for field in descriptor.fields(name)]
    problems = [
        Problem(
            file,
            1,
            None,
            column,
            "only the columns that datapackage.json names",
            nearest(column, wanted),
        )
        for column in cells.columns
        if column not in wanted
    ]
    missing = [column for column in wanted if column not in cells.columns]
    problems += [Problem(file, 1, column, None, "this column in the header") for column in missing]
    return problems


def _typed(
    name: str, cells: Cells, file: str, rows: Sequence[int | str]
) -> tuple[pd.DataFrame, list[Problem]]:
    problems, columns = [], {}
    for field in descriptor.fields(name):
        text = cells[field["name"]]
        if field["type"] not in descriptor.NUMERIC:
            columns[field["name"]] = text
            continue
        numbers = np.array(pd.to_numeric(text, errors="coerce"), float)
        numbers[np.isinf(numbers)] = np.nan
        unknown = np.isnan(numbers)
        for position in np.flatnonzero(unknown & text.notna().to_numpy()):
            expected = descriptor.expectation(field)
            problems.append(
                Problem(
                    file, rows[int(position)], field["name"], str(text.iloc[position]), expected
                )
            )
        whole = field["type"] == "integer" and not unknown.any() and (numbers % 1 == 0).all()
        columns[field["name"]] = numbers.astype("int64") if whole and len(numbers) else numbers
    return pd.DataFrame(columns, index=cells.index), problems
