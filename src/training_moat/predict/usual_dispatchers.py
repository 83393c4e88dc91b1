"""How tokens travel to their experts where nobody says it: by software, chip and date (table usual_dispatchers)."""

from __future__ import annotations

from training_moat.catalog import tables
from training_moat.core.machine import Chip
from training_moat.predict.software import DISPATCHERS, Reach, Software, reaches

TABLE = "usual_dispatchers"
NOW = 1e4
"""The year of software without a date, after all versions: what its makers advise today."""


@tables.kept()
def _lines() -> list[tuple[Reach, frozenset[str], str]]:
    """By line: what it speaks of, the ids of its chips (one empty id: any), and the dispatcher."""
    frame = tables.load(TABLE)
    reach, chips = reaches(frame, "software", "family"), frame["chips"].fillna("")
    return list(zip(reach, chips.str.split(";").map(frozenset), frame["dispatcher"], strict=True))


def sends(
    software: Software, chip: Chip | None, released: float | None, padded: bool = False
) -> tuple[float, float, float]:
    """What a run's usual dispatcher does (`SENDS`), its software `released` in that year (None: today's), its experts `padded`
    to a capacity or not: the first line of the table that covers it, else as `software_stacks` says."""
    if padded and software.pads_by_masks:
        return DISPATCHERS["one-hot"]
    date = NOW if released is None else released
    found = (
        dispatcher
        for reach, chips, dispatcher in _lines()
        if chip and reach.covers(software.name, chip, date) and {"", chip.measured_as} & chips
    )
    name = next(found, None)
    own = software.dispatch_once, software.permutes_in_flight, software.one_hot_dispatch
    return DISPATCHERS[name] if name else own
