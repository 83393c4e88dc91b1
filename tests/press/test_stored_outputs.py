"""What the chapters store is the same on every machine: no number keeps digits in which processors differ."""

import csv
import html
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from training_moat.press import notebooks
from training_moat.press.folders import CHAPTERS

MOST_DIGITS = 9
CHART = re.compile(r'<script type="application/json"[^>]*>(.*?)</script>', re.S)
DOWNLOAD = re.compile(r'href="data:text/csv;charset=utf-8,([^"]*)"')
NUMBER = re.compile(
    r"(?<![\w.\-/#])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w\-/])"
)


def digits(number: str) -> int:
    """Significant digits of a number as written."""
    mantissa = re.sub(r"[eE].*", "", number).replace(",", "")
    plain = mantissa.replace(".", "").lstrip("0")
    return len(plain if "." in mantissa else plain.rstrip("0"))


def long_numbers(text: str) -> list[str]:
    """Numbers of a text with more digits than are kept; the identifiers in web addresses are none."""
    bare = re.sub(r"https?://\S+|doi:\S+|arXiv:\S+", " ", text)
    return [number for number in NUMBER.findall(bare) if digits(number) > MOST_DIGITS]


def texts(output: nbformat.NotebookNode):
    """Every text of an output that holds numbers: words, charts, downloads."""
    data = output.get("data", {})
    yield output.get("text", "")
    yield data.get("text/plain", "")
    yield data.get("text/markdown", "")
    page = data.get("text/html", "")
    for chart in CHART.findall(page):
        yield json.dumps(json.loads(chart))
    for address in DOWNLOAD.findall(page):
        yield "  ".join(cell for row in csv.reader(io.StringIO(unquote(address))) for cell in row)
    yield html.unescape(re.sub(r"<[^>]*>", " ", CHART.sub(" ", page)))


@pytest.mark.parametrize("path", sorted(CHAPTERS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_stored_number_has_more_digits_than_machines_agree_on(path: Path):
    found = [
        (number, cell)
        for cell, content in enumerate(notebooks.read(path).cells, 1)
        for output in content.get("outputs", [])
        for text in texts(output)
        for number in long_numbers(text)
    ]
    assert found == []


def test_the_search_finds_what_it_is_for():
    assert long_numbers("abs(datum['x'] - 0.12345678901) > 1") == ["0.12345678901"]
    assert long_numbers("1,234,567,890,123 and 1.2345678901e-7") == [
        "1,234,567,890,123",
        "1.2345678901e-7",
    ]
    assert long_numbers("6,700,000,000,000; 2026-11-23; https://x.org/1234567890123; 0.00012") == []
