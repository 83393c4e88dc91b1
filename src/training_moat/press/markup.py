"""Pieces of HTML that several pages are made of."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

_BOLD, _SLANTED = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"\*([^*]+)\*")


def sentence(text: str) -> str:
    """A sentence of a chapter as HTML: text, but for what it prints in bold or slanted."""
    return _SLANTED.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", html.escape(text)))


def plain_table(head: Sequence[str], rows: Sequence[Sequence[object]], label: str) -> str:
    """A table whose cells are text, in a container of its own that scrolls on a narrow screen."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    return table(top, [[html.escape(str(cell)) for cell in row] for row in rows], label)


def table(top: str, rows: Sequence[Sequence[str]], label: str) -> str:
    """The same, of cells that are HTML already."""
    cells = "\n".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="moat-scroll" tabindex="0" role="region" aria-label="{html.escape(label, quote=True)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>\n{cells}\n</tbody></table></div>"
    )
