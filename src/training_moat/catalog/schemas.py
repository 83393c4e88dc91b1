"""Reading text cells into typed columns, and checking them against the constraints of the descriptor."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from operator import ge, le
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from training_moat.catalog import descriptor
from training_moat.catalog.problems import Problem
from training_moat.core.errors import nearest

Cells: TypeAlias = pd.DataFrame
"""A frame of text as it stands in a file; blank cells are missing."""


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


@lru_cache(maxsize=512)
def _columns(name: str, stamp: tuple[Path, int]) -> list[_Column]:
    """The columns of a table. stamp: of the descriptor."""
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
    problems = _header_problems(name, cells, file)
    if problems:
        return cells, problems
    columns = _columns(name, descriptor.stamp())
    values, problems = checked(
        name, {str(key): own.tolist() for key, own in cells.items()}, file, rows
    )
    typed = {
        column.field["name"]: _array(column, values[column.field["name"]])
        if column.numeric
        else cells[column.field["name"]]
        for column in columns
    }
    return pd.DataFrame(typed, index=cells.index), problems


def checked(
    name: str, cells: Mapping[str, list[Any]], file: str, rows: Sequence[int | str]
) -> tuple[dict[str, list[Any]], list[Problem]]:
    """`parse` of columns of text: each column's values, numbers where it holds some, NaN where it is blank."""
    problems: list[Problem] = []
    columns = _columns(name, descriptor.stamp())
    texts = {column.field["name"]: _texts(cells[column.field["name"]]) for column in columns}
    values = texts | _numbers(
        {c.field["name"]: texts[c.field["name"]] for c in columns if c.numeric}
    )
    seen: set[tuple[int, str]] = set()

    def wrong(position: int, field: dict[str, Any], said: str, hinted: bool = True) -> None:
        key = position, field["name"]
        if key in seen:
            return
        seen.add(key)
        text = texts[field["name"]][position]
        value = None if _blank(text) else str(text)
        hint = _hint(field, value) if hinted and value is not None else None
        problems.append(Problem(file, rows[position], field["name"], value, said, hint))

    for column in columns:
        if column.numeric:
            own = zip(texts[column.field["name"]], values[column.field["name"]], strict=True)
            for position, (text, value) in enumerate(own):
                if value != value and text == text:
                    wrong(position, column.field, descriptor.expectation(column.field), False)
    for position, field, said in _failures(columns, descriptor.primary_key(name), values):
        wrong(position, field, said)
    return values, problems


def _texts(cells: list[Any]) -> list[Any]:
    """The text of cells, NaN for each blank one."""
    return [np.nan if text is None else text for text in cells]


def _blank(value: Any) -> bool:
    """Whether a cell holds nothing: what is no number is not even equal to itself."""
    return bool(value != value)


def _numbers(texts: dict[str, list[Any]]) -> dict[str, list[float]]:
    """Columns of text as numbers, what is none as NaN: all read at once, as each reading has its price."""
    every = pd.to_numeric(
        np.array([text for column in texts.values() for text in column], object), errors="coerce"
    ).astype(float)
    every[np.isinf(every)] = np.nan
    numbers = iter(every.tolist())
    return {name: list(islice(numbers, len(column))) for name, column in texts.items()}


def _array(column: _Column, values: list[float]) -> np.ndarray:
    """A numeric column, of whole numbers where it is meant to hold some and has no blank."""
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
            found += [(place, field, said) for place, value in enumerate(own) if _blank(value)]
        if field["name"] == key:
            times = Counter(own)
            said = "a value no other row has"
            found += [(place, field, said) for place, value in enumerate(own) if times[value] > 1]
        for said, passes in column.checks:
            wrong = {value for value in set(own) if not (_blank(value) or passes(value))}
            if wrong:
                found += [(place, field, said) for place, value in enumerate(own) if value in wrong]
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
