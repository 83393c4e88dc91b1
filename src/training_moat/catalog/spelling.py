"""Finding a table row by any of its spellings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pandas as pd

from training_moat.core.errors import InputError, nearest, telling, unknown

ALIAS_SEPARATOR = "|"
"""Between the spellings in an `aliases` cell (which may hold commas and semicolons)."""


def normal(name: str) -> str:
    """A spelling without case, spaces and punctuation; two numbers stay apart ("GPT-2 2B" is not "GPT 22B")."""
    apart = re.sub(r"(?<=[0-9])[^a-z0-9]+(?=[0-9])", "_", name.lower())
    return re.sub(r"[^a-z0-9_]+", "", apart)


def ids_by_spelling(frame: pd.DataFrame) -> dict[str, str]:
    """Every normalised spelling (id, name, aliases) with the id it means; ids win over names over aliases."""
    found: dict[str, str] = {}
    for column in ("id", "name", "aliases"):
        for row_id, cell in zip(frame["id"], frame[column], strict=True):
            for spelling in cell.split(ALIAS_SEPARATOR) if isinstance(cell, str) else ():
                found.setdefault(normal(spelling), row_id)
    return found


def unlisted(kind: str, name: str, spelled: Mapping[str, str], where: str) -> InputError:
    """The error for a name that no spelling of a table means: it names the rows with a spelling that the name begins, else
    the row whose spelling begins the name and is at least half of it ("H100" of "H-100 SXM5 80GB"), else the nearest."""
    word = normal(name)
    if told := telling(word, begun_by(name, spelled)):
        return unknown(kind, name, (), where, told)
    if alike := _of_its_size(word, spelled):
        return unknown(kind, name, (), where, (spelled[alike],))
    shorter = [each for each in spelled if word.startswith(each) and 2 * len(each) >= len(word)]
    near = max(shorter, key=len) if shorter else nearest(word, spelled)
    return unknown(kind, name, (), where, (spelled[near],) if near else ())


def begun_by(name: str, spelled: Mapping[str, str]) -> Iterator[str]:
    """The rows with a spelling that a name begins."""
    word = normal(name)
    return (row for each, row in spelled.items() if _begins(word, each))


_SIZE = re.compile(r"(\d+(?:_\d+)?b)(?![a-z0-9])")
"""Billions of weights in a normalised name."""


def _of_its_size(word: str, spelled: Mapping[str, str]) -> str | None:
    """The nearest of the spellings that tell the size which a word tells: "Llama 70B" is none of 7B."""
    if not (sizes := set(_SIZE.findall(word))):
        return None
    return nearest(word, [each for each in spelled if sizes & set(_SIZE.findall(each))])


def _begins(word: str, spelled: str) -> bool:
    """Whether a word begins a longer spelling, no number cut short: "GPT-5" does not begin "GPT 530B"."""
    rest = spelled.removeprefix(word)
    return rest != spelled and not (word[-1:].isdigit() and rest[:1].isdigit())
