"""Real runs of a small book: one chapter, plain papermill, failures, the cache, and a site that survives them."""

import json
import re

import nbformat
import pytest
from calling import moat, python
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from small_book import change

pytestmark = pytest.mark.slow


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_one_chapter_with_other_parameters_gives_a_notebook_and_a_page(small_book, tmp_path):
    done = moat(
        "run",
        "bars",
        "-p",
        "chips=sn40l",
        "-p",
        "seq_len=12",
        "--out",
        "mine",
        root=small_book,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["mine/bars.ipynb", "mine/bars.html"]
    assert "seq_len is 12 and chips is ['sn40l']" in printed(tmp_path / "mine" / "bars.ipynb")
    page = (tmp_path / "mine" / "bars.html").read_text(encoding="utf-8")
    assert 'role="img"' in page and "run with chips = sn40l; seq_len = 12" in page
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="https?:', page)


def test_a_scenario_brings_a_chip_of_its_own(small_book, tmp_path):
    scenario = {
        "title": "mine",
        "chips": {"my-chip": {"base": "h100-sxm", "hbm_gb": 777}},
        "parameters": {"bars": {"chips": ["my-chip"]}},
    }
    (tmp_path / "mine.yaml").write_text(json.dumps(scenario))
    done = moat("run", "bars", "--scenario", "mine.yaml", root=small_book, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"hbm": 777' in (tmp_path / "bars.html").read_text(encoding="utf-8")


def test_a_failing_cell_is_named_and_leaves_no_file(small_book, tmp_path):
    path = small_book / "chapters" / "bars.ipynb"
    before = change(
        path, "catalog = tables.load", "assert 1 == 2; catalog = tables.load".replace('"', '\\"')
    )
    try:
        done = moat("run", "bars", root=small_book, cwd=tmp_path)
    finally:
        path.write_text(before, encoding="utf-8")
    assert done.returncode == 1
    assert "chapter 'bars', cell 5: AssertionError: assert 1 == 2" in done.stderr
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []


def test_plain_papermill_converts_what_its_command_line_gives_as_text(small_book, tmp_path):
    made = tmp_path / "out.ipynb"
    call = ["bars.ipynb", made, "--no-progress-bar", "-p", "chips", "sn40l"]
    done = python("-m", "papermill", *call, cwd=small_book / "chapters")
    assert done.returncode == 0, done.stderr
    assert "chips is ['sn40l']" in printed(made)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("chipz", "sn40l", "unknown parameter 'chipz'; did you mean 'chips'?"),
        ("seq_len", 4.5, "expected a whole number (tokens), got 4.5."),
    ],
)
def test_plain_papermill_fails_with_the_same_sentence(name, value, expected, small_book, tmp_path):
    folder = small_book / "chapters"
    with pytest.raises(PapermillExecutionError) as caught:
        execute_notebook(
            str(folder / "bars.ipynb"), str(tmp_path / "out.ipynb"), parameters={name: value},
            cwd=str(folder), progress_bar=False,
        )  # fmt: skip
    assert caught.value.ename == "InputError"
    assert caught.value.evalue.startswith("chapter 'bars'") and expected in caught.value.evalue


def test_refresh_stores_what_a_second_refresh_finds_unchanged(small_book):
    first = moat("refresh", "bars", root=small_book)
    assert first.returncode == 0 and "outputs changed" in first.stdout, first.stderr
    stored = (small_book / "chapters" / "bars.ipynb").read_bytes()
    second = moat("refresh", "bars", root=small_book)
    assert second.stdout == "bars: unchanged\n", second.stdout
    assert (small_book / "chapters" / "bars.ipynb").read_bytes() == stored
