"""What every table is: `data/datapackage.json`, the one place that names columns, types and units.

The file is a Frictionless data package. Seven properties go beyond that standard: a field's `unit`; `sourcedBy`, the column
that names the sources of its figures, where that is another than `source`; `keysOf`, the table whose key the cell holds
(several keys are separated by ";"); `listOf`, the words a ";"-separated cell may hold; `titleStreamed`, its title where a
chip streams its weights from a store outside; a table's `derivedFrom`, the tables it is computed from, where its rows name
no source; and its `yearsRetold`, the most years by which a row may lie before its source, where rows date from the time of
their source.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training_moat.catalog.kept_while import changed, kept_while
from training_moat.catalog.paths import data_folder, inside
from training_moat.core.errors import InputError, unknown

SEPARATOR = ";"
"""Between the items of a cell that holds several."""

NUMERIC = ("number", "integer")
"""Field types that hold numbers."""


@kept_while(changed)
def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name}, line {error.lineno}: not valid JSON ({error.msg})"
        ) from error


def _file() -> Path:
    return inside(data_folder(), "datapackage.json")


def stamp(*_: object) -> tuple[Path, int]:
    """The descriptor's file and its time of change: the state of anything built from it, whatever was asked."""
    return _file(), changed(_file())


def package() -> dict[str, Any]:
    """The whole descriptor."""
    return _read(_file())


def table_names() -> list[str]:
    """Names of all tables, in the descriptor's order."""
    return [resource["name"] for resource in package()["resources"]]


def resource(name: str) -> dict[str, Any]:
    """The description of one table; InputError with the nearest name when there is none."""
    try:
        return _resources(_file())[name]
    except KeyError:
        raise unknown("table", name, table_names()) from None


@kept_while(changed)
def _resources(path: Path) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in _read(path)["resources"]}


def fields(name: str) -> list[dict[str, Any]]:
    """The columns of one table, in file order."""
    return resource(name)["schema"]["fields"]


def primary_key(name: str) -> str | None:
    """The column whose values name the rows, where the table has one."""
    return resource(name)["schema"].get("primaryKey")


def sourced_by(name: str) -> dict[str, str]:
    """The column of sources of every column of a table whose figures have another one than `source`."""
    return {field["name"]: field["sourcedBy"] for field in fields(name) if "sourcedBy" in field}


def derived_from(name: str) -> list[str]:
    """The tables that a computed table comes from; empty for tables whose rows name their sources."""
    return resource(name).get("derivedFrom", [])


def years_retold(name: str) -> float | None:
    """The most years by which a row may lie before its source was published; None where rows do not date from its time."""
    return resource(name).get("yearsRetold")


def expectation(field: dict[str, Any]) -> str:
    """What a cell of this column should hold, in words."""
    rules = field.get("constraints", {})
    if "enum" in rules:
        return "one of " + ", ".join(str(item) for item in rules["enum"])
    if "listOf" in field:
        return f"words separated by '{SEPARATOR}', each one of " + ", ".join(field["listOf"])
    if "keysOf" in field:
        return f"a key of {field['keysOf']}.csv, several separated by '{SEPARATOR}'"
    if field["type"] in NUMERIC:
        return _number_expectation(field, rules)
    if "pattern" in rules:
        return f"text like {field.get('example', rules['pattern'])}"
    return "text"


def _plain(bound: float) -> str:
    """A bound in digits; a year without a comma."""
    return f"{bound:,}" if bound >= 10_000 else f"{bound:g}"


def _number_expectation(field: dict[str, Any], rules: dict[str, Any]) -> str:
    words = ["a whole number" if field["type"] == "integer" else "a number"]
    if field.get("unit", "1") != "1":
        words.append(f"in {field['unit']}")
    if "minimum" in rules and "maximum" in rules:
        words.append(f"from {_plain(rules['minimum'])} to {_plain(rules['maximum'])}")
    elif "minimum" in rules:
        words.append(f"of at least {_plain(rules['minimum'])}")
    elif "maximum" in rules:
        words.append(f"of at most {_plain(rules['maximum'])}")
    return " ".join(words)
