"""The tables as the book sees them: the files, with the active scenario's chips and models laid over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import count
from typing import Any, ParamSpec, TypeVar

import pandas as pd

from training_moat.catalog import descriptor, files, scenario
from training_moat.catalog import lasting as lasting_results
from training_moat.catalog.kept_while import changed

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")


def names() -> list[str]:
    """Names of all tables."""
    return descriptor.table_names()


def load(name: str) -> pd.DataFrame:
    """One validated table; cached per process, a fresh copy for each caller.

    `chips` and `models` include what the active scenario (`MOAT_SCENARIO`) adds or overrides. Raises
    InputError for an unknown name and for a bad file, with its line and column.
    """
    file = files.asked_for(name)
    if file in _replaced:
        return _replaced[file][1].copy()
    frame = files.read(name)
    active = scenario.active() if name in scenario.KINDS else None
    if active is not None:
        frame = active.overlay(name, frame)
    return frame.copy()


def read_again(name: str) -> pd.DataFrame:
    """The table, with the second reading of its coded cells (data/second_coding.csv, by the rules of data/coding_rules.csv)
    in place of the first."""
    frame, cells = load(name), load("second_coding")
    for cell in cells[cells["table"] == name].itertuples():
        frame.loc[frame[descriptor.primary_key(name)] == cell.coded_row, cell.column] = cell.second
    return frame


def listed(name: str, column: str) -> dict[str, str]:
    """The key of a table's row by each word that one of its columns lists."""
    words = load(name).set_index(descriptor.primary_key(name))[column].dropna()
    apart = words.str.split(descriptor.SEPARATOR).explode()
    return {word: str(key) for key, word in apart.items()}


_replaced: dict[str, tuple[int, pd.DataFrame]] = {}
_numbers = count(1)
_moment = 0
"""Another number whenever what a table holds may be another, though nobody looks at the files."""


@contextmanager
def replaced(**frames: pd.DataFrame) -> Iterator[None]:
    """Take these frames for the tables of their names while the block runs, for a judgement on altered evidence; what is
    worked out from them is kept apart."""
    global _replaced, _moment
    before, number = _replaced, next(_numbers)
    given = {descriptor.resource(name)["path"]: (number, frame) for name, frame in frames.items()}
    _replaced, _moment = before | given, next(_numbers)
    try:
        yield
    finally:
        _replaced, _moment = before, next(_numbers)


def units(name: str) -> dict[str, str]:
    """Unit of every numeric column of a table."""
    return {field["name"]: field["unit"] for field in descriptor.fields(name) if "unit" in field}


_State = tuple[str, int, str, int]
_steady: dict[tuple[str, str | None], _State] | None = None


@contextmanager
def steady() -> Iterator[None]:
    """Take the tables for unchanged while the block runs, once looked at: large batches ask for their state thousands of
    times."""
    global _steady, _moment
    if _steady is not None:
        yield
        return
    _steady, _moment = {}, next(_numbers)
    try:
        yield
    finally:
        _steady = None


def state(name: str) -> _State:
    """What a table's content depends on: its file and the active scenario's, with their times of change; of a replaced one
    the replacement's number."""
    return _state(files.asked_for(name))


def _state(file: str) -> _State:
    if file in _replaced:
        return "", _replaced[file][0], "", 0
    if _steady is None:
        return _looked_at(file)
    key = file, scenario.named()
    if key not in _steady:
        _steady[key] = _looked_at(file)
    return _steady[key]


def _looked_at(file: str) -> _State:
    overlaid = scenario.active_path()
    path, over = str(files.place_of(file)), "" if overlaid is None else str(overlaid)
    return path, changed(path), over, changed(over)


_WORLDS = 4
"""Results that are kept for the same arguments: of as many contents of the tables, or scenarios."""


@dataclass
class _Answer:
    """A result, the files of the tables that it rests on, their states, and when these were last found so."""

    found: Any
    rests_on: tuple[str, ...]
    states: tuple[_State, ...]
    looked: tuple[int, str | None]

    def holds(self, now: tuple[int, str | None]) -> bool:
        """Whether the tables are as they were."""
        if self.states != tuple(map(_state, self.rests_on)):
            return False
        self.looked = now
        return True


def kept(
    size: int = 8, copied: bool = False, lasting: bool = False
) -> Callable[[Callable[_Given, _Found]], Callable[_Given, _Found]]:
    """Decorator: keep the results of a function for its last `size` arguments, each for as long as the tables that it asked
    for, and the active scenario, are as they were. Whoever asks gets the same object, not to be changed, or of a frame a
    copy (`copied`); arguments have to be hashable. What takes tenths of a second may outlast the process (`lasting`)."""

    def decorated(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
        answers: OrderedDict[Hashable, list[_Answer]] = OrderedDict()

        def worked_out(given: tuple[Any, ...], named: dict[str, Any]) -> _Answer:
            apart = not lasting or bool(named or _replaced)
            known = None if apart else lasting_results.recalled(function, given)
            if known is None:
                with files.counted() as touched:
                    found = function(*given, **named)
                known = found, touched
                if not apart:
                    lasting_results.leave(function, given, known)
            rests_on = tuple(sorted(known[1]))
            states = tuple(map(_state, rests_on))
            return _Answer(known[0], rests_on, states, (_moment, scenario.named()))

        @wraps(function)
        def asked(*given: _Given.args, **named: _Given.kwargs) -> _Found:
            key = (given, *sorted(named.items())) if named else given
            known, now = answers.get(key, []), (_moment, scenario.named())
            if _steady is None or not known or known[0].looked != now:
                holding = [one for one in known if one.holds(now)] or [worked_out(given, named)]
                others = [one for one in known if one is not holding[0]]
                known = answers[key] = [holding[0], *others[: _WORLDS - 1]]
                answers.move_to_end(key)
                if len(answers) > size:
                    answers.popitem(last=False)
            files.TOUCHED.update(known[0].rests_on)
            return known[0].found.copy() if copied else known[0].found

        asked.forget = answers.clear  # type: ignore[attr-defined]
        return asked

    return decorated
