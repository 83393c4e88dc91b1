"""Scenarios: a YAML file that adds or overrides chips and models and sets chapter parameters."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import category

import pandas as pd

from training_moat.catalog import descriptor, files, schemas, shape_gaps, spelling, yaml_files
from training_moat.catalog.kept_while import changed, kept_while
from training_moat.catalog.problems import Problem
from training_moat.core.errors import InputError, require_known, unknown
from training_moat.core.machine import UNNAMED
from training_moat.core.surroundings import environment

VARIABLE = "MOAT_SCENARIO"
"""Environment variable that names the scenario in force."""

KINDS = ("chips", "models")
"""Tables that a scenario may add to."""

KEYS = ("title", "description", "parameters", *KINDS)
"""Top-level keys of a scenario file."""

DEFAULTS = {
    "chips": {"vendor": "custom", "family": "custom", "supports_training": "yes"},
    "models": {"organisation": "custom"},
}
"""What an entry without a base gets for columns that describe rather than measure."""

LONGEST = {"title": 200, "description": 2_000}
LONGEST_CELL = 1_000
"""Letters of a scenario's own words, and of a cell of its chips and models."""

_COLUMN = re.compile(r", (?:column )?(\w+): ")
NOT_INHERITED = ("aliases",)
"""Columns of a base that name the base itself."""
TOLD_ANEW = {"fp8_tflops": "lowprec_training_formats"}
"""Columns whose own value says more than the base's words in another: who gives a chip a rate in FP8 lets it train in FP8."""


@dataclass(frozen=True)
class Scenario:
    """A validated scenario. `rows` holds one typed frame per kind; `parameters` is by chapter, unchecked;
    `document` knows where in the file each key stands."""

    path: Path
    title: str = ""
    description: str = ""
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    document: yaml_files.Document = field(default_factory=lambda: yaml_files.Document(""))

    def bodies(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """The columns that the file gives for each entry of one kind, by its id."""
        return _bodies(kind, self.document.content.get(kind) or {}, self.document.name)

    def overlay(self, kind: str, frame: pd.DataFrame) -> pd.DataFrame:
        """`frame` with this scenario's entries in place of, or after, its own."""
        added = self.rows.get(kind)
        if added is None or added.empty:
            return frame
        return _over(frame, added)


def named() -> str | None:
    """The scenario in force as it was named, or None."""
    return os.environ.get(VARIABLE)


def active_path() -> Path | None:
    """The scenario file that `MOAT_SCENARIO` names, or None."""
    given = named()
    return Path(given).resolve() if given else None


def variables(path: str | Path | None) -> dict[str, str]:
    """The environment in which a process sees a scenario; none for no scenario."""
    return {} if path is None else {VARIABLE: str(Path(path).resolve())}


@contextmanager
def laid_over(path: str | Path | None) -> Iterator[None]:
    """See a scenario's chips and models while the block runs. Raises InputError for a bad file."""
    if path is not None:
        load(path)
    with environment(variables(path)):
        yield


def active() -> Scenario | None:
    """The scenario in force in this process, or None."""
    path = active_path()
    return load(path) if path is not None else None


def load(path: str | Path) -> Scenario:
    """Read and validate a scenario file; InputError in one sentence when anything in it is wrong."""
    path = Path(path)
    if not os.path.isfile(path):
        raise InputError(f"scenario '{path}': no such file")
    return _load(path)


@kept_while(changed, size=32)
def _load(path: Path) -> Scenario:
    with files.untouched():  # what only checks the file is nothing that a result depends on
        return _checked(path)


def _checked(path: Path) -> Scenario:
    document = yaml_files.read_known(path, KEYS)
    content = document.content
    rows = {kind: _entries(kind, content.get(kind) or {}, document) for kind in KINDS}
    parameters = content.get("parameters") or {}
    items = parameters.values() if isinstance(parameters, dict) else [None]
    if not all(isinstance(item, dict) for item in items):
        expected = "expected a mapping from chapter to its parameters"
        with document.at("parameters"):
            raise InputError(f"{path.name}, parameters: {expected}")
    title, description = (_words(key, document) for key in ("title", "description"))
    return Scenario(path, title, description, parameters, rows, document)


def _words(key: str, document: yaml_files.Document) -> str:
    """The text of a key, its lines as one."""
    value = document.content.get(key)
    words = "" if value is None else " ".join(str(value).split())
    wanted = "text" if isinstance(value, (list, dict, set)) else _unreadable(words, LONGEST[key])
    if wanted:
        with document.at(key):
            raise InputError(f"{document.name}, {key}: expected {wanted}, got {words!r:.60}")
    return words


def _bodies(kind: str, content: Any, where: str) -> dict[str, Mapping[str, Any]]:
    """The columns given for each entry of one kind, by its id."""
    if isinstance(content, dict):
        pairs = [(str(name), body) for name, body in content.items()]
    elif isinstance(content, list) and all(
        isinstance(body, dict) and body.get("id") for body in content
    ):
        pairs = [(str(body["id"]), body) for body in content]
    else:
        raise InputError(
            f"{where}, {kind}: expected a mapping from id to columns, or a list of entries with an id"
        )
    for name, body in pairs:
        if not isinstance(body, dict):
            raise InputError(
                f"{where}, {kind}: expected columns under each id, such as `base: h100-sxm`"
            )
        if not name or str(body.get("id", name)) != name:
            raise InputError(f"{where}, {kind} '{name}': expected one id, such as own-{kind[:-1]}")
        if sum(name == other for other, _ in pairs) > 1:
            raise InputError(f"{where}, {kind} '{name}': is there twice; expected each id once")
    return dict(pairs)


def _entries(kind: str, content: Any, document: yaml_files.Document) -> pd.DataFrame:
    """All entries of one kind as a typed frame; an entry may have another one of the file as its base."""
    where = document.name
    with document.at(kind):
        bodies = _bodies(kind, content, where)
    place = {name: str(i) if isinstance(content, list) else name for i, name in enumerate(bodies)}
    table = files.read(kind)
    own = {spelling.normal(name): name for name in bodies}
    done: dict[str, pd.DataFrame] = {}

    def finish(name: str, users: tuple[str, ...] = ()) -> None:
        if name in done:
            return
        label, base = f"{where}, {kind} '{name}'", bodies[name].get("base")
        if name in users:
            raise InputError(f"{label}, base: is, through others, its own base")
        rival = own.get(spelling.normal(base)) if isinstance(base, str) else None
        known = table
        if rival is not None and rival != name:
            finish(rival, (*users, name))
            known = _over(table, done[rival])
        complete = completed(kind, {**bodies[name], "id": name}, label, known)
        for column in [key for key, value in bodies[name].items() if value is None]:
            complete.pop(column, None)  # given as nothing: unknown here, whatever the base has
        done[name] = typed(kind, [complete], where, [f"{kind} '{name}'"])

    for name in bodies:
        try:
            finish(name)
        except InputError as error:  # of this entry, or of one that it starts from
            own_name = re.search(rf"{kind} '([^']*)'", str(error))
            column = _COLUMN.search(str(error))
            key = place.get(own_name[1] if own_name else name, place[name])
            with document.at(kind, key, *(column.groups() if column else ())):
                raise
    return pd.concat([done[name] for name in bodies], ignore_index=True) if done else table.iloc[:0]


def _over(table: pd.DataFrame, added: pd.DataFrame) -> pd.DataFrame:
    """`table` with rows in place of, or after, its own."""
    kept = table[~table["id"].isin(added["id"])]
    typed_alike = added.astype(kept.dtypes.to_dict(), errors="ignore")
    return pd.concat([kept, typed_alike], ignore_index=True)


def completed(
    kind: str, record: Mapping[str, Any], where: str, table: pd.DataFrame | None = None
) -> dict[str, Any]:
    """A user's entry with every column: its own values over its base's, plain defaults for the rest.

    `base` is any spelling of a row of `table` (default: the table with the active scenario over it); an id
    it already has is its own base. Raises InputError for an unknown column or base and a value that is none.
    """
    columns = {item["name"]: item for item in descriptor.fields(kind)}
    for key, value in record.items():
        if key not in (*columns, "base"):
            raise unknown("column", str(key), [*columns, "base"], where=where)
        if wanted := _misfit(value, columns.get(key, columns["id"])):
            raise InputError(f"{where}, column {key}: expected {wanted}, got {value!r:.60}")
    rows = _standing(kind) if table is None else _rows(table)
    own = {
        key: _word(value, columns[key])
        for key, value in record.items()
        if key != "base" and value is not None
    }
    name = str(own.get("name") or own.get("id") or UNNAMED)
    entry_id = str(own.get("id") or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or UNNAMED)
    base = _base(kind, record, where, rows)
    complete: dict[str, Any]
    if base is None:
        complete = {**DEFAULTS[kind], "name": name}
    else:
        outdated = {words for column, words in TOLD_ANEW.items() if column in own}
        inherited = {key: one for key, one in rows.values[base].items() if key not in outdated}
        complete = {**inherited} if base == entry_id else {**inherited, "name": name}
    complete = {**complete, "source": "scenario", "confirmed": "no", **own, "id": entry_id}
    if kind == "models":
        return shape_gaps.filled({**complete, **_recount(own, base)}, where)
    return complete


class _Rows(NamedTuple):
    """Rows that an entry may start from: their ids by any spelling, and what an heir has from each."""

    spelled: Mapping[str, str]
    values: Mapping[str, Mapping[str, Any]]


def _rows(table: pd.DataFrame) -> _Rows:
    inherited = table.drop(columns=list(NOT_INHERITED))
    values = {
        row["id"]: {key: value for key, value in row.items() if not pd.isna(value)}
        for row in inherited.to_dict("records")
    }
    return _Rows(spelling.ids_by_spelling(table), values)


def _state(kind: str, *_: object) -> tuple[int, Path | None, int]:
    """When a table was changed, the active scenario, and when that was."""
    path = active_path()
    return changed(files.path_of(kind)), path, changed(path)


@kept_while(_state)
def _standing(kind: str) -> _Rows:
    """The rows of a table as the active scenario leaves it."""
    table, laid_over = files.read(kind), active()
    return _rows(table if laid_over is None else laid_over.overlay(kind, table))


def _word(value: Any, field: dict[str, Any]) -> Any:
    """A value as its column spells it: YAML reads a bare yes as a truth value, where some columns hold the word."""
    choices = field.get("constraints", {}).get("enum", ())
    return ("yes" if value else "no") if isinstance(value, bool) and "yes" in choices else value


def _misfit(value: Any, field: dict[str, Any]) -> str | None:
    """What a cell should hold in place of a value that could not stand in any of its kind."""
    numeric = field["type"] in descriptor.NUMERIC
    one = numeric or field["name"] in ("id", "name")
    items = value if isinstance(value, list) and not one else [value]
    if any(isinstance(item, (Mapping, list, tuple, set)) for item in items):
        return "one value"
    if numeric and isinstance(value, bool) and field["constraints"].get("maximum") != 1:
        return descriptor.expectation(field)
    return next((wanted for item in items if (wanted := _unreadable(item, LONGEST_CELL))), None)


def _unreadable(text: Any, longest: int) -> str | None:
    """What was expected of words that no line of a page or a terminal can show."""
    words = str(text)
    if len(words) > longest or any(category(letter).startswith("C") for letter in words):
        return f"at most {longest:,} letters of one line"
    return None


def _base(kind: str, record: Mapping[str, Any], where: str, rows: _Rows) -> str | None:
    """The id of the row that an entry starts from, or None."""
    named = record.get("base")
    if named is None:
        return record["id"] if str(record.get("id")) in rows.values else None
    found = rows.spelled.get(spelling.normal(str(named)))
    if found is None:
        raise unknown(kind[:-1], str(named), list(rows.values), where=f"{where}, base")
    return found


def _recount(own: Mapping[str, Any], base: str | None) -> dict[str, Any]:
    """What a changed shape does to its base's published count: an own count wins, else the shape is counted."""
    if base is None or set(own) <= {"id", "name", "params_b", "active_params_b"}:
        return {}
    if own.get("params_b") is not None:
        return {"params_basis": "published", "active_params_b": own.get("active_params_b")}
    return {"params_basis": "shape", "params_b": None, "active_params_b": None}


def base_of(kind: str, record: Mapping[str, Any], where: str) -> str | None:
    """The id of the row that a user's entry starts from, or None. Raises InputError for an unknown base."""
    return _base(kind, record, where, _standing(kind))


def bases(kind: str) -> dict[str, str]:
    """The ids that entries of the active scenario start from, by their own; those that start from another one."""
    found = active()
    if found is None:
        return {}
    starts = {name: base_of(kind, body, name) for name, body in found.bodies(kind).items()}
    return {name: base for name, base in starts.items() if base is not None and base != name}


def line_of(name: str, starts: Mapping[str, str]) -> list[str]:
    """An entry and those that it starts from (`bases`), one after another; the last one starts from none."""
    found = [name]
    while found[-1] in starts:
        found.append(starts[found[-1]])
    return found


def entry(kind: str, record: Mapping[str, Any], where: str) -> pd.Series:
    """One user's entry as a complete, typed row of the table. The same entry is checked once."""
    text = json.dumps(record, sort_keys=True, default=str)
    return _entry(kind, text, where)


@kept_while(_state, size=1024)
def _entry(kind: str, text: str, where: str) -> pd.Series:
    complete = completed(kind, json.loads(text), where)
    labels = [complete["id"]]
    values, problems = schemas.checked(kind, _texts(kind, [complete]), where, labels)
    _refuse(problems, values["source"], where, labels)
    return pd.Series({name: own[0] for name, own in values.items()}, dtype=object)


def typed(kind: str, records: list[dict[str, Any]], where: str, labels: list[str]) -> pd.DataFrame:
    """Complete entries as a typed frame, checked by the table's own schema."""
    frame, problems = schemas.parse(kind, _texts(kind, records), where, labels)
    _refuse(problems, frame["source"], where, labels)
    return frame


def _texts(kind: str, records: list[dict[str, Any]]) -> dict[str, list[str | None]]:
    """Entries as they would stand in the table's file, by column."""
    names = [item["name"] for item in descriptor.fields(kind)]
    return {name: [_text(record.get(name)) for record in records] for name in names}


def _refuse(problems: list[Problem], sources: Iterable[str], where: str, labels: list[str]) -> None:
    """Raise InputError for the first thing that the table could not hold, an unknown source included."""
    if problems:
        raise InputError(str(problems[0]))
    known = _source_keys(files.path_of("sources"))
    for label, cell in zip(labels, sources, strict=True):
        for key in cell.split(descriptor.SEPARATOR):
            require_known("source", key, known, f"{where}, {label}, column source")


@kept_while(changed)
def _source_keys(path: Path) -> frozenset[str]:
    return frozenset(files.read("sources")["key"])


def _text(value: Any) -> str | None:
    """A YAML or JSON value as it would stand in a CSV cell."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return descriptor.SEPARATOR.join(str(item) for item in value)
    return str(value)
