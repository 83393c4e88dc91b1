"""The tables as the book sees them: the files, with the active scenario's chips and models laid over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
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
    if name in _replaced:
        return _replaced[name][1].copy()
    frame = files.read(name)
    active = scenario.active() if name in scenario.KINDS else None
    if active is not None:
        frame = active.overlay(name, frame)
    return frame.copy()


def listed(name: str, column: str) -> dict[str, str]:
    """The key of a table's row by each word that one of its columns lists."""
    words = load(name).set_index(descriptor.primary_key(name))[column].dropna()
    apart = words.str.split(descriptor.SEPARATOR).explode()
    return {word: str(key) for key, word in apart.items()}


_replaced: dict[str, tuple[int, pd.DataFrame]] = {}
_numbers = count(1)


@contextmanager
def replaced(**frames: pd.DataFrame) -> Iterator[None]:
    """Take these frames for the tables of their names while the block runs, for a judgement on altered evidence; what is
    worked out from them is kept apart."""
    global _replaced
    before, number = _replaced, next(_numbers)
    _replaced = before | {name: (number, frame) for name, frame in frames.items()}
    try:
        yield
    finally:
        _replaced = before


def units(name: str) -> dict[str, str]:
    """Unit of every numeric column of a table."""
    return {field["name"]: field["unit"] for field in descriptor.fields(name) if "unit" in field}


_State = tuple[str, int, str, int]
_steady: dict[tuple[str, str | None], _State] | None = None


@contextmanager
def steady() -> Iterator[None]:
    """Take the tables for unchanged while the block runs, once looked at: large batches ask for their state thousands of
    times."""
    global _steady
    before, _steady = _steady, {} if _steady is None else _steady
    try:
        yield
    finally:
        _steady = before


def state(name: str) -> _State:
    """What a table's content depends on: its file and the active scenario's, with their times of change; of a replaced one
    the replacement's number."""
    if name in _replaced:
        return "", _replaced[name][0], "", 0
    if _steady is None:
        return _state(name)
    key = name, scenario.named()
    if key not in _steady:
        _steady[key] = _state(name)
    return _steady[key]


def _state(name: str) -> _State:
    overlaid = scenario.active_path()
    path, over = str(files.path_of(name)), "" if overlaid is None else str(overlaid)
    return path, changed(path), over, changed(over)


def kept(
    *names: str, size: int = 8, copied: bool = False, lasting: bool = False
) -> Callable[[Callable[_Given, _Found]], Callable[_Given, _Found]]:
    """Decorator: keep the last `size` results of a function for as long as these tables, and the active scenario, are as
    they were. Whoever asks gets the same object, not to be changed, or of a frame a copy (`copied`); arguments have to be
    hashable. What takes tenths of a second may outlast the process (`lasting`)."""

    def decorated(function: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
        @lru_cache(maxsize=size)
        def under(states: tuple, *given: Any, **named: Any) -> tuple[_Found, set[str]]:
            apart = not lasting or bool(named or _replaced)
            known = None if apart else lasting_results.recalled(function, given)
            if known is not None:
                return known
            with files.counted() as touched:
                found = function(*given, **named)
            if not apart:
                lasting_results.leave(function, given, (found, touched))
            return found, touched

        @wraps(function)
        def asked(*given: _Given.args, **named: _Given.kwargs) -> _Found:
            found, touched = under(tuple(map(state, names)), *given, **named)  # type: ignore[arg-type]
            files.TOUCHED.update(touched)
            return found.copy() if copied else found  # type: ignore[attr-defined]

        asked.forget = under.cache_clear  # type: ignore[attr-defined]
        return asked

    return decorated
