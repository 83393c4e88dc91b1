"""One notebook, many pages: the further parameter sets with which `moat build` runs a chapter for pages of its own.

`chapters/pages.yml` maps a chapter to its pages: each has a name and the parameters that differ from the
defaults. Page `groq` of chapter `challenger` stands beside it as `challenger-groq.html`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training_moat.catalog import parameters, yaml_files
from training_moat.core.errors import InputError, require_known
from training_moat.press import notebooks
from training_moat.press.folders import CHAPTERS
from training_moat.press.markup import spelled

FILE = CHAPTERS / "pages.yml"
_SLUG = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")


@dataclass(frozen=True)
class Page:
    """A further page of a chapter: its own part of the address, and the parameters it is run with."""

    chapter: str
    own: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The page's name beside the chapters."""
        return f"{self.chapter}-{self.own}"

    @property
    def subject(self) -> str:
        """What tells it from the chapter's own page, in words: the value of its first parameter."""
        first = next(iter(self.parameters), None)
        if first is None:
            return self.own
        value = str(self.parameters[first])
        if parameters.schema(self.chapter)[first].type not in ("chip", "model"):
            return value
        from training_moat.inquiry import naming  # to list pages needs none of it

        return naming.name_of(value)


def further_pages() -> list[Page]:
    """Every page that the file lists, checked. Raises InputError with file, line and column."""
    if not FILE.is_file():
        return []
    document = yaml_files.read(FILE, ("challenger",))
    known, found = notebooks.chapter_names(), []
    for chapter, listed in document.content.items():
        with document.at(chapter):
            require_known("chapter", chapter, known, FILE.name)
            if not isinstance(listed, dict):
                raise InputError(
                    f"{FILE.name}, {chapter}: expected a mapping from page to parameters"
                )
        for own, values in listed.items():
            with document.at(chapter, own):
                found.append(_page(chapter, own, values))
    return found


def _page(chapter: str, own: Any, values: Any) -> Page:
    where = f"{FILE.name}, {chapter}.{own}"
    if not _SLUG.fullmatch(str(own)):
        raise InputError(
            f"{where}: expected a page name of small letters, digits, dots and hyphens"
        )
    if not isinstance(values, dict) or not values:
        raise InputError(f"{where}: expected a mapping from parameters to values")
    page = Page(chapter, str(own), parameters.convert_all(chapter, values))
    if any((CHAPTERS / f"{page.name}{ending}").exists() for ending in (".ipynb", ".md")):
        raise InputError(f"{where}: chapters/ has a page {page.name} already")
    return page


def title_and_body(page: Page, copy: Path | None) -> tuple[str, str]:
    """The page's title as text, and its content as HTML; copy: its executed notebook, where there is one (an edition of
    some chapters has none)."""
    # They load what draws; to list pages needs none of it.
    from training_moat.press import pages, standalone

    stored = notebooks.read(CHAPTERS / f"{page.chapter}.ipynb")
    title = f"{standalone.title(stored) or page.chapter}: {page.subject}"
    up = f'<a href="{page.chapter}.html">{html.escape(page.chapter.replace("_", " "))}</a>'
    head = f'<h1>{html.escape(title)}</h1>\n<p class="moat-above">A page of the chapter {up}.</p>'
    if copy is None:
        return title, f"{head}\n<p>{_unrun(page)}</p>"
    notebook, _ = pages.prepared(notebooks.read(copy), page.name)
    return title, f"{head}\n{standalone.body(notebook, headless=True)}"


def _unrun(page: Page) -> str:
    given = " ".join(f"-p {name}={spelled(value)}" for name, value in page.parameters.items())
    return (
        "This page is run by <code>moat build</code>, and this site was made from stored outputs. Here it is "
        f"<code>moat run {html.escape(page.chapter)} {html.escape(given)}</code>."
    )
