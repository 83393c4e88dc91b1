"""`moat refresh` stores outputs beside the source that made them, never over a newer one."""

from __future__ import annotations

import nbformat
import pytest

from training_moat.press import notebooks, refreshing
from training_moat.press.failures import WorkFailed


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """A chapter of one cell, which "runs" in an instant; returns its file."""
    file = tmp_path / "memory.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), file)
    monkeypatch.setattr(notebooks, "chapter_names", lambda: ["memory"])
    monkeypatch.setattr(notebooks, "chapter_file", lambda name: file)
    return file


def _run(monkeypatch, during=lambda: None):
    def execute_all(jobs):
        for job in jobs:
            ran = nbformat.read(notebooks.chapter_file(job.chapter), 4)
            ran.cells[0].outputs = [nbformat.v4.new_output("stream", text="2\n")]
            nbformat.write(ran, job.target)
        during()
        return []

    monkeypatch.setattr(refreshing, "execute_all", execute_all)


def test_outputs_are_stored(chapter, monkeypatch):
    _run(monkeypatch)
    assert refreshing.refresh() == ["memory: 1 of 1 outputs changed (cell 1)"]
    assert nbformat.read(chapter, 4).cells[0].outputs[0].text == "2\n"


def test_a_chapter_edited_while_it_runs_keeps_the_edit(chapter, monkeypatch):
    edited = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("2 + 2")])
    _run(monkeypatch, lambda: nbformat.write(edited, chapter))
    with pytest.raises(WorkFailed, match="'memory' changed while it was executed"):
        refreshing.refresh()
    assert nbformat.read(chapter, 4).cells[0].source == "2 + 2"


def test_outputs_of_nobody_knows_which_edition_are_told(chapter, monkeypatch, tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("1")
    monkeypatch.setattr(refreshing.caching, "run_files", lambda: [chapter, table])
    _run(monkeypatch)
    assert len(refreshing.refresh()) == 1, "the chapter's own file is written"
    _run(monkeypatch, lambda: table.write_text("2"))
    with pytest.raises(WorkFailed, match="written while the chapters ran"):
        refreshing.refresh()
