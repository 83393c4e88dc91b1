"""Pieces of HTML that several pages are made of."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

_BOLD, _SLANTED = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"\*([^*]+)\*")


def sentence(text: str) -> str:
    """A sentence of a chapter as HTML: text, but for what it prints in bold or slanted."""
    return _SLANTED.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", html.escape(text)))


def spelled(value: Any, between: str = ",") -> str:
    """A value as text, the items of a list one after the other."""
    return between.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def plain_table(
    head: Sequence[str], rows: Iterable[Iterable[object]], label: str, roomy: Sequence[str] = ()
) -> str:
    """A table whose cells are text, in a container of its own that scrolls on a narrow screen.

    roomy: columns of running text, which get room.
    """
    return table(head, [[html.escape(str(cell)) for cell in row] for row in rows], label, roomy)


def table(
    head: Sequence[str], rows: Iterable[Iterable[str]], label: str, roomy: Sequence[str] = ()
) -> str:
    """The same, of cells that are HTML already."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    opened = ['<td class="words">' if name in roomy else "<td>" for name in head]
    cells = "\n".join(
        f"<tr>{''.join(f'{begin}{cell}</td>' for begin, cell in zip(opened, row))}</tr>"
        for row in rows
    )
    return (
        f'<div class="moat-scroll" tabindex="0" role="region" aria-label="{html.escape(label, quote=True)}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>\n{cells}\n</tbody></table></div>"
    )
