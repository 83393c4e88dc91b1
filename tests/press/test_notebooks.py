"""What is read from a notebook and what of it is stored."""

import copy

import nbformat
import pytest

from training_moat.catalog import parameters
from training_moat.core.errors import InputError
from training_moat.press import notebooks, pages, scenarios, site
from training_moat.press.failures import WorkFailed


def made(parameters='a = 1\nb = ["x"]\nc = None', outputs=()):
    cell = nbformat.v4.new_code_cell(
        parameters, metadata={"tags": ["parameters"], "papermill": {"duration": 1.2}}
    )
    result = nbformat.v4.new_code_cell("1 + 1", execution_count=7, outputs=list(outputs))
    return nbformat.v4.new_notebook(cells=[cell, result], metadata={"papermill": {"start": "now"}})


def shown(text, picture):
    return nbformat.v4.new_output(
        "execute_result", {"text/plain": text, "image/png": picture}, execution_count=7
    )


def test_defaults_are_the_literals_of_the_tagged_cell():
    assert notebooks.defaults(made(), "c") == {"a": 1, "b": ["x"], "c": None}
    with pytest.raises(WorkFailed, match="plain literals"):
        notebooks.defaults(made("import os"), "c")
    with pytest.raises(WorkFailed, match="found 0"):
        notebooks.defaults(nbformat.v4.new_notebook(), "c")


def test_a_new_chapter_without_its_entries_is_told_which(tmp_path, monkeypatch):
    """Who copies a chapter had been told that it is unknown, and got other chapters' names."""
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "mine.ipynb").write_text("{}")
    parameters.chapters()  # read from the book itself
    monkeypatch.setattr(notebooks, "CHAPTERS", tmp_path / "chapters")
    monkeypatch.setattr(parameters.paths, "root", lambda: tmp_path)
    with pytest.raises(InputError, match=r"^chapter 'mine' has no entry in _toc.yml; add '- file"):
        notebooks.chapter_file("mine")
    with pytest.raises(InputError, match=r"^chapter 'mine' has no entry in chapters/parameters"):
        parameters.schema("mine")
    with pytest.raises(InputError, match=r"unknown chapter 'yours'; expected one of"):
        parameters.schema("yours")


def test_nothing_of_a_run_but_its_outputs_is_stored():
    injected = nbformat.v4.new_code_cell(
        "# Parameters\na = 2", metadata={"tags": ["injected-parameters"]}
    )
    notebook = made(outputs=[shown("2", "AAAA")])
    notebook.cells.insert(1, injected)
    stored = notebooks.normalised(notebook)
    assert "papermill" not in str(stored) and len(stored.cells) == 2
    assert [cell.execution_count for cell in stored.cells] == [1, 2] and stored.cells[1].outputs[
        0
    ].execution_count == 2
    assert [cell.id for cell in stored.cells] == ["cell-00", "cell-01"]
    nbformat.validate(stored)


@pytest.mark.parametrize("where", [0, 1])
def test_a_stored_run_takes_the_words_that_its_notebook_has_now(where):
    """where: the injected parameters stand at the top of a notebook without any, else behind its own."""
    prose = [nbformat.v4.new_markdown_cell(text) for text in ("# A", "old", "gone")]
    source = made()
    source.cells = [prose[0], source.cells[0], prose[1], prose[2], source.cells[1]]
    executed = copy.deepcopy(source)
    executed.cells[4].outputs = [shown("2", "AAAA")]
    injected = nbformat.v4.new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]})
    executed.cells.insert(2 * where, injected)
    source.cells[2].source = "new"
    source.cells[3:] = [source.cells[4], nbformat.v4.new_markdown_cell("more")]
    found = notebooks.with_prose(notebooks.published(executed), source)
    said = ["# A", source.cells[1].source, "new", "1 + 1", "more"]
    said.insert(2 * where, "a = 2")
    assert [cell.source for cell in found.cells] == said
    assert found.cells[-2].outputs == [shown("2", "AAAA")]
    assert found.cells[2 * where].id == f"injected-0{2 * where}"
    nbformat.validate(found)


def test_a_picture_keeps_its_bytes_while_the_text_is_the_same():
    before = notebooks.normalised(made(outputs=[shown("2", "AAAA")]))
    same = notebooks.normalised(made(outputs=[shown("2", "BBBB")]), before)
    other = notebooks.normalised(made(outputs=[shown("3", "BBBB")]), before)
    assert same.cells[1].outputs[0].data["image/png"] == "AAAA"
    assert other.cells[1].outputs[0].data["image/png"] == "BBBB"


def test_numbers_that_a_run_records_are_stored_anew_while_its_text_is_the_same():
    """A number that a sentence no longer recorded had stayed beside its unchanged words."""
    old, new = shown("2", "AAAA"), shown("2", "BBBB")
    old.metadata["moat"], new.metadata["moat"] = {"step_s": 2.0}, {}
    before = notebooks.normalised(made(outputs=[old]))
    (stored,) = notebooks.normalised(made(outputs=[new]), before).cells[1].outputs
    assert stored.metadata["moat"] == {} and stored.data["image/png"] == "AAAA"


def test_the_page_folds_code_and_marks_the_first_sentences_up_to_prose_as_the_answer():
    cells = [
        nbformat.v4.new_code_cell("import x"),
        nbformat.v4.new_code_cell('parameters.check("c")'),
    ]
    for number in range(3):
        if number == 2:
            cells.append(nbformat.v4.new_markdown_cell("Prose."))
        sentence = nbformat.v4.new_output(
            "execute_result", {"text/markdown": "So.", "text/plain": "So."}
        )
        cells.append(nbformat.v4.new_code_cell(f"say({number})", outputs=[sentence]))
    page = pages.page_copy(nbformat.v4.new_notebook(cells=cells))
    assert [cell.metadata.get("tags") for cell in page.cells] == [
        ["remove-cell"],
        ["remove-cell"],
        ["hide-input", "answer"],
        ["hide-input", "answer"],
        None,
        ["hide-input"],
    ]


def test_pairs_are_names_and_values():
    assert scenarios.pairs(["a=1", "b = x=y "]) == {"a": "1", "b": "x=y"}
    for bad in ("a", "=1", ""):
        with pytest.raises(InputError, match="expected name=value"):
            scenarios.pairs([bad])


def test_a_page_that_loads_from_another_host_is_found(tmp_path):
    good = '<a href="https://example.org">x</a><script src="../a.js"></script><link rel="canonical" href="https://x">'
    (tmp_path / "good.html").write_text(good)
    assert site.other_hosts(tmp_path) == []
    for number, bad in enumerate(
        [
            '<script async src="https://c.dn/x.js">',
            '<link rel="stylesheet" href="//c.dn/x.css">',
            "<img src='http://c.dn/x.png'>",
        ]
    ):
        (tmp_path / f"bad{number}.html").write_text(bad)
    assert len(site.other_hosts(tmp_path)) == 3


def test_a_run_leaves_no_path_clock_or_version_in_what_is_published():
    notebook = made(outputs=[shown("2", "AAAA")])
    notebook.cells.insert(
        1, nbformat.v4.new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]})
    )
    notebook.metadata["papermill"] = {"input_path": "/home/somebody/chapters/c.ipynb"}
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.2"}
    notebook.cells[2].metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00"}
    published = notebooks.published(notebook)
    text = nbformat.writes(published)
    assert not any(word in text for word in ("somebody", "papermill", "3.11.2", "2026", "iopub"))
    assert published.cells[1].id == "injected-01"


def test_computed_words_are_inert_on_a_page_whoever_wrote_them():
    data = {"text/markdown": "a <img src=x> ![x](http://evil.example/x.png)", "text/plain": "a"}
    cell = nbformat.v4.new_code_cell(
        "say()", outputs=[nbformat.v4.new_output("display_data", data)]
    )
    page = pages.page_copy(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import x"), cell])
    )
    assert (
        page.cells[1].outputs[0].data["text/markdown"]
        == "a \\<img src=x> !\\[x](http://evil.example/x.png)"
    )


def test_a_scenario_of_the_environment_is_part_of_the_request(tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\nchips: {mine: {base: h100-sxm, hbm_gb: 5}}")
    plain = scenarios.request(["memory"], [], None)
    monkeypatch.setenv("MOAT_SCENARIO", str(path))
    wanted = scenarios.request(["memory"], [], None)
    assert wanted.title == "Mine" and wanted.changed == {"chips": ["mine"]}
    assert plain.title == "" and wanted.rows != plain.rows, (
        "it does not share a cache with the book"
    )
    copy, key = scenarios.frozen(wanted, tmp_path / "work"), wanted.rows
    path.write_text("title: Edited")
    assert copy.title == "Mine" and copy.rows == key


def test_a_bad_parameter_of_a_scenario_says_where_in_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("parameters:\n  memory:\n    seq_len: long\n")
    with pytest.raises(InputError, match=r"mine.yaml: chapter 'memory'.*\(line 3, column 5\)$"):
        scenarios.request(["memory"], [], str(path))
    assert scenarios.request(["memory"], ["seq_len=4096"], str(path)), (
        "the command line replaces it"
    )
    with pytest.raises(InputError, match="mine.yaml"):
        scenarios.request(["networking"], [], str(path))


@pytest.mark.parametrize(
    ("toc", "said"),
    [
        (
            "root: a\nparts:\n  - chapters:\n      - file: b\n  - file: c\n        title: C\n",
            r"_toc.yml, line 6",
        ),
        ("parts: []\n", "expected a root"),
        ("root: a\nparts: [b]\n", "expected a root"),
    ],
)
def test_a_slip_in_the_table_of_contents_is_one_sentence(tmp_path, monkeypatch, toc, said):
    (tmp_path / "_toc.yml").write_text(toc, encoding="utf-8")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    with pytest.raises(InputError, match=said) as error:
        notebooks.toc_pages()
    assert "\n" not in str(error.value)
