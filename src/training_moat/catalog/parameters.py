"""The parameters of each chapter: names, types, units, ranges and meanings, checked before anything runs.

`chapters/parameters.yml` holds the schema; the defaults live only in each notebook's cell tagged
`parameters`. The command line checks before a kernel starts; every notebook checks again with
`check`, so that plain papermill fails with the same sentence.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from training_moat.catalog import chips, models, paths, yaml_files
from training_moat.core import numbers
from training_moat.core.errors import InputError, require_known, unknown

SCHEMA_FILE = Path("chapters") / "parameters.yml"
_KEYS = {"type", "unit", "range", "choices", "optional", "meaning", "was"}
_LISTS = {f"{item}s": item for item in ("chip", "model", "number", "integer", "text", "choice")}


@dataclass(frozen=True)
class Parameter:
    """One parameter of one chapter.

    type: integer, number, boolean, text, choice, chip, model, or a list of these (chips, models,
    numbers, integers, texts, choices). low, high: the range, ends included. optional: None, or an
    empty list, is allowed. was: the name it had in earlier editions.
    """

    chapter: str
    name: str
    type: str
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    optional: bool = False
    was: str = ""

    @property
    def allowed(self) -> str:
        """Range, choices or kind of value, in words."""
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        if self.low is not None and self.high is not None:
            years = self.unit in ("", "year") and 1900 < self.low < self.high < 2100
            return f"{self.low} to {self.high}" if years else f"{self.low:,} to {self.high:,}"
        item = _KINDS[_LISTS.get(self.type, self.type)][0]
        return f"list of {self.type}" if self.type in _LISTS else item

    @property
    def comment(self) -> str:
        """What stands behind the default in the notebook, in the form that papermill's help reads."""
        python = {"integer": "int", "number": "float", "boolean": "bool"}.get(self.type, "str")
        limits = ", ".join(filter(None, [self.unit, self.allowed]))
        kind = "list" if self.type in _LISTS else python
        return f"# type: {kind} {self.meaning.rstrip('.')} ({limits})"

    @property
    def where(self) -> str:
        """Place for an error sentence."""
        return f"chapter '{self.chapter}', parameter '{self.name}'"


def _read(chapter: str, name: str, entry: Any) -> Parameter:
    where = f"{SCHEMA_FILE}: {chapter}.{name}"
    if not isinstance(entry, Mapping) or not {"type", "meaning"} <= set(entry):
        raise InputError(f"{where}: expected at least 'type' and 'meaning'.")
    for key in entry:
        require_known("key", key, _KEYS, where)
    kind = entry["type"]
    if kind not in _KINDS and kind not in _LISTS:
        raise unknown("type", str(kind), [*_KINDS, *_LISTS], where)
    if kind in ("choice", "choices") and not entry.get("choices"):
        raise InputError(f"{where}: type '{kind}' needs a list 'choices'.")
    low, high = entry.get("range", (None, None))
    meaning, unit, was = (str(entry.get(key, "")) for key in ("meaning", "unit", "was"))
    choices = tuple(entry.get("choices", ()))
    optional = bool(entry.get("optional", False))
    return Parameter(chapter, name, kind, meaning, unit, low, high, choices, optional, was)


@cache
def _schemas() -> dict[str, dict[str, Parameter]]:
    written = yaml_files.read(paths.root() / SCHEMA_FILE, ("market", "memory"))
    return {
        chapter: {name: _read(chapter, name, entry) for name, entry in (entries or {}).items()}
        for chapter, entries in written.content.items()
    }


def chapters() -> list[str]:
    """Names of the chapters that have a schema."""
    return list(_schemas())


def schema(chapter: str) -> dict[str, Parameter]:
    """The parameters of one chapter by name. Raises InputError for an unknown chapter."""
    known = _schemas()
    folder = paths.root() / SCHEMA_FILE.parent
    if chapter not in known and chapter in {path.stem for path in folder.glob("*.ipynb")}:
        raise InputError(
            f"chapter '{chapter}' has no entry in {SCHEMA_FILE}; add one, '{chapter}: {{}}' where it has no parameters"
        )
    require_known("chapter", chapter, known)
    return known[chapter]


def _numeric(whole: bool) -> Callable[[Parameter, Any], Any]:
    def convert(parameter: Parameter, value: Any) -> int | float:
        ends = parameter.low, parameter.high
        return numbers.given(value, parameter.where, whole, *ends, parameter.unit)

    return convert


def _boolean(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _wrong(parameter, value)
    return value


def _text(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(parameter, value)
    return value


def _choice(parameter: Parameter, value: Any) -> Any:
    known = {str(choice): choice for choice in parameter.choices}
    if str(value) not in known:
        raise unknown("value", str(value), known, parameter.where)
    return known[str(value)]


def _named(resolve: Callable[[str, str], str]) -> Callable[[Parameter, Any], str]:
    def convert(parameter: Parameter, value: Any) -> str:
        if not isinstance(value, str) or value.lower() == "none":
            raise _wrong(parameter, value)
        return resolve(value, parameter.where)

    return convert


_KINDS: dict[str, tuple[str, Callable[[Parameter, Any], Any]]] = {
    "integer": ("a whole number", _numeric(whole=True)),
    "number": ("a number", _numeric(whole=False)),
    "boolean": ("true or false", _boolean),
    "text": ("words", _text),
    "choice": ("one of its choices", _choice),
    "chip": ("a chip id", _named(chips.resolve)),
    "model": ("a model name", _named(models.resolve)),
}
"""Types of a value: in words, and what checks and converts one."""


def _wrong(parameter: Parameter, value: Any) -> InputError:
    unit = f" ({parameter.unit})" if parameter.unit else ""
    item = _KINDS[_LISTS.get(parameter.type, parameter.type)][0]
    return InputError(f"{parameter.where}: expected {item}{unit}, got {numbers.shown(value)}.")


def convert(parameter: Parameter, value: Any) -> Any:
    """Return `value` as the chapter uses it; text from a command line becomes a number or a list.

    Raises InputError with one sentence that names the chapter, the parameter and what was expected.
    """
    if value is None or (
        isinstance(value, str) and value.lower() in ("none", "null") and parameter.optional
    ):
        if parameter.optional:
            return None
        raise _wrong(parameter, value)
    item = _LISTS.get(parameter.type)
    if item is None:
        return _KINDS[parameter.type][1](parameter, value)
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif numbers.is_number(value):
        value = [value]
    if not isinstance(value, (list, tuple)) or not (value or parameter.optional):
        raise InputError(
            f"{parameter.where}: expected a list with at least one entry, got {numbers.shown(value)}."
        )
    return [_KINDS[item][1](parameter, entry) for entry in value]


def convert_all(chapter: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check and convert some of a chapter's parameters (those not given keep their defaults)."""
    known = schema(chapter)
    for name in given:
        if name not in known:
            raise unknown_name(f"chapter '{chapter}'", name, known.values())
    return {name: convert(known[name], value) for name, value in given.items()}


def unknown_name(where: str, name: str, known: Collection[Parameter]) -> InputError:
    """The error for a name that none of some parameters has: it says what it is called now, or the nearest ones."""
    if not known:
        said = f"unknown parameter '{name}'; the chapter has no parameters."
        return InputError(f"{where}: {said}")
    for parameter in known:
        if name == parameter.was:
            return InputError(f"{where}: '{name}' is called '{parameter.name}' now.")
    return unknown("parameter", name, {parameter.name for parameter in known}, where)


def _injected_names(history: Iterable[str]) -> list[str]:
    """Names assigned in the cell that papermill injected, found in the kernel's input history."""
    cells = [source for source in history if source.lstrip().startswith("# Parameters")]
    if not cells:
        return []
    set_there = [node for node in ast.parse(cells[-1]).body if isinstance(node, ast.Assign)]
    targets = [target for node in set_there for target in node.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def check(chapter: str, **values: Any) -> None:
    """Check a notebook's parameters right after they are set; the third cell of every chapter calls it.

    Text where a list or number is expected (plain papermill passes text) is converted, and the
    notebook's variable is set to the converted value. A name that papermill injected but the
    chapter does not have is an error too: papermill itself only logs it. Without `values` they are
    read from the notebook's variables.
    Raises InputError, shown by Jupyter as its one sentence without a traceback.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    space = shell.user_ns if shell is not None else {}
    try:
        known = schema(chapter)
        for name in [*_injected_names(space.get("In", ())), *values]:
            if name not in known:
                raise unknown_name(f"chapter '{chapter}'", name, known.values())
        values = values or {name: space[name] for name in known if name in space}
        for name in known:
            if name not in values:
                raise InputError(f"chapter '{chapter}': parameter '{name}' is not set.")
        converted = {name: convert(known[name], value) for name, value in values.items()}
    except InputError as error:
        sentence = f"InputError: {error}"
        error._render_traceback_ = lambda *_: [sentence]  # type: ignore[attr-defined]
        raise
    for name, value in converted.items():
        if space.get(name, value) != value:
            space[name] = value
