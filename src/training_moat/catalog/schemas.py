"""Pandera schemas, built from the descriptor, and the reading of text cells into typed columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pandera.pandas as pa

from training_moat.catalog import descriptor
from training_moat.catalog.problems import Problem
from training_moat.core.errors import nearest

Cells: TypeAlias = pd.DataFrame
"""A frame of text as it stands in a file; blank cells are missing."""


def _checks(field: dict[str, Any]) -> list[pa.Check]:
    """The field's constraints as pandera checks; each carries the sentence part that a failure prints."""
    rules, error = field.get("constraints", {}), descriptor.expectation(field)
    checks = []
    if "enum" in rules:
        checks.append(pa.Check.isin(rules["enum"], error=error))
    if "pattern" in rules:
        checks.append(pa.Check.str_matches(f"^(?:{rules['pattern']})$", error=error))
    if "minimum" in rules:
        checks.append(pa.Check.ge(rules["minimum"], error=error))
    if "maximum" in rules:
        checks.append(pa.Check.le(rules["maximum"], error=error))
    if field["type"] == "integer":
        checks.append(pa.Check(lambda column: column == np.floor(column), error=error))
    if "listOf" in field:
        allowed = set(field["listOf"])
        words_allowed = pa.Check(
            lambda cell: set(cell.split(descriptor.SEPARATOR)) <= allowed,
            element_wise=True,
            error=error,
        )
        checks.append(words_allowed)
    return checks


@lru_cache(maxsize=64)
def _schema(name: str, stamp: tuple[Path, int]) -> pa.DataFrameSchema:
    key = descriptor.primary_key(name)
    columns = {}
    for field in descriptor.fields(name):
        columns[field["name"]] = pa.Column(
            float if field["type"] == "number" else None,
            checks=_checks(field),
            nullable=not field.get("constraints", {}).get("required", False),
            unique=field["name"] == key,
        )
    return pa.DataFrameSchema(columns, strict=True)


def schema(name: str) -> pa.DataFrameSchema:
    """The pandera schema of one table."""
    return _schema(name, descriptor.stamp())


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
    try:
        schema(name).validate(typed, lazy=True)
    except pa.errors.SchemaErrors as errors:
        seen = {(problem.row, problem.column) for problem in problems}
        for problem in _translated(name, errors.failure_cases, cells, file, rows):
            if (problem.row, problem.column) not in seen:
                seen.add((problem.row, problem.column))
                problems.append(problem)
    return typed, problems


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
        numbers = pd.to_numeric(text, errors="coerce").astype(float)
        numbers[np.isinf(numbers)] = np.nan
        for position in np.flatnonzero(numbers.isna() & text.notna()):
            expected = descriptor.expectation(field)
            problems.append(
                Problem(
                    file, rows[int(position)], field["name"], str(text.iloc[position]), expected
                )
            )
        whole = (
            field["type"] == "integer"
            and not numbers.isna().any()
            and (numbers == np.floor(numbers)).all()
        )
        columns[field["name"]] = numbers.astype("int64") if whole and len(numbers) else numbers
    return pd.DataFrame(columns, index=cells.index), problems


def _translated(
    name: str, failures: pd.DataFrame, cells: Cells, file: str, rows: Sequence[int | str]
) -> list[Problem]:
    """Pandera's failure cases as problems, in file order."""
    by_name = {field["name"]: field for field in descriptor.fields(name)}
    problems = []
    for failure in failures.sort_values("index", kind="stable").itertuples():
        column, position = failure.column, int(failure.index)
        value = cells[column].iloc[position]
        if failure.check == "not_nullable":
            problems.append(
                Problem(file, rows[position], column, None, "a value, the cell is blank")
            )
        elif failure.check == "field_uniqueness":
            problems.append(
                Problem(file, rows[position], column, str(value), "a value no other row has")
            )
        else:
            words = by_name[column].get("constraints", {}).get("enum") or by_name[column].get(
                "listOf"
            )
            hint = nearest(str(value), [str(word) for word in words]) if words else None
            problems.append(
                Problem(file, rows[position], column, str(value), str(failure.check), hint)
            )
    return problems
