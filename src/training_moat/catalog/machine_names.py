"""Machines as they are rented and sold, by the chips in them (tables machine_names and systems)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from training_moat.catalog import spelling, tables

_SLICE = re.compile(r"(?P<name>.+?)-(?P<number>\d{1,5})")
_MANY = (
    re.compile(r"(?P<number>\d{1,5})\s*(?:[x×*]|\s)\s*(?P<name>[^\W\d].*)", re.IGNORECASE),
    re.compile(r"(?P<name>.+?)\s*[x×*:]\s*(?P<number>\d{1,5})", re.IGNORECASE),
)


def chips_in(name: str) -> tuple[str, int] | None:
    """(id of the chip, how many) of a machine ("inf2.48xlarge") or of a slice that its number measures ("v6e-8"); None where
    neither table has it."""
    if found := _machines().get(spelling.normal(name)):
        return found
    place = _SLICE.fullmatch(name.strip())
    told = place and _slices().get(spelling.normal(place["name"]))
    if not place or not told:
        return None
    count, rest = divmod(int(place["number"]), told[1])
    return (told[0], count) if count and not rest else None


def several(name: str) -> tuple[str, int] | None:
    """(a chip's name, how many) of "8x H100", "8 H100" or "H100:8"; None of another text."""
    place = next(filter(None, (form.fullmatch(name.strip()) for form in _MANY)), None)
    return (place["name"], int(place["number"])) if place and int(place["number"]) else None


@tables.kept()
def _machines() -> dict[str, tuple[str, int]]:
    own = tables.load("machine_names").dropna(subset="chips")
    sold = tables.load("systems")[["system", "chip_id", "chips_per_system"]]
    rows = [*_said(own, "spellings", "chips"), *_said(sold, "system", "chips_per_system")]
    return dict(reversed(rows))


@tables.kept()
def _slices() -> dict[str, tuple[str, int]]:
    """What a slice's number counts for each chip: one where it counts chips, two where it counts their cores."""
    own = tables.load("machine_names").dropna(subset="counted_per_chip")
    return dict(_said(own, "spellings", "counted_per_chip"))


def _said(frame: pd.DataFrame, names: str, number: str) -> Iterator[tuple[str, tuple[str, int]]]:
    for cell, chip_id, count in zip(frame[names], frame["chip_id"], frame[number], strict=True):
        for name in cell.split(spelling.ALIAS_SEPARATOR):
            yield spelling.normal(name), (chip_id, int(count))
