"""`moat compare`: two settings of the whole book beside each other, and what moved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from training_moat.core.errors import InputError, require_known
from training_moat.core.numbers import is_number
from training_moat.figures.templating import text_of
from training_moat.inquiry.wording import counted
from training_moat.press import building, markup, notebooks, output, recorded, sweep_points
from training_moat.press.folders import SCENARIOS
from training_moat.press.scenarios import frozen, request
from training_moat.press.workspace import workspace

DEFAULT = "default"
_TITLE = re.compile(r'<p class="moat-title">(.*?)</p>', re.S)


@dataclass(frozen=True)
class Figure:
    """A figure of an executed chapter: its title, its picture as base64, and as HTML what draws it."""

    title: str
    png: str
    drawn: str = ""


@dataclass(frozen=True)
class Told:
    """What a chapter says: its answer, the numbers that its sentences record, its figures."""

    answer: str
    numbers: dict[str, Any]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Change:
    """One thing that two settings tell differently. ratio: second over first, where both are numbers."""

    chapter: str
    what: str
    first: Any
    second: Any
    ratio: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two settings by name, what they changed in the book, and how many statements they have in common (None: all)."""

    names: tuple[str, str]
    changes: tuple[Change, ...]
    same: int | None
    figures: dict[str, list[tuple[Figure | None, Figure | None]]] = field(default_factory=dict)


def scenario_path(name: str) -> Path | None:
    """The scenario file of a name: a path, a file of scenarios/, or "default" for none at all."""
    if name == DEFAULT:
        return None
    if Path(name).suffix in (".yaml", ".yml", ".json"):
        if not Path(name).is_file():
            raise InputError(f"compare: there is no scenario file '{name}'")
        return Path(name)
    known = {path.stem: path for path in sorted(SCENARIOS.glob("*.y*ml"))}
    require_known("scenario", name, [DEFAULT, *known], "compare")
    return known[name]


def told(notebook: notebooks.NotebookNode) -> Told:
    """What an executed chapter says."""
    found = sweep_points.records(notebook)
    answer = str(found.pop("answer", ""))
    figures = []
    for cell in notebook.cells:
        png = ""
        for shown in cell.get("outputs", ()):
            data = shown.get("data", {})
            png = data.get("image/png", png)
            drawn = "".join(data.get("text/html", ""))
            title = _TITLE.search(drawn)
            if title and png:
                figures.append(Figure(text_of(title[1]).strip(), png, drawn))
    return Told(answer, found, tuple(figures))


def compare(
    first: str, second: str, chapters: Sequence[str] = (), given: Sequence[str] = ()
) -> Comparison:
    """Run the book under two settings (what is cached is not run again, one setting twice not at all) and compare what it
    says.

    given: `name=value` pairs for the first setting, such as the chip that the second looks at. Raises
    InputError for an unknown scenario or chapter, WorkFailed where a chapter fails.
    """
    paths = [scenario_path(name) for name in (first, second)]
    names = list(chapters) or notebooks.chapter_names()
    for name in names:
        notebooks.chapter_file(name)
    wanted = [
        request(names, own, str(path) if path else None)
        for own, path in zip((given, ()), paths, strict=True)
    ]
    if wanted[0] == wanted[1]:
        return Comparison((first, second), (), None)
    sides: list[dict[str, Told]] = []
    with workspace() as work:
        for number, asked in enumerate(wanted):
            folder = work / str(number)
            folder.mkdir()
            copies = building.executed(frozen(asked, folder), folder)
            sides.append({name: told(notebooks.read(copies[name])) for name in names})
    return _compared((first, second), *sides)


def _compared(
    names: tuple[str, str], first: dict[str, Told], second: dict[str, Told]
) -> Comparison:
    changes, same, figures = [], 0, {}
    for chapter, one in first.items():
        other = second[chapter]
        pairs: list[tuple[str, Any, Any]] = [("answer", one.answer, other.answer)]
        keys = dict.fromkeys([*one.numbers, *other.numbers])
        pairs += [(key, one.numbers.get(key), other.numbers.get(key)) for key in keys]
        for what, old, new in pairs:
            if old == new:
                same += 1
            else:
                changes.append(Change(chapter, what, old, new, _ratio(old, new)))
        pairs_of = zip_longest(one.figures, other.figures)
        moved = [(old, new) for old, new in pairs_of if old != new]
        if moved:
            figures[chapter] = moved
    return Comparison(names, tuple(changes), same, figures)


def _ratio(old: Any, new: Any) -> float | None:
    return new / old if is_number(old) and is_number(new) and old else None


def by_chapter(
    found: Comparison,
) -> Iterator[tuple[str, list[Change], list[tuple[Figure | None, Figure | None]]]]:
    """Each chapter that tells something differently: its name, the changes, the pairs of figures."""
    for chapter in dict.fromkeys([*(c.chapter for c in found.changes), *found.figures]):
        changes = [change for change in found.changes if change.chapter == chapter]
        yield chapter, changes, found.figures.get(chapter, [])


def lines(found: Comparison) -> list[str]:
    """The comparison for a terminal: what changed, chapter by chapter."""
    first, second = found.names
    if not found.changes and not found.figures:
        return [f"{first} and {second} tell the same in every chapter"]
    shown = []
    for chapter, changes, figures in by_chapter(found):
        shown.append(chapter)
        for change in changes:
            times = f"  ({change.ratio:.3g} times)" if change.ratio is not None else ""
            shown.append(f"  {recorded.words(change.what)}{times}")
            then, now = recorded.sides(change.what, change.first, change.second)
            shown += [f"    {first}: {then}", f"    {second}: {now}"]
        for one, other in figures:
            then, now = (side.title if side else "none" for side in (one, other))
            shown.append(f"  figure: {then}")
            shown.append(f"      now: {now}" if now != then else "      drawn with other numbers")
    changed = counted(len(found.changes), "statement")
    shown.append(f"{changed} changed, {counted(found.same or 0, 'is', 'are')} the same")
    return shown


def record(found: Comparison) -> dict[str, Any]:
    """The comparison as JSON."""
    told = dict(zip(("first", "second"), found.names)) | {"same": found.same}
    titles = [
        (chapter, *(one and one.title for one in pair))
        for chapter, pairs in found.figures.items()
        for pair in pairs
    ]
    figures = [dict(zip(("chapter", "first", "second"), each)) for each in titles]
    return told | {"changes": [vars(one) for one in found.changes], "figures": figures}


def page(found: Comparison) -> str:
    """The comparison as one page that needs no other file: statements and figures side by side."""
    told = {"names": found.names, "changes": found.changes, "same": found.same}
    calls = {"words": recorded.words, "sides": recorded.sides, "sentence": markup.sentence}
    return markup.page(
        "compared.html", seal=output.UNSEALED, **told, **calls, chapters=by_chapter(found)
    )
