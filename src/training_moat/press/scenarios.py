"""What a run is asked to do: parameters from the command line and from a scenario file, checked per chapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training_moat.catalog import files, parameters
from training_moat.catalog import scenario as scenarios
from training_moat.core.errors import InputError, require_known
from training_moat.press import notebooks
from training_moat.press.folders import SCENARIOS


@dataclass(frozen=True)
class Request:
    """Checked parameters per chapter, and the scenario file (chips and models laid over the tables)."""

    by_chapter: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scenario: Path | None = None

    @property
    def changed(self) -> dict[str, Any]:
        """What differs from the book as published: `chapter.parameter` and value, entries by kind."""
        values = {
            f"{chapter}.{name}": value
            for chapter, given in self.by_chapter.items()
            for name, value in given.items()
        }
        if self.scenario is not None:
            rows = scenarios.load(self.scenario).rows
            values |= {kind: list(frame["id"]) for kind, frame in rows.items() if len(frame)}
        return values

    @property
    def title(self) -> str:
        """What the reader called it: the scenario's title, else its file's name; empty for the book."""
        if self.scenario is None:
            return "own parameters" if self.changed else ""
        return scenarios.load(self.scenario).title or self.scenario.stem

    @property
    def description(self) -> str:
        """What the scenario says about itself."""
        return scenarios.load(self.scenario).description if self.scenario is not None else ""

    @property
    def environment(self) -> dict[str, str]:
        """Environment that makes the kernels see the scenario's chips and models."""
        return scenarios.variables(self.scenario)

    @property
    def rows(self) -> dict[str, str]:
        """What of the scenario changes results besides the parameters: its rows, by the table's file."""
        if self.scenario is None:
            return {}
        rows = scenarios.load(self.scenario).rows
        return {
            files.path_of(kind).name: frame.to_csv(index=False)
            for kind, frame in rows.items()
            if len(frame)
        }


def pairs(given: Iterable[str]) -> dict[str, str]:
    """Read `name=value` pairs of the command line. Raises InputError for anything else."""
    values: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"-p {text}: expected name=value, such as -p chips=sn40l.")
        values[name.strip()] = value.strip()
    return values


def _split(chapter_or_all: list[str], given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Give each `name=value` to the chapters that have it; `chapter.name=value` to that chapter only."""
    result: dict[str, dict[str, str]] = {}
    for name, value in given.items():
        chapter, dot, own = name.partition(".")
        if dot and len(chapter_or_all) > 1:
            require_known("chapter", chapter, chapter_or_all, f"-p {name}")
            result.setdefault(chapter, {})[own] = value
            continue
        takers = [each for each in chapter_or_all if name in parameters.schema(each)]
        if not takers:
            known = [one for each in chapter_or_all for one in parameters.schema(each).values()]
            place = f"chapter '{chapter_or_all[0]}'" if len(chapter_or_all) == 1 else "all chapters"
            raise parameters.unknown_name(place, name, known)
        for each in takers:
            result.setdefault(each, {})[name] = value
    return result


def request(chapters: list[str], given: Iterable[str], scenario: str | None) -> Request:
    """Check everything before a kernel starts; the command line wins over the scenario file.

    Raises InputError: unknown chapter or name, wrong type, out of range, unknown chip or model.
    """
    by_chapter: dict[str, dict[str, Any]] = {chapter: {} for chapter in chapters}
    # Kernels would see a scenario that the environment names: then it is this request's, too.
    path = Path(scenario) if scenario else scenarios.active_path()
    own = _split(chapters, pairs(given))
    with scenarios.laid_over(path):
        if path is not None:
            for chapter, values in _of_file(path, own).items():
                if chapter in by_chapter:
                    by_chapter[chapter] |= values
        for chapter, values in own.items():
            by_chapter[chapter] |= parameters.convert_all(chapter, values)
    return Request(by_chapter, path)


def _of_file(path: Path, replaced: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """A scenario file's parameters by chapter, checked, all of them but those that are `replaced`.

    Raises InputError with file, line and column.
    """
    known = notebooks.chapter_names()
    found: dict[str, Any] = {}
    loaded = scenarios.load(path)
    for chapter, values in loaded.parameters.items():
        with loaded.document.at("parameters", chapter):
            require_known("chapter", chapter, known, f"{path}, parameters")
        found[chapter] = {}
        for name, value in values.items():
            if name in replaced.get(chapter, ()):
                continue
            try:
                with loaded.document.at("parameters", chapter, name):
                    found[chapter] |= parameters.convert_all(chapter, {name: value})
            except InputError as error:
                raise InputError(f"{path.name}: {error}") from None
    return found


def frozen(wanted: Request, folder: Path) -> Request:
    """The request with its scenario copied into `folder`: editing the file meanwhile changes nothing."""
    if wanted.scenario is None:
        return wanted
    copy = folder / "scenario" / wanted.scenario.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(wanted.scenario.read_bytes())
    return Request(wanted.by_chapter, copy)


def problems() -> list[str]:
    """Scenario files whose parameters do not fit the chapters, one sentence each."""
    found = []
    for path in sorted(SCENARIOS.glob("*.y*ml")):
        try:
            request(notebooks.chapter_names(), (), str(path))
        except InputError as error:
            found.append(f"scenarios/{path.name}: {error}")
    return found
