"""Reading text cells into typed columns, and checking them against the constraints of the descriptor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import ge, le
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from training_moat.catalog import descriptor
from training_moat.catalog.kept_while import kept_while
from training_moat.catalog.problems import Problem
from training_moat.core.errors import nearest

Cells: TypeAlias = Mapping[str, Sequence[str | None]]
"""Columns of text as they stand in a file; blank cells are empty or None."""


LARGEST_WHOLE = 2**53
"""Above it a number that was read is no longer known to the last digit."""


@dataclass(frozen=True)
class _Column:
    """A field of the descriptor, ready to be checked. `checks` says what a failure prints, and which values pass; they see
    no blank."""

    field: dict[str, Any]
    numeric: bool
    required: bool
    checks: tuple[tuple[str, Callable[[Any], Any]], ...]


@kept_while(descriptor.stamp, size=512)
def _columns(name: str) -> list[_Column]:
    """The columns of a table."""
    return [
        _Column(
            field,
            field["type"] in descriptor.NUMERIC,
            field.get("constraints", {}).get("required", False),
            tuple(_checks(field)),
        )
        for field in descriptor.fields(name)
    ]


def _checks(field: dict[str, Any]) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """The field's constraints."""
    rules, error = field.get("constraints", {}), descriptor.expectation(field)
    if "enum" in rules:
        yield error, frozenset(rules["enum"]).__contains__
    if "pattern" in rules:
        yield error, re.compile(rules["pattern"]).fullmatch
    if "minimum" in rules:
        yield error, partial(le, rules["minimum"])
    if "maximum" in rules:
        yield error, partial(ge, rules["maximum"])
    if field["type"] == "integer":
        yield error, lambda value: value.is_integer() and abs(value) <= LARGEST_WHOLE
    if "listOf" in field:
        allowed = frozenset(field["listOf"])
        yield error, lambda value: allowed.issuperset(value.split(descriptor.SEPARATOR))


def parse(
    name: str, cells: Cells, file: str, rows: Sequence[int | str]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Type the text `cells` of table `name` and check every constraint.

    `rows` names each row in messages (line numbers, or entry names). Returns the typed frame and all
    problems; the frame is only to be used when there are none.
    """
    values, problems = checked(name, cells, file, rows)
    typed = {
        column.field["name"]: _array(column, values[column.field["name"]])
        for column in _columns(name)
    }
    return pd.DataFrame(typed), problems


def checked(
    name: str, cells: Cells, file: str, rows: Sequence[int | str]
) -> tuple[dict[str, list[Any]], list[Problem]]:
    """`parse` of columns of text: each column's values, numbers where it holds some, NaN where it is blank."""
    columns = _columns(name)
    texts = {
        column.field["name"]: [cell or np.nan for cell in cells[column.field["name"]]]
        for column in columns
    }
    numeric = [column.field for column in columns if column.numeric]
    read = _numbers({text for field in numeric for text in texts[field["name"]]})
    values = texts | {
        field["name"]: [read[text] for text in texts[field["name"]]] for field in numeric
    }
    unread = {text for text, value in read.items() if _blank(value) and not _blank(text)}
    failures = [
        (position, field, descriptor.expectation(field))
        for field in (numeric if unread else ())
        for position, text in enumerate(texts[field["name"]])
        if text in unread
    ]
    failures += _failures(columns, descriptor.primary_key(name), values)
    problems: dict[tuple[int, str], Problem] = {}  # of a cell the first is said
    for position, field, said in failures:
        text = texts[field["name"]][position]
        value = None if _blank(text) else str(text)
        found = Problem(file, rows[position], field["name"], value, said, _hint(field, value))
        problems.setdefault((position, field["name"]), found)
    return values, list(problems.values())


def _blank(value: Any) -> bool:
    """Whether a cell holds nothing: what is no number is not even equal to itself."""
    return bool(value != value)


def _numbers(texts: set[Any]) -> dict[Any, float]:
    """Each text as a number, what is none as NaN: all read at once, as each reading has its price."""
    every = pd.to_numeric(np.array([*texts], object), errors="coerce").astype(float)
    every[np.isinf(every)] = np.nan
    return dict(zip(texts, every.tolist(), strict=True))


def _array(column: _Column, values: list[Any]) -> Any:
    """A column of text, or of numbers: of whole ones where it is meant to hold some and has no blank."""
    if not column.numeric:
        return pd.array(values, dtype="str")
    found = np.array(values, float)
    whole = column.field["type"] == "integer" and (found % 1 == 0).all()
    whole = whole and (np.abs(found) <= LARGEST_WHOLE).all()
    return found.astype("int64") if whole and len(found) else found


def _failures(
    columns: Sequence[_Column], key: str | None, values: dict[str, list[Any]]
) -> list[tuple[int, dict[str, Any], str]]:
    """(position, field, what was expected) of every cell that breaks a constraint, row by row."""
    found: list[tuple[int, dict[str, Any], str]] = []
    for column in columns:
        field, own = column.field, values[column.field["name"]]
        if column.required:
            said = "a value, the cell is blank"
            found += [(place, field, said) for place, value in enumerate(own) if value != value]
        if field["name"] == key:
            times = Counter(own)
            said = "a value no other row has"
            found += [(place, field, said) for place, value in enumerate(own) if times[value] > 1]
        for said, passes in column.checks:
            wrong = {value for value in set(own) if value == value and not passes(value)}
            if wrong:
                found += [(place, field, said) for place, value in enumerate(own) if value in wrong]
    return sorted(found, key=lambda failure: failure[0])


def _hint(field: dict[str, Any], value: str | None) -> str | None:
    """The allowed word nearest to a wrong one."""
    words = field.get("constraints", {}).get("enum") or field.get("listOf")
    return nearest(value, [str(word) for word in words]) if words and value else None


def header_problems(name: str, header: Sequence[str], file: str) -> list[Problem]:
    """What is wrong with the columns of a table's file."""
    wanted = [field["name"] for field in descriptor.fields(name)]
    only, once = "only the columns that datapackage.json names", "each column once"
    problems = [
        Problem(file, 1, None, column, only, nearest(column, wanted))
        for column in header
        if column not in wanted
    ]
    missing = [column for column in wanted if column not in header]
    problems += [Problem(file, 1, column, None, "this column in the header") for column in missing]
    twice = [column for column, times in Counter(header).items() if times > 1]
    return problems + [Problem(file, 1, None, column, once) for column in twice]
