"""Everything that is wrong with the data: tables, keys between them, the descriptor, scenarios."""

from __future__ import annotations

from pathlib import Path

from training_moat.catalog import descriptor, files, paths, plausibility, scenario, spelling
from training_moat.catalog.problems import Problem
from training_moat.core.errors import InputError

SOURCELESS = ("sources", "source_kinds", "coding_rules")
"""Tables whose rows need no source: the sources themselves, their kinds, and rules of this project."""


def run(root: str | Path | None = None) -> list[Problem]:
    """All problems of the data tables and scenarios under `root` (default: the project's), in file order.

    An empty list means that every table loads, every key points somewhere and every scenario is valid.
    """
    with paths.at(root):
        try:
            problems = _descriptor_problems()
        except InputError as error:
            return [Problem.said("data/datapackage.json", error)]
        found = {name: files.inspect(name) for name in descriptor.table_names()}
        keys = _keys(found)
        for name, inspection in found.items():
            problems += inspection.problems or files.key_problems(name, inspection, keys)
            if name in scenario.KINDS and not inspection.problems:
                problems += _spelling_problems(name, inspection)
        problems += plausibility.problems(found)
        if not any(found[kind].problems for kind in (*scenario.KINDS, "sources") if kind in found):
            problems += _scenario_problems()
        return problems


def _keys(found: dict[str, files.Inspection]) -> dict[str, set[str]]:
    """The keys of every table that has any and could be read."""
    keys = {}
    for name, inspection in found.items():
        key = descriptor.primary_key(name)
        if key is not None and not inspection.problems:
            keys[name] = set(inspection.frame[key])
    return keys


def _descriptor_problems() -> list[Problem]:
    """Tables without description and columns without a unit or a meaning."""
    label, problems = "data/datapackage.json", []
    described = {item["path"] for item in descriptor.package()["resources"]}
    for path in sorted(paths.data_folder().glob("*.csv")):
        if path.name not in described:
            expected = "a description in data/datapackage.json"
            problems.append(Problem(f"data/{path.name}", None, None, None, expected))
    for name in descriptor.table_names():
        columns = {item["name"]: item for item in descriptor.fields(name)}
        place = f"table {name}"
        for column, item in columns.items():
            if item["type"] in descriptor.NUMERIC and not item.get("unit"):
                expected = "a unit ('1' for a plain number)"
                problems.append(Problem(label, place, column, None, expected))
            if not item.get("description"):
                problems.append(Problem(label, place, column, None, "a description"))
        rules = columns.get("source", {}).get("constraints", {})
        needs = name not in SOURCELESS and not descriptor.derived_from(name)
        if needs and not rules.get("required"):
            expected = "a required column 'source', or the tables it is computed from under"
            expected += " 'derivedFrom'"
            problems.append(Problem(label, place, "source", None, expected))
        for origin in descriptor.derived_from(name):
            if origin not in descriptor.table_names():
                problems.append(Problem(label, place, "derivedFrom", origin, "the name of a table"))
    return problems


def _spelling_problems(name: str, inspection: files.Inspection) -> list[Problem]:
    """Spellings that two rows claim."""
    frame, label = inspection.frame, f"data/{files.path_of(name).name}"
    owners: dict[str, str] = {}
    problems = []
    rows = zip(inspection.lines, frame["id"], frame["aliases"].fillna(""), strict=True)
    for line, row_id, aliases in rows:
        for alias in filter(None, [row_id, *aliases.split(spelling.ALIAS_SEPARATOR)]):
            owner = owners.setdefault(spelling.normal(alias), row_id)
            if owner != row_id:
                expected = f"a spelling that {owner} does not have"
                problems.append(Problem(label, line, "aliases", alias, expected))
    return problems


def _scenario_problems() -> list[Problem]:
    """Scenario files that do not load. Chapter parameters are checked where chapters are known (press)."""
    problems = []
    for path in sorted((paths.root() / "scenarios").glob("*.y*ml")):
        try:
            scenario.load(path)
        except InputError as error:
            problems.append(Problem.said(f"scenarios/{path.name}", error))
    return problems
