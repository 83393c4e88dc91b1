"""Cards: a list of expandable entries that the reader narrows down by menus, offline and on a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from markupsafe import Markup

from training_moat.core.errors import InputError
from training_moat.figures import offline, parts, publishing, templating, theme

# Runs inside its own figure; without scripts all cards stay visible and the menus do nothing.
_SCRIPT = Markup((offline.STATIC / "moat-cards.js").read_text(encoding="utf-8").strip())


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
    page = templating.page(
        "cards.html", number=number, rows=data.to_dict("records"), heading=heading, badge=badge, filters=filters,
        lines=lines, link=link, sources=sources, paint=paint, script=_SCRIPT, cell=publishing.cell,
        cited=publishing.source_line, choices={name: list(dict.fromkeys(data[name])) for name in filters},
        caption=publishing.caption_line("Table", number, caption, source, publishing.rows_of(data)),
    )  # fmt: skip
    return publishing.Output({"text/html": str(page), "text/plain": f"Table {number}. {caption}"})
