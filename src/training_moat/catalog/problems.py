"""One thing that is wrong in a file, said in one sentence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Where (`file`, `row`, `column`), the offending `value`, and what was `expected`.

    `row` is the line in the file (the header is line 1), or the entry's name in a scenario. `hint` names the
    nearest valid word where there is one. `sentence`, where given, replaces all of that.
    """

    file: str
    row: int | str | None
    column: str | None
    value: str | None
    expected: str
    hint: str | None = None
    sentence: str | None = None

    @classmethod
    def said(cls, file: str, error: Exception) -> Problem:
        """A problem that an error already says in one sentence."""
        return cls(file, None, None, None, "", sentence=str(error))

    def __str__(self) -> str:
        if self.sentence is not None:
            return self.sentence
        place = self.file
        if self.row is not None:
            place += f", line {self.row}" if isinstance(self.row, int) else f", {self.row}"
        if self.column is not None:
            place += f", column {self.column}"
        found = f"'{self.value}' is wrong; " if self.value is not None else ""
        guess = f"; did you mean '{self.hint}'?" if self.hint else ""
        return f"{place}: {found}expected {self.expected}{guess}"
