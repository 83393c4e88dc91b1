"""Notebooks in forks: the outputs of a kernel, errors with their cell, and no trace of one run in the next."""

import os
import signal

import nbformat
import papermill
import pytest
from calling import python
from nbformat.v4 import new_code_cell, new_notebook
from papermill.exceptions import PapermillExecutionError

from training_moat.press import caching, forking, running

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


def answer(script, **settings):
    """What code prints in a process of its own."""
    done = python("-c", script, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_figures_are_counted_anew_in_every_run(tmp_path):
    """Whatever the process has published that a run is a fork of."""
    from training_moat.figures import publishing

    publishing.number_of("Figure", "one of this process")
    cells = [
        "",
        "from training_moat.figures import publishing; publishing.number_of('Figure', 'x')",
    ]
    made = executed(cells, tmp_path, forking.NAME)
    assert made.cells[-1].outputs[0]["data"]["text/plain"] == "1"


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


ORDERS = (
    "training_moat.press.forking, papermill.engines",
    "papermill.engines, training_moat.press.forking",
    "training_moat.press.running, papermill.engines",
)


def test_papermill_finds_the_engine_in_whatever_order_is_imported():
    """Each order in a fork of one process, which holds what both of them import."""
    script = (
        "import os, sys\n"
        "assert not [name for name in sys.modules if name.startswith(('papermill', 'training_moat'))]\n"
        f"for modules in {ORDERS}:\n"
        "    if (child := os.fork()) == 0:\n"
        "        exec(f'import {modules}')\n"
        f"        papermill.engines.papermill_engines.get_engine({forking.NAME!r})\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0, modules\n"
    )
    answer(script)


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


SPEC = {
    "mark": "bar",
    "data": {"name": "d"},
    "datasets": {"d": [{"x": 1, "y": 2}]},
    "encoding": {
        "x": {"field": "x", "type": "ordinal"},
        "y": {"field": "y", "type": "quantitative"},
    },
}
DRAW = (
    "from training_moat.figures import offline\nimport hashlib\n"
    f"made = offline.ordered_png({SPEC})\n"
    "made = made if isinstance(made, bytes) else made.picture()\n"
    "print(hashlib.sha256(made).hexdigest())"
)
DIE_WITH_HALF_AN_ORDER = (
    "from training_moat.press import forking\nimport os, struct\n"
    "os.write(forking._painter.line.fileno(), struct.pack('!i', 1000) + b'half an order')\n"
    "os._exit(3)"
)


@pytest.fixture(scope="module")
def drawn_alone():
    """The digest of a picture, drawn by a process that has no other draw for it."""
    return answer(DRAW)


def drawn(folder):
    return executed([DRAW], folder, forking.NAME).cells[-1].outputs[0].text


def test_one_process_draws_the_same_pictures_for_all_runs(tmp_path, drawn_alone):
    forking.rest()
    assert [drawn(tmp_path), drawn(tmp_path)] == [drawn_alone] * 2
    painter = forking._painter
    with pytest.raises(RuntimeError, match="process died"):
        executed([DIE_WITH_HALF_AN_ORDER], tmp_path, forking.NAME)
    assert painter.process.poll() is not None
    assert drawn(tmp_path) == drawn_alone
    forking.rest()


def test_a_run_draws_itself_where_the_drawing_process_is_gone(drawn_alone):
    script = (
        "from training_moat.press import forking\nimport os\nforking.preload()\n"
        "from nbformat.v4 import new_code_cell, new_notebook\n"
        f"os.kill(forking._painter.process.pid, {signal.SIGKILL})\n"
        f"cell = new_code_cell({DRAW!r})\n"
        "print(forking.execute_in_fork(new_notebook(cells=[cell]))[0][0]['outputs'][0].text, end='')"
    )
    assert answer(script) == drawn_alone


def test_a_process_of_one_run_loads_what_every_chapter_needs_and_the_rest_for_the_second():
    script = (
        "from training_moat.press import forking\nimport sys, papermill.engines as engines\n"
        "from nbformat.v4 import new_code_cell, new_notebook\nloaded = []\n"
        "for _ in range(2):\n"
        "    book = new_notebook(cells=[new_code_cell('1')], metadata={'papermill': {}})\n"
        "    manager = engines.NotebookExecutionManager(book, progress_bar=False)\n"
        "    manager.notebook_start()\n"
        "    engine = engines.papermill_engines.get_engine(forking.NAME)\n"
        "    engine.execute_managed_notebook(manager, 'python3')\n"
        "    loaded.append('training_moat.claims' in sys.modules)\n"
        "print(loaded, book.cells[0].outputs[0].data)"
    )
    assert answer(script) == "[False, True] {'text/plain': '1'}\n"


def test_tables_read_ahead_do_not_count_as_asked_for():
    script = (
        "from training_moat.press import forking\nfrom training_moat.catalog import files\n"
        "forking._read_ahead(['chips.csv'])\nassert not files.TOUCHED and files._read.kept.cache_info().currsize"
    )
    answer(script)


def test_a_process_that_dies_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="process died"):
        executed(["import os; os._exit(3)"], tmp_path, forking.NAME)


def test_a_child_that_dies_while_it_gets_ready_is_replaced():
    with forking.begun("history"):
        child, _, _ = forking._begun
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        done, failed, _ = forking.execute_in_fork(new_notebook(cells=[new_code_cell("6 * 7")]))
    assert failed is None and done[0]["outputs"][0].data["text/plain"] == "42"
    assert forking._begun is None


def test_processes_are_forks_only_while_the_source_is_what_was_imported(monkeypatch):
    """A build that begins again because code was written would run the old code under the new one's name."""
    asked = []
    monkeypatch.setattr(running.processes, "pool", lambda *_, fork=False: asked.append(fork))
    monkeypatch.setattr(running.threading, "active_count", lambda: 1)
    for older in (False, True):
        monkeypatch.setattr(caching, "code_is_older", lambda older=older: older)
        running._pool(1, False)
    assert asked == [True, False]
