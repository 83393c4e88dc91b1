"""Tables as the checks of plausibility see them: cells with the lines they stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps

import numpy as np
import pandas as pd

from training_moat.catalog import files
from training_moat.catalog.problems import Problem

CHECKED = r"\bchecked(?: {column})?:"
"""What the notes of a row say before the reason why an outlier (of one column, where named) stands."""

NAMED = r"\bchecked {column}:"
"""The same where only words on this column excuse it: its rows often have a reason for another one."""


@dataclass(frozen=True)
class Sheet:
    """One table that could be read: its typed `frame` and the `lines` its rows stand on."""

    name: str
    frame: pd.DataFrame
    lines: list[int]

    def has(self, *columns: str) -> bool:
        """Whether the table has all of these columns."""
        return set(columns) <= set(self.frame.columns)

    def __getitem__(self, column: str) -> pd.Series:
        """A column as numbers, blank where it is absent."""
        if column not in self.frame:
            return pd.Series(np.nan, index=self.frame.index)
        return pd.to_numeric(self.frame[column], errors="coerce")

    def of_chip(self, chips: Sheet, figure: pd.Series) -> pd.Series:
        """A figure of the table of chips for the chip of each row."""
        return self.frame["chip_id"].map(dict(zip(chips.frame["id"], figure, strict=True)))

    def numbered(self) -> pd.DataFrame:
        """The rows with the place of each in the table, column `position`."""
        return self.frame.assign(position=range(len(self.frame)))

    def notes(self) -> pd.Series:
        """Remarks of every row, empty where it has none."""
        if "notes" not in self.frame:
            return pd.Series("", index=self.frame.index)
        return self.frame["notes"].fillna("").astype(str)

    def flagged(
        self, wrong: pd.Series, column: str, expected: str | pd.Series, named: bool = False
    ) -> Iterator[Problem]:
        """A problem at `column` for every row where `wrong` holds and the notes do not say why it stands; `named`: they have
        to name the column."""
        wrong = wrong.fillna(False).astype(bool)
        words = self.notes()[wrong].str.contains(
            (NAMED if named else CHECKED).format(column=column)
        )
        yield from self.refused(
            wrong & ~words.reindex(wrong.index, fill_value=False), column, expected
        )

    def refused(
        self, wrong: pd.Series, column: str, expected: str | pd.Series
    ) -> Iterator[Problem]:
        """A problem at `column` for every row where `wrong` holds, whatever the notes say; `expected` may be each row's own."""
        for position in wrong.to_numpy().nonzero()[0]:
            own = expected if isinstance(expected, str) else expected.iloc[position]
            yield self.problem(int(position), column, own)

    def at(self, positions: Iterable[int], column: str, expected: str) -> Iterator[Problem]:
        """A problem at `column` of each of these rows."""
        for position in positions:
            yield self.problem(int(position), column, expected)

    def problem(self, position: int, column: str, expected: str) -> Problem:
        """A problem of the cell in one row."""
        value = self.frame[column].iloc[position] if column in self.frame else None
        text = f"{value:g}" if isinstance(value, float) else str(value)
        label = f"data/{files.path_of(self.name).name}"
        return Problem(
            label, self.lines[position], column, None if pd.isna(value) else text, expected
        )


def outside(value: pd.Series, least: float | pd.Series, most: float | pd.Series) -> pd.Series:
    """Where values lie below the least or above the most; what is blank does not."""
    return (value < least) | (value > most)


def times_off(ratio: pd.Series, most: float) -> pd.Series:
    """Where two figures differ by more than so many times, whichever is larger."""
    return outside(ratio, 1 / most, most)


Book = dict[str, Sheet]
"""Tables by name."""


Check = Callable[[Book], Iterator[Problem]]
"""What is implausible in some tables, in those of them that are there."""

CHECKS: list[Check] = []
"""All checks; each is here once the module that defines it is imported (`plausibility`)."""


def check(*tables: str) -> Callable[[Callable[..., Iterator[Problem]]], Check]:
    """Decorator: a check of these tables together, which says nothing where one of them is missing; of the whole book
    where none is named."""

    def decorated(function: Callable[..., Iterator[Problem]]) -> Check:
        @wraps(function)
        def checked(book: Book) -> Iterator[Problem]:
            if not tables:
                yield from function(book)
            elif book.keys() >= set(tables):
                yield from function(*(book[name] for name in tables))

        CHECKS.append(checked)
        return checked

    return decorated


def check_each(
    *tables: str, beside: str | None = None
) -> Callable[[Callable[..., Iterator[Problem]]], Check]:
    """Decorator: a check of each of these tables, of all where none is named, by itself, or with another `beside` it,
    without which nothing is said."""

    def decorated(function: Callable[..., Iterator[Problem]]) -> Check:
        @check()
        @wraps(function)
        def checked(book: Book) -> Iterator[Problem]:
            others = [] if beside is None else [book.get(beside)]
            for name in tables or book:
                if name in book and None not in others:
                    yield from function(book[name], *others)

        return checked

    return decorated
