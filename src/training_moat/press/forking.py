"""A papermill engine without kernel starts: each notebook runs in a fork of this process.

A kernel costs a process start, the imports and the reading of the tables before the first cell runs.
Here the parent pays them once (`preload`); each notebook gets a forked child, which executes the cells
in an IPython shell and hands their outputs back. What a notebook changes ends with its child, so that
runs cannot see one another. The outputs are those of a kernel, cell by cell; a test compares them.

Papermill finds the engine under the name `moat-fork` (`fork_engine`). This module does not import
papermill: papermill loads its engines while it is itself being imported.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pandas as pd
from altair.utils.data import to_values
from nbformat import NotebookNode

from training_moat.catalog import descriptor, files, tables
from training_moat.core import processes
from training_moat.core.errors import InputError
from training_moat.figures import offline
from training_moat.figures.drawing import Painter
from training_moat.press import notebooks
from training_moat.press.cells import run_cells

NAME = "moat-fork"
TOUCHED = "moat_touched"
"""Key of an executed notebook's metadata: files of the tables that the run asked for."""
NEEDED = (
    "training_moat.figures",
    "IPython.core.application",
    "IPython.core.completerlib",
    "IPython.core.interactiveshell",
    "IPython.core.magics",
)
"""What every chapter imports. Nothing here starts a thread: a fork would lose it."""
PRELOADED = (
    *NEEDED,
    "training_moat.claims",
    "training_moat.calibrate.training_errors",
    "training_moat.calibrate.serving_errors",
    "training_moat.predict.serving",
    "training_moat.predict.training",
    "scipy.stats.qmc",
)
"""And what many do: a process that runs several of them imports it once."""


def possible() -> bool:
    """Whether this system can fork (Linux and other Unixes; macOS's libraries do not survive it)."""
    return hasattr(os, "fork") and sys.platform != "darwin"


_painter: Painter | None = None
_asked: set[str] = set()
_runs = 0


def load(modules: Sequence[str] = PRELOADED) -> None:
    """Import what the notebooks will import, once, before the first fork."""
    for name in modules:
        importlib.import_module(name)
    to_values(pd.DataFrame({"x": [1.0]}))  # loads what Altair reads tables with


def keep() -> None:
    """What is there by now stays: a fork's own collector would copy every page that it looks at."""
    gc.collect()
    gc.freeze()


def preload(modules: Sequence[str] = PRELOADED, draws: bool = True) -> None:
    """`load`, and have a process that draws, which gets ready at once where the first notebook `draws`."""
    global _painter
    load(modules)
    if _painter is None:
        _painter = Painter(draws)
        keep()


def _read_ahead(asked: Sequence[str]) -> None:
    """Read here the tables that a run has asked for: the next one finds them as they are in their files."""
    paths = {item["path"]: item["name"] for item in descriptor.package()["resources"]}
    with files.untouched():
        for file in asked:
            with suppress(InputError, KeyError):
                files.read(paths[file])


def rest() -> None:
    """End the drawing process; the next `preload` starts another. A run that died may have left half an order with it."""
    global _painter
    if _painter is not None:
        _painter.close()
        _painter = None


def _child(ordered: Callable[[], NotebookNode], pipe: int, parent: int) -> None:
    """Run the notebook that is `ordered` and send the result and the tables it asked for; never returns."""
    status = 1
    try:
        processes.end_with_parent(parent)
        notebook = ordered()
        if _painter is not None:
            offline.draw_with(_painter)
        # A run during which a table was written is not kept, and asks for their state some ten thousand times.
        with tables.steady():
            result: Any = (*run_cells(notebook), sorted(files.TOUCHED))
        status = 0
    except BaseException:
        result = traceback.format_exc()
    try:
        with os.fdopen(pipe, "wb") as out:
            pickle.dump(result, out)
    finally:
        os._exit(status)


def _forked(ordered: Callable[[], NotebookNode], unheard: int | None = None) -> tuple[int, int]:
    """(a child that runs what is `ordered`, the pipe with its answer). `unheard`: a pipe that is not the child's."""
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(read)
        if unheard is not None:
            os.close(unheard)
        _child(ordered, write, parent)
    os.close(write)
    return child, read


_begun: tuple[int, int, int] | None = None
"""A child that gets ready, the pipe with its answer, and the one on which its order goes."""


@contextmanager
def begun(chapter: str) -> Iterator[None]:
    """While the block runs, the next notebook to be executed is this chapter's: a child already imports what it will need,
    beside what this process still has to do before there is something to execute."""
    global _begun
    if not possible():
        yield
        return
    heard, told = os.pipe()
    _begun = (*_forked(lambda: _get_ready(chapter, heard), told), told)
    os.close(heard)
    try:
        yield
    finally:
        if _begun is not None:
            child, *pipes = _begun
            _begun = None
            for pipe in pipes:
                os.close(pipe)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _get_ready(chapter: str, heard: int) -> NotebookNode:
    """Import what a chapter's code imports, then wait for its notebook and surroundings; without an order nothing is run."""
    global _painter
    load(NEEDED)
    _painter = Painter()
    gc.freeze()  # uncollected: this process forks no others, and looking for garbage takes longer than there is any
    with suppress(Exception):  # what is wrong with the chapter is for the one who asked to say
        cells = json.loads(notebooks.chapter_file(chapter).read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        code = [ast.parse(source).body for source in sources]
        imports = [
            line for cell in code for line in cell if type(line) in (ast.Import, ast.ImportFrom)
        ]
        exec(compile(ast.Module(imports, []), chapter, "exec"), {})  # noqa: S102
    with os.fdopen(heard, "rb") as pipe:
        order = pipe.read()
    if not order:
        os._exit(0)
    folder, surroundings, notebook = pickle.loads(order)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(surroundings)
    return notebook


def _started(notebook: NotebookNode) -> tuple[int, int]:
    """(the child that runs a notebook, the pipe with its answer): the one that got ready for it, or a new one."""
    global _begun
    if _begun is None:
        return _forked(lambda: notebook)
    child, read, told = _begun
    _begun = None
    if os.waitpid(child, os.WNOHANG) != (0, 0):  # it died while it got ready
        os.close(read)
        os.close(told)
        return _forked(lambda: notebook)
    with os.fdopen(told, "wb") as pipe:
        pickle.dump((os.getcwd(), dict(os.environ), notebook), pipe)
    return child, read


def execute_in_fork(
    notebook: NotebookNode,
) -> tuple[list[dict[str, Any]], tuple[int, str, str] | None, list[str]]:
    """`run_cells` in a forked child, and the tables' files it asked for. Raises RuntimeError where it died."""
    global _runs
    if _begun is None:
        # The tables that each run has asked for are read once, here.
        draws = any("figures.publish(" in cell.source for cell in notebook.cells)
        preload(PRELOADED if _runs else NEEDED, draws)
        _read_ahead(sorted(_asked))
    _runs += 1
    child, read = _started(notebook)
    try:
        with os.fdopen(read, "rb") as pipe:
            sent = pipe.read()
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        rest()
        raise
    finally:
        os.waitpid(child, 0)
    result = pickle.loads(sent) if sent else "the process ended without a word"
    if isinstance(result, str):
        rest()
        raise RuntimeError(f"the notebook's process died: {result.strip().splitlines()[-1]}")
    done, failed, asked = result
    _asked.update(asked)
    return done, failed, asked
