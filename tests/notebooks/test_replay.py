"""nbval compares with the outputs that the book's build has just made as it does with a kernel's."""

from queue import Empty

import nbformat
import pytest
import replay
from nbval.plugin import IPyNbFile, NbCellError

from training_moat.press import caching
from training_moat.press.folders import CHAPTERS

CHAPTER = "two_chips"


@pytest.fixture
def stored():
    return nbformat.read(CHAPTERS / f"{CHAPTER}.ipynb", as_version=4)


@pytest.fixture
def said(request, tmp_path):
    """A function: what nbval says of each code cell of a notebook, the kernel playing back another."""

    def compare(notebook, executed):
        path = tmp_path / "compared.ipynb"
        nbformat.write(notebook, path)
        file = IPyNbFile.from_parent(request.session, path=path)
        found = []
        items = list(file.collect())
        file.kernel = replay.Played(executed)
        for item in items:
            try:
                item.runtest()
                found.append("")
            except (NbCellError, RuntimeError) as error:
                found.append(str(error))
        return found

    return compare


def shown(notebook):
    """Numbers of the code cells that show something."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return cells, [number for number, cell in enumerate(cells) if cell.outputs]


def test_equal_outputs_pass(said, stored):
    assert set(said(stored, stored)) == {""}


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: outputs[0].data.update({"text/plain": "another"}),
        lambda outputs: outputs.append(
            nbformat.v4.new_output("stream", name="stdout", text="more")
        ),
        lambda outputs: outputs.clear(),
    ],
    ids=["another text", "one more", "none"],
)
def test_an_output_that_differs_is_said_of_its_cell_alone(change, said, stored):
    executed = nbformat.from_dict(stored)
    cells, numbers = shown(executed)
    change(cells[numbers[-1]].outputs)
    found = said(nbformat.read(CHAPTERS / f"{CHAPTER}.ipynb", as_version=4), executed)
    assert [number for number, text in enumerate(found) if text] == [numbers[-1]]
    assert "Cell outputs differ" in found[numbers[-1]]


def test_an_error_is_said(said, stored):
    executed = nbformat.from_dict(stored)
    cells, numbers = shown(executed)
    error = nbformat.v4.new_output("error", ename="E", evalue="no", traceback=["no"])
    cells[numbers[0]].outputs = [error]
    found = said(nbformat.read(CHAPTERS / f"{CHAPTER}.ipynb", as_version=4), executed)
    assert "Cell execution caused an exception" in found[numbers[0]]


def test_another_source_has_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "chapter_key", lambda *_: "of another source")
    assert replay.played(CHAPTER, tmp_path) is None


def test_a_cell_that_was_not_run_stops_it(stored):
    kernel = replay.Played(stored)
    with pytest.raises(RuntimeError, match="no such cell"):
        kernel.execute_cell_input("never seen")
    with pytest.raises(Empty):
        kernel.get_message("iopub")
