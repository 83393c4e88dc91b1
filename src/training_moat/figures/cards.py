"""Cards: a list of expandable entries that the reader narrows down by menus, offline and on a phone."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import pandas as pd

from training_moat.core.errors import InputError
from training_moat.figures import offline, parts, publishing, theme

# Runs inside its own figure; without scripts all cards stay visible and the menus do nothing.
_SCRIPT = (offline.STATIC / "moat-cards.js").read_text(encoding="utf-8").strip()


@parts.or_nothing
def cards(
    frame: pd.DataFrame,
    *,
    heading: str,
    badge: str,
    filters: Mapping[str, str],
    lines: Mapping[str, str],
    caption: str,
    source: str | Sequence[str],
    link: str | None = None,
    sources: str | None = None,
    colors: Mapping[str, str] | None = None,
) -> publishing.Output:
    """Show one expandable card per row, with a menu per filter that hides the others.

    heading: column with the words of a closed card; badge: column with its label (a verdict). filters:
    column to the menu's name. lines: label to column, for the open card; blank values are left out.
    link: column with an address of this book. sources: column with source keys separated by ";".
    colors: colour of each badge (default: the verdicts' colours).
    """
    publishing.required("cards", caption=caption)
    data = parts.tidy(frame, heading, badge, *filters, *lines.values(), link, sources)
    paint = dict(colors or theme.VERDICT_COLOURS)
    unpainted = sorted(set(data[badge].astype(str)) - set(paint))
    if unpainted:
        raise InputError(
            f"cards: no colour for badge '{unpainted[0]}'; expected one of {', '.join(paint)}."
        )
    number = publishing.number_of("Table", caption)
    menus = "\n".join(_menu(number, name, label, data) for name, label in filters.items())
    body = "\n".join(
        _card(row, heading, badge, filters, lines, link, sources, paint)
        for row in data.to_dict("records")
    )
    page = (
        f'<figure class="moat-cards" id="table-{number}">\n'
        f"{publishing.caption_line('Table', number, caption, source, publishing.rows_of(data))}\n"
        f'<p class="moat-menus">{menus}\n<span class="moat-count" aria-live="polite">{len(data)} shown</span></p>\n'
        f"{body}\n<script>{_SCRIPT}</script>\n</figure>"
    )
    return publishing.Output({"text/html": page, "text/plain": f"Table {number}. {caption}"})


def _menu(number: int, name: str, label: str, data: pd.DataFrame) -> str:
    mark = f"menu-{number}-{name}"
    options = "".join(
        f'<option value="{_safe(value)}">{_safe(value)}</option>'
        for value in dict.fromkeys(data[name])
    )
    return (
        f'<label for="{mark}">{html.escape(label)}</label> '
        f'<select id="{mark}" name="{html.escape(name)}"><option value="">all</option>{options}</select>'
    )


def _card(
    row: dict,
    heading: str,
    badge: str,
    filters: Mapping[str, str],
    lines: Mapping[str, str],
    link: str | None,
    sources: str | None,
    paint: Mapping[str, str],
) -> str:
    marks = "".join(f' data-{html.escape(name)}="{_safe(row[name])}"' for name in filters)
    told = "".join(
        f"<dt>{html.escape(label)}</dt><dd>{publishing.cell(row[column], None)}</dd>"
        for label, column in lines.items()
        if publishing.cell(row[column], None)
    )
    cited = publishing.source_line(str(row[sources]).split(";")) if sources and row[sources] else ""
    place = f'<a href="{_safe(row[link])}">Where it is shown</a> ' if link else ""
    dot = f'<span class="moat-dot" style="background:{paint[str(row[badge])]}"></span>'
    return (
        f'<details class="moat-card"{marks}><summary>{dot}<strong>{_safe(row[badge])}</strong> {_safe(row[heading])}</summary>'
        f"<dl>{told}</dl><p>{place}{cited}</p></details>"
    )


def _safe(value: object) -> str:
    return html.escape(str(value), quote=True)
