"""How tokens travel to their experts where nobody says it: by software, chip and date (table usual_dispatchers)."""

from __future__ import annotations

import math
from typing import NamedTuple

from training_moat.catalog import dates, tables
from training_moat.core.machine import Chip
from training_moat.predict.software import DISPATCHERS, ONE_HOT_STACKS, Software

TABLE = "usual_dispatchers"
NOW = 1e4
"""The year of software without a date, after all versions: what its makers advise today."""


class _Line(NamedTuple):
    """Software by its names, on chips of a family (empty: any) and with one of these ids (empty: any), of a date from `begin`
    on and before `end` (years), uses this dispatcher."""

    names: frozenset[str]
    family: str
    chips: frozenset[str]
    begin: float
    end: float
    dispatcher: str

    def covers(self, software: Software, chip: Chip, released: float) -> bool:
        """Whether it speaks of a run."""
        own = software.name in self.names and self.family in ("", chip.family)
        own = own and (not self.chips or chip.measured_as in self.chips)
        return own and self.begin <= released < self.end


@tables.kept(TABLE)
def _lines() -> list[_Line]:
    frame = tables.load(TABLE)
    return [
        _Line(
            frozenset(row.software.split(";")),
            _text(row.family),
            frozenset(filter(None, _text(row.chips).split(";"))),
            dates.span(row.released_from)[0] if _text(row.released_from) else -math.inf,
            dates.span(row.released_before)[0] if _text(row.released_before) else math.inf,
            row.dispatcher,
        )
        for row in frame.itertuples()
    ]


def _text(cell: object) -> str:
    return cell if isinstance(cell, str) else ""


def sends(
    software: Software, chip: Chip | None, released: float | None, padded: bool = False
) -> tuple[float, float, float]:
    """What a run's usual dispatcher does (`SENDS`), its software `released` in that year (None: today's), its experts `padded`
    to a capacity or not: the first line of the table that covers it, else as `software_stacks` says."""
    if padded and software.stack in ONE_HOT_STACKS:
        return DISPATCHERS["one-hot"]
    date = NOW if released is None else released
    found = (one.dispatcher for one in _lines() if chip and one.covers(software, chip, date))
    name = next(found, None)
    own = software.dispatch_once, software.permutes_in_flight, software.one_hot_dispatch
    return DISPATCHERS[name] if name else own
