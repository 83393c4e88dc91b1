"""A notebook as its page shows it: sources under readable names, figures with addresses, code folded."""

from __future__ import annotations

import html
import re
from collections.abc import Container, Iterable, Iterator
from typing import Any

import pandas as pd

from training_moat.catalog import tables
from training_moat.core.errors import unknown
from training_moat.figures import publishing
from training_moat.press import markup, notebooks
from training_moat.press.failures import WorkFailed

_NUMBERED = re.compile(r"<strong>(Figure|Table) (\d+)\.</strong>")
_LINK = re.compile(r'(<a class="moat-source" href="[^"#]*#source-([^"]+)")>([^<]*)</a>')


def sources_list(only: Container[str] | None = None) -> str:
    """Some sources by their keys, or all of them folded away by kind, as list items that figures and tables link to."""
    rows = tables.load("sources").astype(object).sort_values("key", kind="stable")
    kinds = [(kind, rows["kind"] == kind.kind) for kind in tables.load("source_kinds").itertuples()]
    if only is not None:
        kinds = [(None, rows["key"].map(lambda key: key in only))]
    shown = [(kind, rows[own].fillna("")) for kind, own in kinds if own.any()]
    told = [(kind, list(own.itertuples(index=False))) for kind, own in shown]
    return markup.page("references.html", kinds=told)


@tables.kept()
def _sources() -> dict[str, Any]:
    rows = tables.load("sources")[["key", "title", "publisher", "url"]].astype(object)
    return {row.key: row for row in rows.itertuples(index=False)}


def name_sources(notebook: Any, where: str) -> list[str]:
    """Show each source link of a notebook under a readable name; the keys of all sources named (`named`)."""
    keys: list[str] = []
    for data in _html_outputs(notebook):
        data["text/html"], found = named(data["text/html"], where)
        keys += found
    return list(dict.fromkeys(keys))


def named(page: str, where: str) -> tuple[str, list[str]]:
    """HTML with each source link under a readable name and a way to the source itself beside it, and the keys of the
    sources. Raises WorkFailed for an unknown key."""
    sources = _sources()
    keys: dict[str, None] = {}

    def put(match: re.Match[str]) -> str:
        key = html.unescape(match[2])
        if key not in sources:
            raise WorkFailed(str(unknown("source", key, list(sources), where)))
        keys[key] = None
        row = sources[key]
        full = f"{row.title}{', ' + str(row.publisher) if pd.notna(row.publisher) else ''}"
        short = full if len(full) <= 48 else full[:46].rsplit(" ", 1)[0] + "…"
        title = html.escape(full, quote=True)
        outside = ""
        if pd.notna(row.url):
            address = html.escape(row.url, quote=True)
            outside = f'<a class="moat-outside" href="{address}" title="{title}" aria-label="open {title}">↗</a>'
        return f'{match[1]} title="{title}">{html.escape(short)}</a>{outside}'

    return _LINK.sub(put, page), list(keys)


def _html_outputs(notebook: Any) -> Iterator[dict[str, Any]]:
    """The forms of every output of a notebook that has HTML among them."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                yield output["data"]


def name_figures(notebook: Any, chapter: str) -> None:
    """Let downloads be called after the chapter, and let each number link to its own place."""
    for data in _html_outputs(notebook):
        page = data["text/html"].replace('download="figure-', f'download="{chapter}-figure-')
        page = page.replace('download="table-', f'download="{chapter}-table-')
        data["text/html"] = _NUMBERED.sub(_with_link, page)


def _with_link(match: re.Match[str]) -> str:
    kind, number = match[1], match[2]
    return (
        f"<strong>{kind} {number}.</strong>"
        f'<a class="moat-here" href="#{kind.lower()}-{number}" aria-label="link to {kind.lower()} {number}">#</a>'
    )


def cited(keys: Iterable[str]) -> str:
    """The sources of these keys as a list, for a page that stands alone."""
    named = set(keys)
    return f"<h2>Sources</h2>\n{sources_list(named)}" if named else ""


def _shown(cell: Any, number: int) -> list[str]:
    """Tags that decide how the page shows a code cell: preparation disappears, other code is folded."""
    preparation = number == 0 or "parameters.check(" in cell.source
    return sorted({*notebooks.tags(cell), "remove-cell" if preparation else "hide-input"})


def prepared(notebook: Any, name: str) -> tuple[Any, list[str]]:
    """A notebook as the page of this name shows it, and the keys of the sources that it cites. Raises WorkFailed for an
    unknown key."""
    shown = page_copy(notebook)
    sources = name_sources(shown, f"chapters/{name}.ipynb")
    name_figures(shown, name)
    return shown, sources


def page_copy(notebook: Any) -> Any:
    """A notebook as its page shows it: code folded, the first computed sentences, up to the next prose, marked as the
    answer."""
    answered, told, number = False, False, 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            answered = told
            continue
        cell.metadata["tags"] = _shown(cell, number)
        number += 1
        forms = [output.get("data", {}) for output in cell.outputs]
        alt = next((form.get("text/plain", "") for form in forms if "image/png" in form), None)
        if alt:
            cell.metadata["mystnb"] = {"image": {"alt": alt, "classes": "moat-print"}}
        prose = [form for form in forms if "text/markdown" in form]
        for form in prose:
            form["text/markdown"] = publishing.inert(form["text/markdown"])
        if prose and not answered:
            cell.metadata["tags"].append("answer")
            told = True
    return notebook
