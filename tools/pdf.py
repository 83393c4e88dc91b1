"""`make pdf`: the built site as one document, a chapter after the other, with bookmarks.

    python tools/pdf.py [SITE] [FILE]      (default: _build/html, _build/training-moat.pdf)

Chromium prints each page as a reader would, without a network: figures as pictures, tables whole.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import chromium
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter

from training_moat.press import notebooks

ROOT = Path(__file__).resolve().parents[1]
MARGIN = dict.fromkeys(("top", "bottom", "left", "right"), "16mm")


def printed(browser: Browser, page: Path) -> tuple[str, bytes]:
    """(title, PDF) of one page of the site."""
    with browser.new_page() as tab:
        tab.goto(page.as_uri(), wait_until="load")
        title = tab.title().removesuffix(" — The Training Moat")
        return title, tab.pdf(format="A4", margin=MARGIN, print_background=True)


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser without a window. Raises SystemExit with one sentence where none is installed."""
    path = chromium.path()
    if path is None:
        raise SystemExit(f"pdf: none of {', '.join(chromium.BROWSERS)} is installed")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield browser
        browser.close()


def pages_of(site: Path) -> list[Path]:
    """The pages of a built site in reading order. Raises SystemExit where one is missing."""
    pages = [site / f"{page}.html" for page in notebooks.toc_pages()]
    if missing := [page for page in pages if not page.is_file()]:
        raise SystemExit(f"pdf: there is no {missing[0]}; `make book` builds the site")
    return pages


def bind(browser: Browser, pages: Sequence[Path], target: Path) -> int:
    """Print pages one after the other into one file, a bookmark each; returns how many sheets it has."""
    book = PdfWriter()
    for page in pages:
        title, content = printed(browser, page)
        first = len(book.pages)
        book.append(PdfReader(io.BytesIO(content)), import_outline=False)
        book.add_outline_item(title=title, page_number=first)
    book.add_metadata({"/Title": "The Training Moat"})
    book.compress_identical_objects()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        book.write(file)
    return len(book.pages)


def main() -> None:
    """Bind the site and say where."""
    given = [Path(word) for word in sys.argv[1:3]]
    defaults = [ROOT / "_build" / "html", ROOT / "_build" / "training-moat.pdf"]
    site, target = (*given, *defaults[len(given) :])
    pages = pages_of(site.resolve())
    with opened() as browser:
        print(f"{target}: {bind(browser, pages, target)} sheets")


if __name__ == "__main__":
    main()
