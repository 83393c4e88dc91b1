"""moat search"""

from __future__ import annotations

import argparse
from typing import Any

from training_moat.catalog import chips, scenario
from training_moat.core import tiers
from training_moat.core.errors import InputError
from training_moat.core.units import GIB
from training_moat.inquiry.wording import digits

COLUMNS = (
    *("tp", "pp", "cp", "dp", "ep", "micro_batch", "virtual_stages", "zero_stage"),
    *("recompute", "recompute_share"),
)
_ANSWERS = ("step_s", "90%_range", "tokens_per_s", "mfu", "memory_gib", "fits", "calibration")


def run(options: argparse.Namespace) -> int:
    """Print the fastest plans that fit, best first; returns 1 when none does."""
    from training_moat.predict import software, training

    if options.top < 1:
        raise InputError(f"--top is {options.top}; expected 1 or more")
    names = ("model", "chip", "chips", "seq_len", "global_batch", "precision", "software")
    request = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    with scenario.laid_over(options.scenario):
        if options.software is not None:
            software.known_name(options.software)
        found = training.search(request, options.top)
        capacity = tiers.room_for(chips.chip(options.chip), "training").space / GIB
    fits = bool(found) and found[0]["fits"]
    if not fits:
        least = min(answer["memory_gib"]["total"] for answer in found)
        offered = f"of {digits(capacity, 4)} GiB that training may fill"
        print(f"nothing fits: the least found is {digits(least, 4)} GiB a chip, {offered}")
    rows = [[*COLUMNS, *_ANSWERS], *([_shown(value) for value in _cells(each)] for each in found)]
    width = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.rjust(room) for cell, room in zip(row, width)))
    for note in found[0].get("notes", ()):
        print(f"note on the first: {note}")
    return 0 if fits else 1


def _cells(answer: dict[str, Any]) -> list[Any]:
    plan = [answer["plan"].get(name) for name in COLUMNS]
    ends = "-".join(_plain(answer[f"step_time_s_{end}"], 3) for end in ("p05", "p95"))
    rates = (answer["step_time_s"], ends, answer["tokens_per_s"], answer["mfu"])
    memory = answer["memory_gib"]["total"]
    return [*plan, *rates, memory, answer["fits"], answer["calibration"]]


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _plain(value, 4) if isinstance(value, float) else str(value)


def _plain(value: float, figures: int) -> str:
    """A number as a program reads it, too: neither powers of ten nor commas between thousands."""
    return digits(value, figures).replace(",", "")
