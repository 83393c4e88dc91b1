"""The gallery: a page for every file of scenarios/ - what changed, the verdicts then and now, what else moved.

To run the book under every scenario takes many minutes. `moat gallery` does it, and keeps what the
comparison found under `scenarios/told/`; the site is made from these records. Each holds the digest of
its scenario's file; a record of another edition of the file is not shown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from training_moat.catalog import descriptor, files, parameters
from training_moat.catalog import scenario as scenarios
from training_moat.catalog.kept_while import changed as changed_ns
from training_moat.catalog.kept_while import kept_while
from training_moat.core.errors import require_known
from training_moat.core.numbers import is_number
from training_moat.core.whole_files import write_text
from training_moat.inquiry import naming
from training_moat.inquiry.wording import amount
from training_moat.press import comparing, folders, markup, pages, recorded

FOLDER = folders.SCENARIOS
CHAPTERS = (
    "market", "memory", "networking", "precision", "switching", "scorecard", "your_chip",
)  # fmt: skip
"""Chapters that a page of the gallery compares; of a scenario that lays nothing over the tables, those it names."""

LEVEL = 0.005
"""Amounts that differ by a smaller part are told as one: the book's numbers carry two digits."""

MOST_FIGURES = 6
"""Figures that a page draws, of those whose finding moved; the others are named."""


def names() -> list[str]:
    """Scenarios of the gallery, by their file's name."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path_of(name: str) -> Path:
    """A scenario's file. Raises InputError with the nearest name when there is none."""
    require_known("scenario", name, names(), "gallery")
    return FOLDER / f"{name}.yaml"


def record_path(name: str) -> Path:
    """Where a scenario's record is kept."""
    return FOLDER / "told" / f"{name}.json"


def digest(name: str) -> str:
    """Hash of a scenario's file."""
    return folders.digest(path_of(name))[:16]


def told(name: str) -> dict[str, Any]:
    """Run the book as it is and under a scenario (what is stored is not run again); the page's record."""
    path, scenario = path_of(name), loaded(name)
    laid_over = any(len(frame) for frame in scenario.rows.values())
    read = CHAPTERS if laid_over else [each for each in CHAPTERS if each in scenario.parameters]
    found = comparing.compare(comparing.DEFAULT, str(path), read, same_chips(scenario, read))
    made = {**comparing.record(found), "first": comparing.DEFAULT, "second": name}
    moved = [
        {"chapter": chapter, "first": one.title, "second": other.title, "drawn": other.drawn}
        for chapter, pairs in found.figures.items()
        for one, other in pairs
        if one is not None and other is not None and one.title != other.title
    ]
    return {
        "scenario": digest(name),
        **made,
        "drawn": moved[:MOST_FIGURES],
        "verdicts": _verdicts(path) if laid_over else [],
    }


def same_chips(scenario: scenarios.Scenario, chapters: Sequence[str]) -> list[str]:
    """Parameters with which the book looks at the chips that a scenario looks at, as far as its own tables have them.

    Another chip than the book's own would differ by itself, whatever the scenario changes. A chip that the
    scenario brings is looked at as the one that it starts from.
    """
    own, bases = scenario.rows.get("chips"), scenario.bodies("chips")
    asked = {chapter: dict(scenario.parameters.get(chapter, {})) for chapter in chapters}
    if "your_chip" in asked and own is not None and len(own):
        asked["your_chip"].setdefault("chip", str(own.iloc[0]["id"]))
    given = []
    for chapter, values in asked.items():
        for name, value in values.items():
            if parameters.schema(chapter)[name].type == "chip":
                known = _in_the_book(value, bases)
                given += [f"{chapter}.{name}={known}"] if known else []
    return given


def _in_the_book(chip: str, bases: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The chip of the book's tables that a scenario's chip is, or starts from; None where there is none."""
    known = set(files.read("chips")["id"])
    while chip not in known:
        chip = (bases.get(chip) or {}).get("base", "")
        if not chip:
            return None
    return chip


def _verdicts(path: Path) -> list[dict[str, str]]:
    """The four arguments in the book and under the scenario: grade, and the number that decides."""
    from training_moat import claims  # a second of imports, which showing the records needs not

    sides = []
    for laid_over in (None, path):
        with scenarios.laid_over(laid_over):
            sides.append(claims.verdict_table(claims.evaluate()).set_index("argument"))
    before, now = sides
    rows = []
    for each in before.index:
        row = {"title": before.loc[each, "title"], "quantity": before.loc[each, "quantity"]}
        for side, frame in (("first", before), ("second", now)):
            row |= {f"{side}_{what}": str(frame.loc[each, what]) for what in ("grade", "number")}
        rows.append(row)
    return rows


def store(which: Sequence[str] = ()) -> Iterator[str]:
    """Compute and keep the records of some scenarios (default: all); yields a line for each."""
    for name in [path_of(each).stem for each in which] or names():
        found = told(name)
        text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        before = record_path(name).read_text("utf-8") if record_path(name).is_file() else ""
        write_text(record_path(name), text)
        said = "unchanged" if text == before else f"{len(found['changes'])} statements differ"
        yield f"{name}: {said}"


def record(name: str) -> dict[str, Any] | None:
    """A scenario's stored record; None where there is none of its file as it is now."""
    try:
        found = _record(record_path(name))
    except (OSError, ValueError):
        return None
    return found if found.get("scenario") == digest(name) else None


def _level(first: Any, second: Any) -> bool:
    amounts = isinstance(first, float) and isinstance(second, float)
    return amounts and math.isclose(first, second, rel_tol=LEVEL)


@kept_while(changed_ns, size=64)
def _record(path: Path) -> dict[str, Any]:
    """A stored record, of which numbers that two digits do not tell apart count as the same."""
    found = json.loads(path.read_text(encoding="utf-8"))
    changes = [one for one in found["changes"] if not _level(one["first"], one["second"])]
    same = found["same"] + len(found["changes"]) - len(changes)
    return {**found, "changes": changes, "same": same}


def loaded(name: str) -> scenarios.Scenario:
    """A scenario."""
    return scenarios.load(path_of(name))


def changed(name: str) -> list[tuple[str, str]]:
    """What a scenario changes, one line each: what, in the words of its table or chapter, and the value it gives it."""
    lines, scenario = [], loaded(name)
    for kind in (key for key in scenario.document.content if key in scenarios.KINDS):
        for entry, columns in scenario.bodies(kind).items():
            what = columns.get("name") or naming.name_of(entry)
            lines.append((what, "; ".join(_columns(kind, columns))))
    for chapter, values in scenario.parameters.items():
        known = parameters.schema(chapter)
        for parameter, value in values.items():
            what = re.split(r"[:;]", known[parameter].meaning)[0].rstrip(".")
            unit = known[parameter].unit.removeprefix("share")
            where = f"{_titled(chapter)}: {what}"
            told = amount(value, unit) if unit == "times" else f"{_value(value)} {unit}".rstrip()
            lines.append((where, told))
    return lines


def _columns(kind: str, columns: Mapping[str, Any]) -> list[str]:
    """The cells that a scenario sets, each with its column in words and its unit; the name stands before them."""
    fields = {field["name"]: field for field in descriptor.fields(kind)}
    told = []
    for column, value in columns.items():
        field = fields.get(column, {"description": "starts from"})
        unit = "" if value is None else field.get("unit", "")
        what = naming.column_words(field)
        told += [f"{what} {_value(value)} {unit}".rstrip()] if column != "name" else []
    return told


def _value(value: Any) -> str:
    """A value in words: chips and models by name, large numbers with commas."""
    if value is None:
        return "left blank"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if is_number(value):
        return f"{value:,}"
    return naming.name_of(str(value))


def title_and_body(name: str) -> tuple[str, str]:
    """A scenario's page: its title as text, its content as HTML."""
    scenario, found = loaded(name), record(name)
    title = scenario.title or name
    verdicts = found and found["verdicts"] and _verdict_table(found["verdicts"])
    body = markup.page(
        "scenario.html", name=name, title=title, found=found, verdicts=verdicts,
        description=scenario.description[:1].upper() + scenario.description[1:],
        changed=markup.table(("what", "is now"), changed(name), "what changed"),
        words=recorded.words, sentence=markup.sentence, sides=recorded.sides, own_ids=_own_ids,
        titled=_titled,
    )  # fmt: skip
    return title, body


def _verdict_table(verdicts: Sequence[dict[str, str]]) -> str:
    rows = [
        (
            *(row["title"], row["quantity"], f"{row['first_number']}: {row['first_grade']}"),
            "the same" if _same(row) else f"{row['second_number']}: {row['second_grade']}",
        )
        for row in verdicts
    ]
    head = ("argument", "decided by", "in the book", "here")
    return markup.table(head, rows, "the verdicts")


def _same(row: dict[str, str]) -> bool:
    return all(row[f"first_{what}"] == row[f"second_{what}"] for what in ("grade", "number"))


def _titled(chapter: str) -> str:
    """A chapter's name as a heading: "Your chip"."""
    return chapter.replace("_", " ").capitalize()


def _own_ids(drawn: str, number: int) -> Markup:
    """A figure's HTML with ids of its own, numbered by its place on the page (from 1), and its sources by name.

    Each was drawn in its own chapter and carries the number it has there.
    """
    drawn = pages.named(drawn, "scenarios/told")[0]
    drawn = re.sub(r"<strong>Figure \d+\.", f"<strong>Figure {number}.", drawn)
    drawn = re.sub(r'download="figure-\d+', f'download="figure-{number}', drawn)
    return Markup(re.sub(r'(id="|data-chart=")(?!moat-)', rf"\g<1>told-{number}-", drawn))


def index() -> str:
    """Every scenario with a line on what it changes and how many verdicts and statements it moves."""
    rows = []
    for name in names():
        scenario, found = loaded(name), record(name)
        moved, differ = "not run", ""
        if found:
            count = sum(not _same(row) for row in found["verdicts"])
            moved = f"{count} of {len(found['verdicts'])}" if found["verdicts"] else "none can"
            differ = str(len(found["changes"]))
        link = Markup('<a href="scenario-{}.html">{}</a>').format(name, scenario.title or name)
        rows.append([link, scenario.description, moved, differ])
    words = ("scenario", "what changes", "deciding numbers moved", "statements that differ")
    return markup.table(words, rows, "scenarios")
