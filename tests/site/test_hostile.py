"""Names are text: a scenario whose names are made of tags, scripts and formulas runs nothing in its pages."""

import csv
import io
import json
import re
from urllib.parse import unquote

import pytest
from browsing import Visit, served
from calling import moat

pytestmark = pytest.mark.slow
NAMES = {
    "tag": "<img src=x onerror=window.hit=1>",
    "script": "</script><script>window.hit=2</script>",
    "hidden": "<!--<script>window.hit=3",
    "quote": "\"'><svg onload=window.hit=4>",
    "escaped": "\\<img src=x onerror=window.hit=5> \\\\<img src=x onerror=window.hit=6>",
    "picture": "![x](http://evil.example/x.png)",
    "link": "[x](javascript:window.hit=7)",
    "formula": '=HYPERLINK("http://evil.example")',
    "at": "@SUM(1)",
}
SCENARIO = {
    "title": NAMES["script"] + NAMES["tag"],
    "description": NAMES["quote"],
    "chips": {
        key: {"base": "h100-sxm", "name": name, "vendor": name} for key, name in NAMES.items()
    },
    "parameters": {"bars": {"chips": list(NAMES), "note": NAMES["tag"]}},
}
# What a page must not hold, whoever wrote it: something with a handler, a picture of another host.
ELEMENTS = """() => ({
    hit: window.hit || null,
    handlers: [...document.querySelectorAll('*')].filter(e => e.hasAttribute('onerror') || e.hasAttribute('onload')).length,
    pictures: [...document.querySelectorAll('img')].filter(e => /evil|^x$/.test(e.getAttribute('src') || '')).length,
    scripts: [...document.querySelectorAll('script')].filter(e => e.textContent.startsWith('window.hit')).length,
    words: document.body.innerText,
})"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "mine.yaml"
    path.write_text(json.dumps(SCENARIO))
    return path


@pytest.fixture(scope="module")
def page(small_book, scenario):
    """The page of `moat run`."""
    done = moat(
        "run", "bars", "--scenario", scenario, "--out", "mine", root=small_book, cwd=scenario.parent
    )
    assert done.returncode == 0, done.stderr
    return scenario.parent / "mine" / "bars.html"


@pytest.fixture(scope="module")
def built(small_book, scenario):
    """The site of `moat build`."""
    done = moat(
        "build", "--scenario", scenario, "--out", "site", root=small_book, cwd=scenario.parent
    )
    assert done.returncode == 0, done.stderr
    return scenario.parent / "site"


def check(browser, address, name):
    with Visit(browser, address, name, 1280) as visit:
        dialogs = []
        visit.tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        assert visit.charts("light") or "bars" not in name
        found = visit.tab.evaluate(ELEMENTS)
        assert visit.troubles == [] and dialogs == []
    words = found.pop("words")
    assert found == {"hit": None, "handlers": 0, "pictures": 0, "scripts": 0}
    return words


def test_the_page_of_one_chapter_runs_nothing(browser, page):
    with served(page.parent) as address:
        words = check(browser, address, page.name)
    for name in ("tag", "script", "picture", "formula"):
        assert NAMES[name] in words, "the name is shown as it is"


@pytest.mark.parametrize("name", ["bars", "verdict"])
def test_a_page_of_the_site_runs_nothing(name, browser, built):
    with served(built) as address:
        words = check(browser, address, f"chapters/{name}.html")
    assert SCENARIO["title"] in words, "the banner shows the title as text"


def test_no_cell_of_a_download_is_a_formula(page):
    addresses = re.findall(
        r'href="data:text/csv;charset=utf-8,([^"]*)"', page.read_text(encoding="utf-8")
    )
    cells = [
        cell for text in addresses for row in csv.reader(io.StringIO(unquote(text))) for cell in row
    ]
    assert "'" + NAMES["formula"] in cells and "'" + NAMES["at"] in cells
    assert [cell for cell in cells if cell.startswith(("=", "@", "+"))] == []
