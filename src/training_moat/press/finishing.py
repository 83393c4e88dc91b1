"""Finishing a built site: what the theme brings and nobody needs goes, what readers and machines expect comes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from training_moat.figures.templating import text_of
from training_moat.press import markup

ADDRESS = "MOAT_SITE_URL"
"""Environment variable with the address at which the site will be published, where that is known."""

REPOSITORY = "MOAT_REPOSITORY"
"""Environment variable with the address of the public repository: its buttons open each chapter on Binder and Colab."""

# The theme's icons come with its style sheet; the script would draw the same ones again (1.5 MB a page).
_ICONS = re.compile(r"\s*<(?:script|link)\b[^>]*scripts/fontawesome\.js[^>]*>(?:</script>)?")
_FOLDED = re.compile(
    r'(?P<cell><div class="cell [^"]*">\s*)?(?P<open><details class="admonition hide[^"]*">)\s*'
    r'<summary aria-label="[^"]*">\s*<p class="collapsed admonition-title">(?P<closed>.*?)</p>\s*'
    r'<p class="expanded admonition-title">(?P<opened>.*?)</p>\s*</summary>',
    re.S,
)
_TOP = re.compile(
    r'(?<!<nav aria-label="Back to top">)<button\b[^>]*id="pst-back-to-top">.*?</button>', re.S
)
_SEARCH = re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="[^"]*"')
_SIDE = re.compile(r'<div id="pst-primary-sidebar"(?! role)')
_TWIN = re.compile(r'<img\b(?=[^>]*class="[^"]*moat-print)(?![^>]*loading=)')
# Its name holds its digest; Sphinx adds another one where the file is there already.
_TWICE = re.compile(r"(_static/mystnb\.[0-9a-f]+\.css)\?v=\w+")
_UNUSED = ("scripts/fontawesome.js", "scripts/fontawesome.js.LICENSE.txt", "locales")
_DESCRIPTION = 200


def address() -> str:
    """Where the site will be published, with a slash at its end; empty where nobody has said."""
    given = os.environ.get(ADDRESS, "").strip()
    return given.rstrip("/") + "/" if given else ""


def repository() -> str:
    """Where the book's files are public, such as https://github.com/OWNER/NAME; empty where nobody has said."""
    return os.environ.get(REPOSITORY, "").strip().rstrip("/")


def page(text: str) -> str:
    """One page: without the icon script, with summaries that say what they fold, twins loaded when needed."""
    text = _TWICE.sub(r"\1", _ICONS.sub("", text))
    text = _FOLDED.sub(_summary, text)
    text = _TWIN.sub('<img loading="lazy"', text)
    text = _SEARCH.sub(r"\1", text)  # its words are its name
    text = _SIDE.sub(
        '<div id="pst-primary-sidebar" role="complementary" aria-label="The book"', text
    )
    return _TOP.sub(lambda found: f'<nav aria-label="Back to top">{found[0]}</nav>', text)


def _summary(found: re.Match[str]) -> str:
    cell = found["cell"] or ""
    what = "parameters of this chapter" if "tag_parameters" in cell else None
    closed, opened = (f"▸ {what}", f"▾ {what}") if what else (found["closed"], found["opened"])
    return (
        f'{cell}{found["open"]}\n<summary><span class="collapsed admonition-title">{closed}</span>'
        f'<span class="expanded admonition-title">{opened}</span></summary>'
    )


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
