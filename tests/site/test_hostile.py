"""Names are text: a scenario whose names are made of tags, scripts and formulas runs nothing in the page of a run.

The same names stand in the private site of `tests/faults/test_builds.py`.
"""

import csv
import io
import json
import re
from urllib.parse import unquote

import hostile
import pytest
from browsing import served
from calling import moat

pytestmark = pytest.mark.slow
SCENARIO = {
    "title": hostile.TITLE,
    "description": hostile.DESCRIPTION,
    "chips": hostile.CHIPS,
    "parameters": {"bars": {"chips": list(hostile.CHIPS), "note": hostile.NAMES["tag"]}},
}


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


def test_the_page_of_one_chapter_runs_nothing(browser, page):
    with served(page.parent) as address:
        words = hostile.check(browser, address, page.name)
    for name in ("tag", "script", "picture", "formula"):
        assert hostile.NAMES[name] in words, "the name is shown as it is"


def test_no_cell_of_a_download_is_a_formula(page):
    addresses = re.findall(
        r'href="data:text/csv;charset=utf-8,([^"]*)"', page.read_text(encoding="utf-8")
    )
    cells = [
        cell for text in addresses for row in csv.reader(io.StringIO(unquote(text))) for cell in row
    ]
    assert "'" + hostile.NAMES["formula"] in cells and "'" + hostile.NAMES["at"] in cells
    assert [cell for cell in cells if cell.startswith(("=", "@", "+"))] == []
