"""What the book's Markdown pages take from tables and code: sources, parameters, the model's equations, the gallery."""

from __future__ import annotations

import re

from training_moat.catalog import parameters
from training_moat.core.errors import require_known
from training_moat.press import model_page, notebooks, pages, sweep_costs
from training_moat.press.markup import spelled, table

_MARKER = re.compile(r"<!-- fill: ([a-z ]+) -->")


def parameters_tables() -> str:
    """The parameters of every chapter, with their defaults, as tables."""
    parts = []
    for chapter in notebooks.chapter_names():
        rows = parameter_rows(chapter)
        if not rows:
            continue
        cells = (row.values() for row in rows)
        label = f"parameters of {chapter}"
        shown = table(list(rows[0]), cells, label, roomy=("meaning", "allowed"))
        parts.append(
            f'<h3 id="parameters-{chapter}">{chapter}</h3>\n<div class="full-width">{shown}</div>'
        )
    return "\n".join(parts)


def parameter_rows(chapter: str) -> list[dict[str, str]]:
    """One row per parameter: name, type, unit, default, allowed values, meaning."""
    notebook = notebooks.read(notebooks.chapter_file(chapter))
    values = notebooks.defaults(notebook, chapter)
    rows = []
    for name, parameter in parameters.schema(chapter).items():
        value = values.get(name)
        kind = f"{parameter.type}, or none" if parameter.optional else parameter.type
        shown = "none" if value is None else spelled(value)
        told = {"name": name, "type": kind, "unit": parameter.unit, "default": shown}
        rows.append(told | {"allowed": parameter.allowed, "meaning": parameter.meaning})
    return rows


def rule() -> str:
    """How every claim is graded, in the words of the code that grades it."""
    from training_moat.claims import grading  # a second of imports, for one page

    return grading.RULE


def scenarios_list() -> str:
    """The scenarios of the gallery."""
    from training_moat.press import gallery  # it compares runs, which only its own page needs

    return gallery.index()


_FILLERS = {
    "sources": pages.sources_list,
    "parameters": parameters_tables,
    "model": model_page.page,
    "rule": rule,
    "gallery": scenarios_list,
    "costs": sweep_costs.table,
    "sizes": sweep_costs.sizes,
}


def fill(text: str) -> str:
    """Replace `<!-- fill: sources -->`, `parameters` and `rule` in a page by what tables and code say."""

    def put(match: re.Match[str]) -> str:
        require_known("page filler", match[1], _FILLERS)
        return _FILLERS[match[1]]()

    return _MARKER.sub(put, text)
