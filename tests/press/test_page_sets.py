"""Further pages of a chapter: listed in one file, checked before anything runs, laid out as the book's pages are."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from training_moat.core.errors import InputError
from training_moat.press import page_sets


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Write the list of pages and read it."""

    def read(text):
        (tmp_path / "pages.yml").write_text(text, encoding="utf-8")
        return page_sets.further_pages()

    monkeypatch.setattr(page_sets, "FILE", tmp_path / "pages.yml")
    return read


def test_a_page_is_called_after_its_first_parameter(listed):
    (page,) = listed("challenger:\n  groq: {chip: groq-lpu-v1, chips: [groq-lpu-v1]}\n")
    assert page.name == "challenger-groq" and page.parameters["chips"] == ["groq-lpu-v1"]
    assert "LPU" in page.subject


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chalenger: {}", "did you mean 'challenger'? (line 1, column 1)"),
        ("challenger:\n  a: {chipp: sn40l}", "did you mean 'chip'? (line 2, column 3)"),
        ("challenger:\n  ../a: {chip: sn40l}", "expected a page name of small letters"),
        ("challenger: {a: 3}", "expected a mapping from parameters"),
        ("challenger: [a]", "expected a mapping from page"),
        ("challenger: {a: {chip: sn4Ol}}", "did you mean 'sn40l'?"),
    ],
)
def test_a_bad_list_is_one_sentence_with_its_place(listed, text, words):
    with pytest.raises(InputError) as caught:
        listed(text)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_page_shows_its_run_and_nothing_of_a_name_is_markup(listed, tmp_path):
    (page,) = listed("challenger: {groq: {chip: groq-lpu-v1}}")
    said = new_output("display_data", data={"text/markdown": "a < b"})
    cells = [new_markdown_cell("# One\n\nwords"), new_code_cell("import x")]
    cells.append(new_code_cell("x < 1", outputs=[said]))
    nbformat.write(new_notebook(cells=cells), tmp_path / "run.ipynb")
    title, body = page_sets.title_and_body(page, tmp_path / "run.ipynb")
    assert page.subject in title and body.count("<h1>") == 1 and "One" not in body
    # As in a chapter: the answer set apart, the code folded below what it shows, imports left out.
    answer = body.index('<div class="cell tag_answer">')
    assert answer < body.index("a &lt; b") < body.index("x &lt; 1") and "import x" not in body
    assert body.count("<details class=moat-code>") == 1
    assert "<p>words</p>" in body and "a &lt; b" in body and 'href="challenger.html"' in body


def test_without_a_run_the_page_says_how_to_have_one(listed):
    (page,) = listed("challenger: {groq: {chip: groq-lpu-v1, chips: [groq-lpu-v1, sn40l]}}")
    _, body = page_sets.title_and_body(page, None)
    assert "moat run challenger -p chip=groq-lpu-v1 -p chips=groq-lpu-v1,sn40l" in body
