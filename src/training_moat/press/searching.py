"""The index of the theme's own search, which answers where the site is opened as files (`site_index` does where it is
served): Sphinx's, with the words of the pages that Sphinx did not read."""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils import new_document
from sphinx.search import languages
from sphinx.search.en import SearchEnglish

from training_moat.figures.templating import text_of

_UNSEEN = re.compile(r"<(script|style)\b.*?</\1>", re.S)


class _English(SearchEnglish):
    """English whose words are stemmed once each, not once a page."""

    @functools.cache  # noqa: B019 - there is one for a build
    def stem(self, word: str) -> str:
        return super().stem(word)


def setup() -> None:
    """Make Sphinx take its English from here."""
    languages["en"] = _English


def words(body: str) -> str:
    """What a reader sees of HTML, as plain text."""
    return text_of(_UNSEEN.sub(" ", body), between=" ")


def feed(indexer: Any, page: str, title: str, text: str) -> None:
    """Put a page that is no file of the book into the index."""
    document = new_document(page)
    document += nodes.section("", nodes.title("", title), nodes.paragraph("", text))
    indexer.feed(page, f"{page}.ipynb", html.escape(title), document)


def keep(indexer: Any, pages: Iterable[str]) -> None:
    """Let the index hold these pages although Sphinx, which leaves out what it has not read, does not know them."""
    prune, ours = indexer.prune, list(pages)
    indexer.prune = lambda known: prune([*known, *ours])


def without_lost_words(path: Path) -> None:
    """Take the words out of a written index that stand on no page any more."""
    head, _, rest = path.read_text(encoding="utf-8").partition("(")
    index = json.loads(rest.rstrip().removesuffix(")"))
    for kind in ("terms", "titleterms"):
        index[kind] = {word: pages for word, pages in index[kind].items() if pages != []}
    text = json.dumps(index, separators=(",", ":"), sort_keys=True)
    path.write_text(f"{head}({text})", encoding="utf-8")
