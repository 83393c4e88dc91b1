"""HTML that pages are made of."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup

from training_moat.figures.templating import templates

_BOLD, _SLANTED = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"\*([^*]+)\*")
_filled = templates("press")


def page(template: str, **values: Any) -> str:
    """A template of this room, filled."""
    return str(_filled(template, **values))


def sentence(text: str) -> Markup:
    """A sentence of a chapter as HTML: text, but for what it prints in bold or slanted."""
    bold = _BOLD.sub(r"<strong>\1</strong>", html.escape(text))
    return Markup(_SLANTED.sub(r"<em>\1</em>", bold))


def spelled(value: Any, between: str = ",") -> str:
    """A value as text, the items of a list one after the other."""
    return between.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def table(
    head: Sequence[str], rows: Iterable[Iterable[object]], label: str, roomy: Sequence[str] = ()
) -> Markup:
    """A table in a container of its own that scrolls on a narrow screen. roomy: columns of running text, which get room."""
    return _filled("table.html", head=head, rows=rows, label=label, roomy=roomy)
