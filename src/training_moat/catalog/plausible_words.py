"""What the words of a row, or the name of its source, say of its figures and its reading."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from training_moat.catalog import descriptor
from training_moat.catalog.plausible_numbers import ROUNDED, SAME
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Book, Sheet, check, check_each

TIMES = {
    "minute": 24 * 60,
    "day": 1.0,
    "week": 1 / 7,
    "quarter": 4 / 365.25,
    "month": 12 / 365.25,
    "monthly": 12 / 365.25,
    "year": 1 / 365.25,
}
"""How many of a time make a day."""

COUNTS = {"billion": 1e9, "trillion": 1e12, "quadrillion": 1e15, "T": 1e12, "t": 1e12}
"""Words for large counts."""

ABOUT = {
    "chips": ("vendor", "name", "id", "notes"),
    "startup_events": ("company", "event", "notes"),
    "history_events": ("company", "event", "notes"),
}
"""Tables whose rows are about a maker, and the columns that name it."""

NVLINK_GB_PER_S = {"1": 20, "2": 25, "3": 25, "4": 25, "5": 50, "6": 50}
"""One NVLink, one way, by generation."""

PCIE_X16_GB_PER_S = {"3": 16, "4": 32, "5": 64, "6": 128}
"""Sixteen PCIe lanes, one way, by generation."""

_STATED = re.compile(
    r"(?:(\d+) customers .*?)?([\d.,]+) ?(billion|trillion|quadrillion|[Tt])(?: tokens)? ?"
    r"(?:/|a |per |each |this |last )?(?:\(\w+\) )?(minute|day|week|monthly|month|quarter|year)\b"
)
_OF_A_DAY = re.compile(r"(\d+)B input.* (\d+)B output in 24 h")
YUAN_PER_USD = 7.2

_TRAINS = r"\btrain(?!ium)"
_SERVES = r"inferen|\bserv(?:e|es|ed|ing)\b"
_DENIES = r"\bno\b|n't\b"
_NUMBERED = re.compile(r"[a-z].*\d|\d.*[a-z]")
_RANGE = re.compile(r"([\d.]+)-([\d.]+) T/day")
_GB = r"([\d.]+) ?(GB/s|TB/s|Tb/s)"
_BOTH = re.compile(r"both directions|bidir|duplex|total|/ ?2\b|both ways")
_UNITS = {"GB/s": 1.0, "TB/s": 1e3, "Tb/s": 1e3 / 8}
_NAMED_GB = re.compile(r"(\d+) ?GB\b")
_BOUND = re.compile(r"(?<!\d )\b(above|more than|just under) (\d[\d.]*)\b")
_BOUNDS = {"above": (1, 2), "more than": (1, 2), "just under": (0.5, 1)}
_NUMBERS = {"two": 2, "three": 3, "four": 4}


@check("chips")
def named_memories(chips: Sheet) -> Iterator[Problem]:
    """Chips whose memory is none of those that their own names tell."""
    names = chips.frame["name"] + "|" + chips.frame["aliases"].fillna("")
    for position, told in enumerate(names.str.findall(_NAMED_GB)):
        sizes = {float(size) for size in told}
        held = {chips[column].iloc[position] for column in ("hbm_gb", "ddr_gb")}
        if sizes and not sizes & held:
            yield chips.problem(position, "hbm_gb", f"{min(sizes):g}, as in the chip's name")


@check("tokens_served")
def stated_tokens(sheet: Sheet) -> Iterator[Problem]:
    """Tokens a day that are not what the source's words come to."""
    for position, words in enumerate(sheet.frame["stated"].fillna("")):
        told, found = sheet["tokens_per_day"].iloc[position], _RANGE.search(words)
        if found and not float(found[1]) <= told / 1e12 <= float(found[2]):
            yield sheet.problem(position, "tokens_per_day", f"{found[0]}, as in '{words}'")
        stated = np.nan if found else _stated(words)
        if abs(told / stated - 1) > ROUNDED:
            yield sheet.problem(position, "tokens_per_day", f"{stated:.4g}, as in '{words}'")


def _stated(words: str) -> float:
    """Tokens a day that words come to; NaN where they name no count."""
    if found := _OF_A_DAY.search(words):
        return (float(found[1]) + float(found[2])) * 1e9
    if found := _STATED.search(words):
        count = float(found[2].replace(",", "")) * COUNTS[found[3]] * TIMES[found[4]]
        return count * float(found[1] or 1)
    return np.nan


@check("chips")
def link_words(chips: Sheet) -> Iterator[Problem]:
    """Links of chips that are not what the words of the same row come to."""
    words = chips.frame["scaleup_definition"].fillna("").map(_one_way)
    told = chips["scaleup_gb_per_s_per_direction"]
    wrong = (told / words - 1).abs() > SAME
    expected = "what the words of scaleup_definition come to, or 'checked:' in notes"
    yield from chips.flagged(wrong, "scaleup_gb_per_s_per_direction", expected)


def _one_way(words: str) -> float:
    """GB/s in one direction that a description of links comes to; NaN where it names no figure."""
    if found := re.search(r"\((\d+) NVLink(\d)\)", words):
        return int(found[1]) * NVLINK_GB_PER_S[found[2]]
    if found := re.search(r"PCIe Gen(\d) x16", words):
        return PCIE_X16_GB_PER_S[found[1]]
    if found := re.search(r"(\d+)(?: of \d+)? ?x ?(\d+)GbE", words):
        return int(found[1]) * int(found[2]) / 8
    if found := re.search(rf"(\w+) (?:\w+ )?(?:links|connections) (?:x|of) {_GB}", words):
        count = _NUMBERS.get(found[1]) or (float(found[1]) if found[1].isdigit() else np.nan)
        return count * float(found[2]) * _UNITS[found[3]]
    if (found := re.search(_GB, words)) and _BOTH.search(words):
        return float(found[1]) * _UNITS[found[2]] / 2
    return np.nan


@check_each("accelerator_spend", "lab_ledgers")
def noted_bounds(sheet: Sheet) -> Iterator[Problem]:
    """Amounts that the bound in their own notes contradicts."""
    value, share = (sheet["value"], sheet.notes().str.extract(r"^(\d+)% of ([\d.]+)").astype(float))
    told = value / (share[0] / 100 * share[1])
    wrong = (told - 1).abs() > SAME
    yield from sheet.flagged(wrong, "value", "the share of the sum that its notes name")
    yuan = sheet.notes().str.extract(r"(half of )?([\d.]+) billion yuan")
    usd = yuan[1].astype(float) / YUAN_PER_USD / yuan[0].notna().map({True: 2, False: 1})
    wrong = (value / usd - 1).abs() > SAME
    yield from sheet.flagged(wrong, "value", "the yuan that its notes name, in dollars")
    for position, note in enumerate(sheet.notes()):
        if found := _BOUND.search(note):
            least, most = (float(found[2]) * end for end in _BOUNDS[found[1]])
            if not least <= value.iloc[position] <= most:
                yield sheet.problem(position, "value", f"{found[0]}, as in notes")


@check_each("history_events", "startup_events")
def event_words(sheet: Sheet) -> Iterator[Problem]:
    """Events read as of training or of serving whose own words name only the other, or neither."""
    words = sheet.frame["event"].fillna("").str.cat(sheet.notes(), sep=" ").str.lower()
    trains, serves = words.str.contains(_TRAINS), words.str.contains(_SERVES)
    read = sheet.frame["direction"]
    wrong = (read == "training") & ~trains
    wrong |= (read == "both") & serves & ~trains
    wrong |= (read == "inference") & trains & ~serves & ~words.str.contains(_DENIES)
    expected = "what the words of the event name, or 'checked:' in notes"
    yield from sheet.flagged(wrong, "direction", expected)


@check()
def source_names(book: Book) -> Iterator[Problem]:
    """Rows on a maker or its chip all of whose sources are named after other makers."""
    if not {"sources", "chips", "chip_makers"} <= set(book):
        return
    makers = _makers(book)
    sources = book["sources"].frame
    titles = sources["key"].str.cat([sources["title"], sources["publisher"]], sep=" ", na_rep="")
    about = dict(zip(sources["key"], (_named(title, makers) for title in titles), strict=True))
    for name, columns in ABOUT.items():
        if name not in book:
            continue
        sheet = book[name]
        for position, row in enumerate(sheet.frame[["source", *columns]].itertuples(index=False)):
            own = _named(" ".join(map(str, row[1:])), makers)
            cited = [about.get(key, set()) for key in str(row[0]).split(descriptor.SEPARATOR)]
            if own and all(cited) and own.isdisjoint(set().union(*cited)):
                expected = f"a source on {', '.join(sorted(own))}: these are named after others"
                yield sheet.problem(position, "source", expected)


def _makers(book: Book) -> dict[str, set[str]]:
    """The makers that a name or a word stands for: as table chip_makers says, and by their chips' families and numbers."""
    stands = [
        (row.maker, [row.maker, *row.words.split(descriptor.SEPARATOR)])
        for row in book["chip_makers"].frame.itertuples()
    ]
    for row in book["chips"].frame.itertuples():
        words = [
            word for word in _plain(row.family).split() if word not in _plain(row.vendor).split()
        ]
        words += [word for word in _plain(f"{row.name} {row.id}").split() if _NUMBERED.search(word)]
        stands.append((row.vendor, [row.vendor, *words]))
    found: dict[str, set[str]] = {}
    for maker, words in stands:
        for word in map(_plain, words):
            found.setdefault(word, set()).add(_plain(maker))
    return {word: them for word, them in found.items() if len(word) > 2}


def _plain(text: object) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", str(text).lower()))


def _named(text: str, makers: dict[str, set[str]]) -> set[str]:
    """Makers that a text names."""
    plain = f" {_plain(text)} "
    return set().union(*(them for word, them in makers.items() if f" {word} " in plain))
