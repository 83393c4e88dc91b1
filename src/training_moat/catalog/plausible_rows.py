"""Rows that cannot be as they stand: dates outside a chip's life, copies, sources and addresses gone, codes flipped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pandas as pd

from training_moat.catalog import descriptor, paths
from training_moat.catalog.dates import ends, starts
from training_moat.catalog.problems import Problem
from training_moat.catalog.sheets import Book, Sheet, check, check_each, outside

DATES = ("date", "published", "accessed", "announced", "released")
"""Columns of dates of things that have happened."""

MOST_YEARS_TO_SALE = 2.4
"""Most years from a chip's announcement to its sale (Gaudi's took longest)."""

YEARS_UNSOLD = 3
"""Most years from the announcement of a chip without a date of sale to its release as others have it."""

YEARS_AHEAD = 0.75
"""Most years by which the date of a row may lie after its source was published."""

GROWING = ("dataset", "benchmark", "code", "documentation", "experiment", "estimate", "scenario")
"""Kinds of source that go on growing after they were published."""

COPIES = ("serving_inferencex", "training_left_out")
"""Tables of whose source, or of what they are computed from, some rows are the same by right."""

NUMBERING = ("row_id", "config_id")
"""Columns that number rows and say nothing of their content."""

NEEDED_SOURCES = ("source_memory", "source_network", "source_power", "source_price")
"""Columns of chips.csv that may be blank only where the figures they answer for are blank or unconfirmed."""

BEARINGS = ("supports", "against", "both", "neutral")
"""Words of the column `bearing` with which a reading may open."""

ENDS = (
    ("_low", "", "_high"),
    ("_p05", "_median", "_p95"),
    ("p05", "median", "p95"),
    ("p05", "value", "p95"),
    ("low", "value", "high"),
)
"""Endings of columns that hold the low end, the middle and the high end of one number."""


@check_each()
def ordered_ends(sheet: Sheet) -> Iterator[Problem]:
    """Rows whose low end lies above the middle or the high end below it."""
    pairs = [
        pair
        for low, middle, high in _ranges(list(sheet.frame.columns))
        for pair in ((low, middle), (middle, high), (low, high))
    ]
    for lower, upper in dict.fromkeys(pairs):
        expected = sheet[upper].map(f"at most the {{:g}} in column {upper}".format)
        yield from sheet.refused(sheet[lower] > sheet[upper], lower, expected)


def _ranges(columns: list[str]) -> list[tuple[str, str, str]]:
    """Triples of columns that hold the two ends and the middle of one number; each may be absent."""
    found = []
    for low, middle, high in ENDS:
        stems = {
            column.removesuffix(end)
            for column in columns
            for end in (low, high)
            if column.endswith(end)
        }
        if low.startswith("_"):
            found += [(stem + low, stem + middle, stem + high) for stem in sorted(stems)]
        elif {low, high} & set(columns):
            found.append((low, middle, high))
    return found


@check_each(beside="sources")
def future_dates(sheet: Sheet, sources: Sheet) -> Iterator[Problem]:
    """Dates after the day the newest source was read; only a forecast may have one."""
    read = sources.frame["accessed"].dropna()
    expected = f"a date no later than {read.max()}, when the newest source was read, or 'checked: a forecast' in notes"
    for column in filter(sheet.has, DATES):
        late = starts(sheet.frame[column]) > ends(read).max()
        yield from sheet.refused(
            late & ~sheet.notes().str.contains("checked: a forecast"), column, expected
        )


@check("chips")
def chip_dates(chips: Sheet) -> Iterator[Problem]:
    """Chips sold before they were announced, or long after."""
    announced, sold = chips.frame["announced"], chips.frame["available"]
    wrong = (ends(sold) < starts(announced)) | (starts(sold) > ends(announced) + MOST_YEARS_TO_SALE)
    expected = f"a date from the announcement to {MOST_YEARS_TO_SALE} years after it"
    yield from chips.flagged(wrong, "available", expected)


@check_each(beside="chips")
def early_dates(sheet: Sheet, chips: Sheet) -> Iterator[Problem]:
    """Chips measured before they were announced."""
    if sheet.has("chip_id", "date"):
        early = ends(sheet.frame["date"]) < sheet.frame["chip_id"].map(_announced(chips))
        yield from sheet.flagged(early, "date", "a date after its chip was announced")


def _announced(chips: Sheet) -> dict[str, float]:
    """When each chip was announced, in years."""
    return dict(zip(chips.frame["id"], starts(chips.frame["announced"]), strict=True))


@check("chips", "hardware_history")
def release_dates(chips: Sheet, history: Sheet) -> Iterator[Problem]:
    """Chips announced at another time than Epoch AI has them released, without a word on it."""
    announced = chips.frame["id"].map(_announced(chips))
    released = starts(history.frame["released"]).groupby(history.frame["chip_id"]).min()
    last = ends(chips.frame["available"])
    last = last.fillna(announced + YEARS_UNSOLD)
    wrong = outside(chips.frame["id"].map(released), announced - 0.6, last + 1.1)
    unsaid = ~chips.notes().str.contains(r"Epoch AI:.*released")
    yield from chips.flagged(
        wrong & unsaid,
        "announced",
        "a date that fits hardware_history.csv, or 'Epoch AI:' in notes",
    )


@check_each(beside="sources")
def statement_dates(sheet: Sheet, sources: Sheet) -> Iterator[Problem]:
    """Statements long before their source, or after it was published."""
    years, shapes = descriptor.years_retold(sheet.name), sheet.name == "models"
    column = "released" if shapes else "date"
    if years is None or not sheet.has(column, "source"):
        return
    first, last = _published(sheet.frame["source"], sources.frame)
    expected = f"a date at most {years} years before its source was published"
    early = ends(sheet.frame[column]) < first - years
    yield from sheet.flagged(early, column, expected)
    # A shape stands in the source's first version, whatever is added to it later.
    late = starts(sheet.frame[column]) > (first if shapes else last) + YEARS_AHEAD
    yield from sheet.flagged(late, column, "a date before its source was published")


def _published(cited: pd.Series, sources: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """When the earliest and the latest of the sources that each row cites were published, in years; no latest where one goes
    on growing."""
    keys = cited.str.split(descriptor.SEPARATOR).explode()
    closed = ends(sources["published"]).mask(sources["kind"].isin(GROWING))
    first, last = (
        keys.map(dict(zip(sources["key"], dates, strict=True))).groupby(level=0)
        for dates in (starts(sources["published"]), closed)
    )
    return first.min(), last.max(skipna=False)


@check_each()
def copies(sheet: Sheet) -> Iterator[Problem]:
    """Rows that repeat an earlier one under another number."""
    if sheet.name in COPIES or descriptor.derived_from(sheet.name):
        return
    told = [column for column in sheet.frame if column not in NUMBERING]
    if len(told) == len(sheet.frame.columns):
        return
    lines = pd.Series(sheet.lines, sheet.frame.index)
    first = lines.groupby([sheet.frame[name] for name in told], dropna=False).transform("first")
    expected = first.map("a row that differs from line {}".format)
    yield from sheet.refused(lines != first, sheet.frame.columns[0], expected)


@check("sources", "source_kinds")
def addresses(sources: Sheet, source_kinds: Sheet) -> Iterator[Problem]:
    """Sources without the address that their kind needs."""
    kinds = source_kinds.frame.set_index("kind")["url_required"]
    bare = sources.frame["url"].isna() & (sources.frame["kind"].map(kinds) == "yes")
    yield from sources.flagged(bare, "url", "an address: sources of this kind have one")


@check()
def readings(book: Book) -> Iterator[Problem]:
    """Rows called confirmed of which only compilations were read."""
    if not {"sources", "source_kinds"} <= set(book):
        return
    standing = book["source_kinds"].frame.set_index("kind")["standing"]
    sources = book["sources"].frame
    copied = set(sources["key"][sources["kind"].map(standing) == "compilation"])
    for sheet in book.values():
        if not sheet.has("source", "confirmed"):
            continue
        keys = sheet.frame["source"].fillna("").str.split(descriptor.SEPARATOR)
        wrong = keys.map(lambda cited: set(cited) <= copied) & (sheet.frame["confirmed"] == "yes")
        expected = "'secondary': its sources are all compilations (source_kinds.csv)"
        yield from sheet.refused(wrong, "confirmed", expected)


@check("chips")
def chip_sources(chips: Sheet) -> Iterator[Problem]:
    """Figures of a chip whose column of sources is blank, unless the row calls them unconfirmed."""
    doubted = chips.frame["unconfirmed_fields"].fillna("").str.split(descriptor.SEPARATOR)
    cites = descriptor.sourced_by("chips")
    for column in NEEDED_SOURCES:
        for position in chips.frame[column].isna().to_numpy().nonzero()[0]:
            row = chips.frame.iloc[position]
            own = [name for name, cited in cites.items() if cited == column]
            figures = [name for name in own if not isinstance(row[name], str)]
            told = [name for name in figures if not pd.isna(row[name]) and row[name] != 0]
            open_ = [name for name in told if name not in doubted.iloc[position]]
            if open_:
                expected = f"a source of {', '.join(open_)} (or those under unconfirmed_fields)"
                yield chips.problem(position, column, expected)


@check()
def second_codes(book: Book) -> Iterator[Problem]:
    """Codes that differ from what the second reading has as the first."""
    if "second_coding" not in book:
        return
    coded = book["second_coding"].frame
    for (table, column), rows in coded.groupby(["table", "column"]):
        if table not in book:
            continue
        sheet = book[table]
        first = dict(zip(rows["coded_row"], rows["first"], strict=True))
        theirs = sheet.frame["row_id"].map(first)
        wrong = theirs.notna() & (theirs != sheet.frame[column])
        expected = theirs.map("'{}', the first code in second_coding.csv".format)
        yield from sheet.refused(wrong, column, expected)


@check("chips", "chip_makers")
def chip_makers(chips: Sheet, makers: Sheet) -> Iterator[Problem]:
    """Chips of makers without a row of their own: pages that count startups' chips would pass them over."""
    wrong = ~chips.frame["vendor"].isin(makers.frame["maker"])
    expected = (
        "a maker of chip_makers.csv, where a new one is told to be a startup or not: add its row"
    )
    yield from chips.refused(wrong, "vendor", expected)


@check("chips", "challengers")
def challengers(chips: Sheet, rivals: Sheet) -> Iterator[Problem]:
    """Chips of other makers than Nvidia that were offered for training, and of which nobody says whether they are compared."""
    offered = chips.frame["supports_training"].isin(["yes", "withdrawn"])
    offered &= chips.frame["vendor"] != "NVIDIA"
    wrong = offered & ~chips.frame["id"].isin(rivals.frame["chip_id"])
    expected = (
        "a chip of challengers.csv, since it was offered for training: add its row, compared or not"
    )
    yield from chips.refused(wrong, "id", expected)


@check("low_precision_runs")
def opening_words(sheet: Sheet) -> Iterator[Problem]:
    """Readings that open with another word than the column `bearing` has."""
    opening = sheet.frame["reading"].fillna("").str.extract(r"^(\w+)")[0]
    wrong = opening.isin(BEARINGS) & (opening != sheet.frame["bearing"])
    yield from sheet.flagged(wrong, "bearing", "the word that the reading opens with")


@check()
def stored_results(book: Book) -> Iterator[Problem]:
    """Tables of stored experiments that are not what their manifest says was written."""
    for path in sorted(paths.data_folder().glob("*.manifest.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            table = paths.data_folder() / path.name.replace(".manifest.json", ".csv")
            digest = hashlib.sha256(table.read_bytes()).hexdigest()
        except (ValueError, OSError) as error:
            yield Problem.said(f"data/{path.name}", error)
            continue
        if said.get("table_sha256") != digest:
            expected = f"the table as data/{path.name} records it (table_sha256)"
            yield Problem(f"data/{table.name}", None, None, None, expected)
