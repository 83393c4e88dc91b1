"""Finishing a built site: what the theme brings and nobody needs goes, what readers and machines expect comes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from training_moat.figures.templating import text_of
from training_moat.press import markup

ADDRESS = "MOAT_SITE_URL"
"""Environment variable with the address at which the site will be published, where that is known."""

REPOSITORY = "MOAT_REPOSITORY"
"""Environment variable with the address of the public repository: its buttons open each chapter on Binder and Colab."""

_UNUSED = ("scripts/fontawesome.js", "scripts/fontawesome.js.LICENSE.txt", "locales")
_DESCRIPTION = 200


def address() -> str:
    """Where the site will be published, with a slash at its end; empty where nobody has said."""
    given = os.environ.get(ADDRESS, "").strip()
    return given.rstrip("/") + "/" if given else ""


def repository() -> str:
    """Where the book's files are public, such as https://github.com/OWNER/NAME; empty where nobody has said."""
    return os.environ.get(REPOSITORY, "").strip().rstrip("/")


def _summary(found: re.Match[str]) -> str:
    """Summary of a folded cell: with words in place of the theme's icon, which says the same of all."""
    cell = found["cell"] or ""
    what = "parameters of this chapter" if "tag_parameters" in cell else None
    closed, opened = (f"▸ {what}", f"▾ {what}") if what else (found["closed"], found["opened"])
    return (
        f'{cell}{found["open"]}\n<summary><span class="collapsed admonition-title">{closed}</span>'
        f'<span class="expanded admonition-title">{opened}</span></summary>'
    )


_CHANGES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # The theme's icons come with its style sheet; the script would draw the same ones again (1.5 MB a page).
    (re.compile(r"\s*<(?:script|link)\b[^>]*scripts/fontawesome\.js[^>]*>(?:</script>)?"), ""),
    # Its name holds its digest; Sphinx adds another one where the file is there already.
    (re.compile(r"(_static/mystnb\.[0-9a-f]+\.css)\?v=\w+"), r"\1"),
    (re.compile(
        r'(?P<cell><div class="cell [^"]*">\s*)?(?P<open><details class="admonition hide[^"]*">)\s*'
        r'<summary aria-label="[^"]*">\s*<p class="collapsed admonition-title">(?P<closed>.*?)</p>\s*'
        r'<p class="expanded admonition-title">(?P<opened>.*?)</p>\s*</summary>', re.S), _summary),
    (re.compile(r'<img\b(?=[^>]*class="[^"]*moat-print)(?![^>]*loading=)'), '<img loading="lazy"'),
    # The words of this button are its name.
    (re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="[^"]*"'), r"\1"),
    (re.compile(r'<div id="pst-primary-sidebar"(?! role)'),
     '<div id="pst-primary-sidebar" role="complementary" aria-label="The book"'),
    (re.compile(r'(?<!<nav aria-label="Back to top">)<button\b[^>]*id="pst-back-to-top">.*?</button>', re.S),
     r'<nav aria-label="Back to top">\g<0></nav>'),
)  # fmt: skip
"""What each page has otherwise than the theme makes it, and what stands there instead."""


def page(text: str) -> str:
    """One page: without the icon script, with summaries that say what they fold, twins loaded when needed."""
    for theirs, ours in _CHANGES:
        text = theirs.sub(ours, text)
    return text


def first_words(body: str) -> str:
    """The first paragraph of a page as plain text, for those who show a link to it."""
    for paragraph in re.findall(r"<p\b[^>]*>(.*?)</p>", body, re.S):
        words = " ".join(text_of(paragraph).split())
        if len(words) > 40:
            if len(words) <= _DESCRIPTION:
                return words
            return words[:_DESCRIPTION].rsplit(" ", 1)[0] + " …"
    return ""


def head(title: str, body: str, name: str, site: str) -> str:
    """Tags that tell others what a page is: description, Open Graph, its canonical address where known."""
    shown = text_of(title)
    where = f"{address()}{name}.html" if address() else ""
    return markup.page("head.html", title=shown, words=first_words(body), site=site, where=where)


def finish(site: Path, pages: Iterable[str], title: str, first: str) -> None:
    """Finish the files of a site whose pages are `pages`, in reading order; `first` is the one to begin with."""
    for path in site.rglob("*.html"):
        before = path.read_text(encoding="utf-8")
        after = page(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
    for path in (*site.rglob("*.map"), *(site / "_static").rglob("*.ttf")):
        path.unlink()
    for name in _UNUSED:
        unused = site / "_static" / name
        shutil.rmtree(unused) if unused.is_dir() else unused.unlink(missing_ok=True)
    known = {"title": title, "first": first, "pages": list(pages), "address": address()}
    for name in ("index.html", "404.html", "robots.txt", *(("sitemap.xml",) if address() else ())):
        (site / name).write_text(markup.page(name, **known), encoding="utf-8")
