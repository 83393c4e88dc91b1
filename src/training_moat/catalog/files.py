"""Reading one table's file: whole lines first, then typed cells, then keys into other tables."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pandas as pd

from training_moat.catalog import descriptor, schemas
from training_moat.catalog.kept_while import changed, kept_while
from training_moat.catalog.paths import data_folder, inside
from training_moat.catalog.problems import Problem
from training_moat.core.errors import InputError, nearest


@dataclass(frozen=True)
class Inspection:
    """One file read: its typed `frame`, the `lines` its rows stand on, and every problem of its cells.

    The frame is only to be used when there are no problems.
    """

    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    lines: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class TableError(InputError):
    """An error of a data table, whose sentence names the file and the line: no other place is its own."""


def text_of(path: Path, label: str) -> str:
    """The text of a file: UTF-8 with or without a mark, UTF-16 with one. Raises InputError for anything else."""
    try:
        return decoded(path.read_bytes(), label)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{label}: cannot be read ({getattr(error, 'strerror', None) or error})"
        ) from None


def decoded(content: bytes, label: str) -> str:
    """The text of a file's bytes; see `text_of`."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if marked else "utf-8-sig")
        # UTF-16 without a mark and UTF-32 pass for one of these, full of zeros; one here or there is a line's own fault.
        wrong = content.find(0) if content.count(0) > len(content) / 4 and "\0" in text else None
    except UnicodeDecodeError as error:
        wrong = error.start
    if wrong is None:
        return text
    raise InputError(f"{label}: expected UTF-8 text (byte {wrong} is not), or UTF-16 with a mark")


TOUCHED: set[str] = set()
"""Files of the tables that this process has asked for: what its results can depend on."""


@contextmanager
def untouched() -> Iterator[None]:
    """Tables asked for inside the block do not count as `TOUCHED` by it."""
    before = set(TOUCHED)
    try:
        yield
    finally:
        TOUCHED.intersection_update(before)


@contextmanager
def counted() -> Iterator[set[str]]:
    """The files of the tables that the block asks for, known at its end; they count as `TOUCHED` as ever."""
    before, own = set(TOUCHED), set[str]()
    TOUCHED.clear()
    try:
        yield own
    finally:
        own.update(TOUCHED)
        TOUCHED.update(before)


def asked_for(name: str) -> str:
    """The file of one table, by its name in the data folder; from now on it counts as `TOUCHED`."""
    file = descriptor.resource(name)["path"]
    TOUCHED.add(file)
    return file


def place_of(file: str) -> Path:
    """Where a table's file lies."""
    return inside(data_folder(), file)


def path_of(name: str) -> Path:
    """Where the file of one table lies, which from now on counts as `TOUCHED`."""
    return place_of(asked_for(name))


def read(name: str) -> pd.DataFrame:
    """The validated table as it stands in its file; TableError with the first problem when it is bad."""
    found = inspect(name)
    if found.problems:
        others = len(found.problems) - 1
        more = f" (and {others} more; run `moat check`)" if others else ""
        raise TableError(f"{found.problems[0]}{more}")
    return found.frame


def inspect(name: str) -> Inspection:
    """Read one table and find everything wrong with its own cells (keys into other tables: `key_problems`)."""
    path = path_of(name)
    label = f"data/{path.name}"
    if not path.is_file():
        return Inspection(
            problems=[Problem(label, None, None, None, "this file; datapackage.json names it")]
        )
    return _read(name, path)


# Well above the number of tables: reading all of them in turn would else find none of them again.
@kept_while(lambda _, path: (changed(path), descriptor.stamp()), size=512)
def _read(name: str, path: Path) -> Inspection:
    label = f"data/{path.name}"
    header, records, lines, problems = _whole_lines(path, label)
    problems = problems or schemas.header_problems(name, header, label)
    if problems:
        return Inspection(problems=problems)
    flat = [*chain.from_iterable(records)]
    cells = {key: flat[place :: len(header)] for place, key in enumerate(header)}
    frame, problems = schemas.parse(name, cells, label, lines)
    return Inspection(frame, lines, problems)


def _whole_lines(
    path: Path, label: str
) -> tuple[list[str], list[list[str]], list[int], list[Problem]]:
    """Header, records, the line each record ends on, and every line that is not a record of that header."""
    problems: list[Problem] = []
    records: list[list[str]] = []
    lines = []
    try:
        text = text_of(path, label)
    except InputError as error:
        return [], [], [], [Problem.said(label, error)]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        for record in reader:
            if len(record) == len(header):
                records.append(record)
                lines.append(reader.line_num)
                continue
            expected = f"{len(header)} fields, found {len(record)} (a comma inside a field needs quotes around it)"
            problems.append(Problem(label, reader.line_num, None, None, expected))
    except csv.Error as error:
        problems.append(
            Problem(label, reader.line_num, None, None, f"a well-formed CSV line ({error})")
        )
        header = []
    return header, records, lines, problems


def key_problems(name: str, found: Inspection, keys: dict[str, set[str]]) -> list[Problem]:
    """Cells that name a row another table does not have; `keys` holds the keys of each table."""
    label = f"data/{path_of(name).name}"
    problems = []
    for column in descriptor.fields(name):
        known = keys.get(column.get("keysOf", ""))
        if known is None:
            continue
        for key, lines in _unknown_keys(found, column["name"], known).items():
            more = f" (on {len(lines)} lines)" if len(lines) > 1 else ""
            expected = f"a key of {column['keysOf']}.csv{more}"
            problems.append(
                Problem(label, lines[0], column["name"], key, expected, nearest(key, known))
            )
    return problems


def _unknown_keys(found: Inspection, column: str, known: set[str]) -> dict[str, list[int]]:
    """Keys in a column that are not known, with the lines they stand on."""
    unknown: dict[str, list[int]] = {}
    for line, cell in zip(found.lines, found.frame[column], strict=True):
        for key in cell.split(descriptor.SEPARATOR) if isinstance(cell, str) else ():
            if key not in known:
                unknown.setdefault(key, []).append(line)
    return unknown
