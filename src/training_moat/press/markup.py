"""HTML that pages are made of, from the templates of this room: every value is text unless it is `Markup`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

_BOLD, _SLANTED = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"\*([^*]+)\*")
_TEMPLATES = Environment(
    loader=PackageLoader("training_moat.press"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip


def page(template: str, **values: Any) -> str:
    """A template of this room, filled."""
    return _TEMPLATES.get_template(template).render(values)


def sentence(text: str) -> Markup:
    """A sentence of a chapter as HTML: text, but for what it prints in bold or slanted."""
    bold = _BOLD.sub(r"<strong>\1</strong>", str(escape(text)))
    return Markup(_SLANTED.sub(r"<em>\1</em>", bold))


def spelled(value: Any, between: str = ",") -> str:
    """A value as text, the items of a list one after the other."""
    return between.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def table(
    head: Sequence[str], rows: Iterable[Iterable[object]], label: str, roomy: Sequence[str] = ()
) -> Markup:
    """A table in a container of its own that scrolls on a narrow screen. roomy: columns of running text, which get room."""
    return Markup(page("table.html", head=head, rows=rows, label=label, roomy=roomy))
