"""What a notebook shows: numbered figures and tables with caption, sources and data, and computed sentences."""

from __future__ import annotations

import csv
import html
import io
import math
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import altair as alt
import pandas as pd
from IPython.display import display
from markupsafe import Markup

from training_moat.core.errors import InputError
from training_moat.figures import offline, parts, templating
from training_moat.figures.theme import VERDICT_COLOURS

_MARKS = re.compile(r"[\\`*_\[\]<>|#~!&]")
_TAG = re.compile(r"(?<!\\)((?:\\\\)*)<(?=[A-Za-z/!?])")
_numbers: dict[str, dict[str, int]] = {"Figure": {}, "Table": {}}
REFERENCES = "references.html"
RECORD = "moat"
"""Key of an output's metadata that marks a computed sentence and holds its numbers."""
# What a spreadsheet takes for a formula, and what looks alike and is none.
_FORMULA, _NUMBER = ("=", "+", "-", "@"), re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?%?")
# Pixels of the page's column, and of a table that may also take the margin beside it, where a window has one. What a
# short table needs beyond that is laid out as one card a row.
_PAGE_WIDTH, _WIDE_WIDTH, _STACK_ROWS = 740, 1066, 12


class Output:
    """A cell's result with its MIME forms and, for pictures, their metadata."""

    def __init__(self, forms: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self.forms, self.metadata = forms, metadata or {}

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.forms, self.metadata

    def __repr__(self) -> str:
        return self.forms["text/plain"]


def number_of(kind: str, caption: str) -> int:
    """Number of a figure or table in this notebook; publishing the same caption again keeps its number."""
    known = _numbers[kind]
    return known.setdefault(caption, len(known) + 1)


def begin_numbers() -> None:
    """A notebook begins: its first figure and table are number one, whatever this process published before."""
    for known in _numbers.values():
        known.clear()


def required(kind: str, **given: str) -> None:
    """Raise InputError where a sentence for the reader is missing."""
    for name, text in given.items():
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{kind}: {name} is empty; expected a sentence for the reader.")


def source_line(source: str | Sequence[str]) -> Markup:
    """The sources of a figure or table as links to the page of references; many of them are folded."""
    keys = [source] if isinstance(source, str) else list(dict.fromkeys(source))
    if not keys:
        raise InputError("figure: source is empty; expected one or more keys of data/sources.csv.")
    return templating.page("sources.html", keys=keys, references=REFERENCES, quote=quote)


def caption_line(
    kind: str,
    number: int,
    caption: str,
    source: str | Sequence[str],
    rows: Sequence[dict[str, Any]],
) -> Markup:
    """What stands below a figure or above a table: number, caption, sources and the rows behind it."""
    name, address = f"{kind.lower()}-{number}.csv", _csv_address(rows)
    told = f"<figcaption><strong>{kind} {number}.</strong> {html.escape(caption)} {source_line(source)} "
    link = f'<a class="moat-download" download="{name}" href="{address}">Data (CSV)</a>'
    return Markup(f"{told}{link}</figcaption>")


def _csv_address(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row if not key.startswith("_")))
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _safe(value) for key, value in row.items()} for row in rows)
    content = quote(text.getvalue(), safe=",:;/()+ ").replace(" ", "%20")
    return f"data:text/csv;charset=utf-8,{content}"


def _safe(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe."""
    if (
        isinstance(value, str)
        and value.lstrip().startswith(_FORMULA)
        and not _NUMBER.fullmatch(value)
    ):
        return f"'{value}"
    return value


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values: rounded numbers, ISO dates, blank for missing."""
    plain = frame.copy()
    for column in plain.columns:
        if pd.api.types.is_datetime64_any_dtype(plain[column]):
            plain[column] = plain[column].dt.strftime("%Y-%m-%d")
    table = plain.astype(object).where(plain.notna(), None).to_dict("records")
    return offline.rounded(
        [{str(key): _plain(value) for key, value in row.items()} for row in table]
    )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") and not isinstance(value, str) else value


def _nothing(caption: str) -> Output:
    """In place of a figure or table that a reader's settings leave without rows: what it would have shown."""
    return sentence(f"With these settings there is nothing to show of this: {plain(caption)}")


def publish(
    chart: alt.TopLevelMixin,
    *,
    caption: str,
    alt: str,
    source: str | Sequence[str],
    data: pd.DataFrame | None = None,
) -> Output:
    """Show a chart as a numbered figure; use it as the last expression of a cell.

    caption: what the reader sees, in a sentence or two. alt: the same for who cannot see the
    picture: kind of chart, axes, what stands out, with the numbers. source: key or keys of
    data/sources.csv. data: the frame behind the CSV link (default: the chart's largest data set).
    Raises InputError when caption, alt or source is empty.
    """
    required("figure", caption=caption, alt=alt)
    if chart is parts.NOTHING:
        return _nothing(caption)
    number = number_of("Figure", caption)
    spec = offline.specification(chart)
    sets = list(spec.get("datasets", {}).values())
    rows = rows_of(data) if data is not None else max(sets, key=len, default=[])
    below = caption_line("Figure", number, caption, source, rows)
    mark = f"vis-{number}-{offline.digest(spec)}"
    picture = {"image/png": offline.ordered_png(spec), "text/plain": alt}
    display(picture, raw=True)
    drawn = offline.to_text({key: value for key, value in spec.items() if key != "title"})
    told = {"number": number, "title": spec.get("title"), "mark": mark, "alt": alt, "below": below}
    page = templating.page("figure.html", drawn=Markup(drawn), **told)
    return Output({"text/html": str(page), "text/plain": f"Figure {number}. {caption}"})


def cell(value: Any, form: str | None = None) -> Markup:
    """A value as a cell of HTML: numbers in `form` or with three digits, links and verdicts as such, blank for missing."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return Markup("")
    if isinstance(value, bool):
        return Markup("yes" if value else "no")
    if isinstance(value, pd.Timestamp):
        return Markup(value.strftime("%Y-%m-%d"))
    if isinstance(value, (int, float)) or hasattr(value, "item"):
        number = _plain(value)
        whole = "," if isinstance(number, int) else ",.0f" if abs(number) >= 1000 else ".3g"
        shown = format(number, form or whole)
        # A small table's reader takes 110 for a number, and 1.1e+02 for a slip.
        return Markup(f"{Decimal(shown):,f}" if _POWER.fullmatch(shown) else shown)
    text = str(value)
    if text in VERDICT_COLOURS:
        return Markup(f'<strong class="moat-verdict moat-{text.replace(" ", "-")}">{text}</strong>')
    if text.startswith(("https://", "http://", "../data/")):
        shown = text.removeprefix("../data/").split("//", 1)[-1].rstrip("/")
        shown = shown if len(shown) < 40 else shown[:37] + "..."
        return Markup(f'<a href="{html.escape(text)}">{html.escape(shown)}</a>')
    return Markup(html.escape(text))


def table(
    frame: pd.DataFrame,
    *,
    caption: str,
    source: str | Sequence[str],
    formats: dict[str, str] | None = None,
    tall: bool = False,
) -> Output:
    """Show a frame as a numbered table that scrolls by itself on a narrow screen.

    Columns appear as named (rename them for readers, unit included). formats: a Python format per
    column, such as {"price (USD)": ",.0f"}; numbers without one show three significant digits.
    One wider than the page takes the margin too; a short one is shown as one card a row where that is not enough.
    tall: limit the height and scroll inside, for long tables.
    """
    required("table", caption=caption)
    if frame.empty:
        if os.environ.get(parts.STRICT):
            raise parts.NoRows("table: the table to show has no rows.")
        return _nothing(caption)
    number = number_of("Table", caption)
    forms = formats or {}
    names = [str(column) for column in frame.columns]
    cells = [
        [cell(value, forms.get(column)) for column, value in zip(frame.columns, row)]
        for row in frame.itertuples(index=False, name=None)
    ]
    kinds = [
        _column_class(frame[column], [row[place] for row in cells])
        for place, column in enumerate(frame.columns)
    ]
    width = _width(names, cells)
    wide, stacked = width > _PAGE_WIDTH, width > _PAGE_WIDTH and len(cells) <= _STACK_ROWS
    always = stacked and width > _WIDE_WIDTH  # cards even where the margin is free
    shape = " moat-stack" if stacked else " moat-tall" if tall else ""
    shape += " moat-fold" if stacked and not always else ""
    page = templating.page(
        "table.html", number=number, caption=caption, shape=shape, labelled=stacked, cells=cells,
        place="full-width" if wide and not always else "moat-column", columns=list(zip(names, kinds)),
        below=caption_line("Table", number, caption, source, rows_of(frame)),
    )  # fmt: skip
    return Output({"text/html": str(page), "text/plain": f"Table {number}. {caption}"})


_POWER = re.compile(r"-?\d(\.\d+)?e\+0\d")
_SHOWN_NUMBER = re.compile(r"[-+\u2212]?\d[\d,]*(\.\d+)?%?")


def _column_class(column: pd.Series, cells: list[Markup]) -> Markup:
    """Class of a column: numbers stand to the right, those rounded to words too; running text gets room."""
    if parts.is_number(column) or (
        any(cells) and all(_SHOWN_NUMBER.fullmatch(cell) for cell in cells if cell)
    ):
        return Markup(' class="number"')
    return Markup(
        ' class="words"' if max(len(templating.text_of(cell)) for cell in cells) > 24 else ""
    )


def _width(names: list[str], cells: list[list[Markup]]) -> float:
    """Pixels that a table needs to be read in one glance: running text wrapped at 24 characters, the range behind a
    number below it."""
    most = [
        max(min(24, max(map(len, templating.text_of(row[place]).split(" (")))) for row in cells)
        for place in range(len(names))
    ]
    words = [max(len(word) for word in name.split()) if name.split() else 0 for name in names]
    return sum(max(pair) * 7.2 + 22 for pair in zip(most, words))


def plain(name: str) -> str:
    """A name as text in a sentence: none of its characters is taken for Markdown."""
    return _MARKS.sub(r"\\\g<0>", " ".join(str(name).split()))


def inert(markdown: str) -> str:
    """Markdown without what would be more than words in a page: tags stay text, pictures are not loaded."""
    return _TAG.sub(r"\1\\<", markdown).replace("![", "!\\[")


def sentence(text: str, **numbers: Any) -> Output:
    """Show a computed sentence as prose (Markdown). Dollar signs stay dollars, never formulas, and tags text.

    numbers: what the sentence says, by name and in the units of the name, for those who run many
    (`moat sweep`, `moat compare`); kept in the output's metadata, six digits each.
    """
    required("sentence", text=text)
    shown = inert(text.replace("\\$", "$").replace("$", "\\$"))
    forms = {"text/markdown": shown, "text/plain": text}
    return Output(forms, {RECORD: {name: _recorded(value) for name, value in numbers.items()}})


def _recorded(value: Any) -> Any:
    """A number as it is kept: six digits, None where there is none; words as they are."""
    if isinstance(value, str) or value is None:
        return value
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None
