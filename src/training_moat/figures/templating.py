"""HTML from templates, in which every value is text unless it says that it is markup."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_TAG = re.compile(r"<[^>]*>")


def templates(room: str) -> Callable[..., Markup]:
    """What fills a template of the folder `templates` of a room of this package: its name, and the values by name."""
    known = Environment(
        loader=PackageLoader(f"training_moat.{room}"), autoescape=True, finalize=_text,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip

    def filled(template: str, **values: Any) -> Markup:
        return Markup(known.get_template(template).render(values))

    return filled


def _text(value: Any) -> Any:
    """Text as the standard library escapes it."""
    return value if hasattr(value, "__html__") else Markup(html.escape(str(value)))


def text_of(page: str, between: str = "") -> str:
    """What a reader sees of HTML, without its tags. between: what stands in the place of each."""
    return html.unescape(_TAG.sub(between, page))


page = templates("figures")
"""A template of this room, filled."""
