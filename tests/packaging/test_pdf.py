"""The book as one document: every page in reading order, with a bookmark each."""

import importlib.util
from pathlib import Path

import pytest
from pypdf import PdfReader

from training_moat.press import notebooks

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pdf(monkeypatch):
    spec = importlib.util.spec_from_file_location("pdf", ROOT / "tools" / "pdf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(notebooks, "toc_pages", lambda: ["beta", "alpha"])
    return module


def test_pages_follow_the_table_of_contents(browser, pdf, tmp_path):
    for name in ("alpha", "beta"):
        page = f"<!doctype html><title>{name} — The Training Moat</title><p>This is the {name}.</p>"
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    assert pdf.bind(browser, pdf.pages_of(tmp_path), tmp_path / "out" / "book.pdf") == 2
    book = PdfReader(tmp_path / "out" / "book.pdf")
    assert [entry.title for entry in book.outline] == ["beta", "alpha"]
    assert (
        "the beta" in book.pages[0].extract_text() and "the alpha" in book.pages[1].extract_text()
    )


def test_a_missing_page_is_one_sentence(pdf, tmp_path):
    with pytest.raises(SystemExit, match=r"beta.html; `make book` builds the site"):
        pdf.pages_of(tmp_path)
