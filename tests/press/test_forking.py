"""Notebooks in forks: the outputs of a kernel, errors with their cell, and no trace of one run in the next."""

import subprocess
import sys

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from training_moat.press import forking

pytestmark = pytest.mark.skipif(not forking.possible(), reason="this system cannot fork")

CELLS = [
    "x = 1",
    "print('a'); print('b'); import sys; print('c', file=sys.stderr); x",
    "from IPython.display import display, Markdown\ndisplay(Markdown('*m*')); x + 1",
    "",
    "%precision 3\n1 / 3",
    "x = 5; _ + 1",
    "class P:\n    def _repr_png_(self): return b'\\x89PNG'\n    def __repr__(self): return 'p'\nP()",
    "import pandas as pd\npd.DataFrame({'a': [1]})",
]


def executed(cells, folder, engine, **parameters):
    source, target = folder / "in.ipynb", folder / f"out-{engine}.ipynb"
    written = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    written.cells[0].metadata["tags"] = ["parameters"]
    written.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    nbformat.write(written, source)
    papermill.execute_notebook(
        str(source), str(target), parameters=parameters, engine_name=engine, progress_bar=False,
        kernel_name="python3", cwd=str(folder),
    )  # fmt: skip
    return nbformat.read(target, 4)


def outputs(notebook):
    return [
        (cell.execution_count, [dict(output) for output in cell.outputs])
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.slow
def test_outputs_are_those_of_a_kernel(tmp_path):
    ours = executed(CELLS, tmp_path, forking.NAME, x=7)
    assert outputs(ours) == outputs(executed(CELLS, tmp_path, "nbclient", x=7))
    assert len([out for cell in ours.cells for out in cell.outputs]) >= 9


@pytest.mark.parametrize("modules", ["training_moat.press.forking, papermill.engines",
                                     "papermill.engines, training_moat.press.forking",
                                     "training_moat.press.running, papermill.engines"])  # fmt: skip
def test_papermill_finds_the_engine_in_whatever_order_is_imported(modules):
    asked = f"import {modules}; papermill.engines.papermill_engines.get_engine({forking.NAME!r})"
    subprocess.run([sys.executable, "-c", asked], check=True, timeout=120)


def test_a_run_leaves_nothing_behind(tmp_path):
    first = "import training_moat, builtins, os\nbuiltins.left = 1; os.environ['LEFT'] = '1'"
    executed([first], tmp_path, forking.NAME)
    cell = "import builtins, os\nhasattr(builtins, 'left'), 'LEFT' in os.environ"
    found = executed([cell], tmp_path, forking.NAME)
    assert found.cells[-1].outputs[0].data["text/plain"] == "(False, False)"


def test_a_failing_cell_is_named_and_later_ones_do_not_run(tmp_path):
    with pytest.raises(PapermillExecutionError) as caught:
        executed(["x = 1", "1 / 0", "x"], tmp_path, forking.NAME)
    assert (caught.value.ename, caught.value.evalue) == ("ZeroDivisionError", "division by zero")
    found = nbformat.read(tmp_path / f"out-{forking.NAME}.ipynb", 4)
    assert found.cells[-1].outputs == []


def test_a_process_that_dies_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="process died"):
        executed(["import os; os._exit(3)"], tmp_path, forking.NAME)
