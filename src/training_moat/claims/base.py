"""How a claim is measured: measured quantities and the functions that find them.

data/claims.csv says what the article claims; data/claim_tests.csv names the measures that bear on it, with
their arguments and thresholds. The functions registered with `@measure` compute the quantities from the
tables and the model; nothing here knows how a verdict should come out (`grading` does).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from training_moat.catalog import tables
from training_moat.catalog.cited import cited
from training_moat.claims import ranges
from training_moat.core.errors import InputError, require_known, unknown
from training_moat.inquiry.uncertainty import jeffreys

KEY_COLUMNS = ("row_id", "id", "name", "service", "key", "job")
"""Columns that may name the rows of a table, in the order in which they are looked for."""


def row_of(name: str, key: str, column: str) -> pd.Series:
    """The row of a table that has `key`; an error with the nearest key when there is none."""
    frame = tables.load(name)
    found = frame[frame[column] == key]
    if found.empty:
        raise unknown(f"{name} row", key, frame[column].astype(str))
    return found.iloc[0]


def key_column(frame: pd.DataFrame) -> str:
    """The column that names the rows of a table."""
    return next(column for column in KEY_COLUMNS if column in frame)


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity that was found: its value, its range and what kind of range that is, the chance that it
    reaches our threshold where one is modelled, and the rows (`table:key`) and sources it came from. A value
    of None means no evidence; `note` says for whom or what the number speaks."""

    value: float | None
    low: float | None = None
    high: float | None = None
    probability: float | None = None
    rows: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    note: str = ""
    kind: str = ""

    @property
    def number(self) -> float:
        """The value of a quantity that is known to be there. Raises InputError where there is no evidence."""
        if self.value is None:
            raise InputError("nothing is known of this quantity; expected a value")
        return self.value


NOTHING = Measured(None)
Measure = Callable[..., Measured]
_MEASURES: dict[str, Measure] = {}


def measure(function: Measure) -> Measure:
    """Register a function that measures a quantity: data/claim_tests.csv asks for it by its name and gives it arguments, as
    text."""
    if function.__name__ in _MEASURES:
        raise InputError(f"claims: the measure {function.__name__} is defined twice")
    _MEASURES[function.__name__] = function
    return function


def measure_names() -> set[str]:
    """Every registered measure."""
    return set(_MEASURES)


def measured(name: str, arguments: str | None) -> Measured:
    """Measure one quantity; `arguments` as "name=value;name=value"."""
    require_known("measure", name, _MEASURES, "data/claim_tests.csv")
    told = str(arguments).split(";") if isinstance(arguments, str) and arguments else []
    return _MEASURES[name](**dict(item.split("=", 1) for item in told))


def keys(
    frame: pd.DataFrame, table: str | None = None, column: str | None = None
) -> tuple[str, ...]:
    """The rows of a frame as table:key, of the table that its own column `table` names where none is given; the key column
    is `row_id`, or `id` where there is none."""
    told = frame.assign(table=table) if table else frame
    column = column or ("row_id" if "row_id" in frame else "id")
    return tuple(f"{name}:{key}" for name, key in zip(told["table"], told[column], strict=True))


def counted(
    frame: pd.DataFrame,
    table: str | None = None,
    value: float | None = None,
    note: str = "",
    key: str | None = None,
    **more: Any,
) -> Measured:
    """The number of rows (or a value computed from them), with the rows and their sources. key: the column that names a row.
    more: range, kind and chance of the value."""
    number = float(len(frame)) if value is None else value
    return Measured(number, rows=keys(frame, table, key), sources=cited(frame), note=note, **more)


def share(
    frame: pd.DataFrame,
    condition: pd.Series,
    table: str | None = None,
    sampled: bool = False,
    weights: pd.Series | None = None,
) -> Measured:
    """The share of a frame's rows for which a condition holds; no evidence when there are no rows.

    sampled: the rows are some of many like them, so the share gets a 90% interval; otherwise they are all
    there are. weights: how much each row counts; the interval is that of as many rows as the weights are
    worth, (sum w)^2 / sum w^2 (Kish 1965).
    """
    if frame.empty:
        return NOTHING
    weight = pd.Series(1.0, frame.index) if weights is None else weights
    value = float((weight * condition).sum() / weight.sum())
    found = Measured(value, rows=keys(frame, table), sources=cited(frame))
    if not sampled:
        return found
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    ends = jeffreys(value * effective, effective)
    return replace(found, low=ends.p05, high=ends.p95, kind=ranges.OF_A_SHARE)
