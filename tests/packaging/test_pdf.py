"""The book as one document: every page in reading order, with a bookmark each."""

import pdf
import pytest
from pypdf import PdfReader

from training_moat.press import notebooks

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def two_pages(monkeypatch):
    monkeypatch.setattr(notebooks, "toc_pages", lambda: ["beta", "alpha"])


def test_pages_follow_the_table_of_contents(browser, tmp_path):
    for name in ("alpha", "beta"):
        page = f"<!doctype html><title>{name} — The Training Moat</title><p>This is the {name}.</p>"
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    assert pdf.bind(browser, pdf.pages_of(tmp_path), tmp_path / "out" / "book.pdf") == 2
    book = PdfReader(tmp_path / "out" / "book.pdf")
    assert [entry.title for entry in book.outline] == ["beta", "alpha"]
    assert (
        "the beta" in book.pages[0].extract_text() and "the alpha" in book.pages[1].extract_text()
    )


def test_a_missing_page_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match=r"beta.html; `make book` builds the site"):
        pdf.pages_of(tmp_path)
