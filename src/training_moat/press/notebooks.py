"""Reading and tidying chapter notebooks: their names, their default parameters, what is stored of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from training_moat.catalog import parameters, yaml_files
from training_moat.catalog.kept_while import changed, kept_while
from training_moat.core.errors import InputError, require_known
from training_moat.core.whole_files import beside
from training_moat.press.failures import WorkFailed
from training_moat.press.folders import CHAPTERS, ROOT

_KERNEL = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
"""What JupyterLab writes on saving, but for the version of Python: opening a chapter changes one line."""


def toc_pages() -> list[str]:
    """Every page of the book, in reading order, as in _toc.yml (`chapters/verdict`, ...)."""
    path = ROOT / "_toc.yml"
    pages = _listed(path)
    for page in pages:
        if not any((ROOT / f"{page}{ending}").is_file() for ending in (".ipynb", ".md")):
            raise WorkFailed(f"_toc.yml: there is no {page}.ipynb and no {page}.md.")
    return list(pages)


@kept_while(changed)
def _listed(path: Path) -> tuple[str, ...]:
    """The pages that the table of contents lists; it is asked for dozens of times in a build."""
    toc = yaml_files.read(path, ("format", "root", "parts")).content
    try:
        groups = toc.get("parts", [toc])
        chapters = [entry["file"] for group in groups for entry in group.get("chapters", [])]
        return toc["root"], *chapters
    except (AttributeError, KeyError, TypeError):
        raise InputError(
            "_toc.yml: expected a root, and parts with chapters of the form '- file: chapters/NAME'"
        ) from None


def chapter_names() -> list[str]:
    """Names of the chapters that are notebooks, in reading order."""
    return [Path(page).name for page in toc_pages() if (ROOT / f"{page}.ipynb").exists()]


def chapter_file(name: str) -> Path:
    """Notebook of a chapter. Raises InputError with the nearest name when there is none."""
    names = chapter_names()
    if name not in names and Path(name).stem in names:  # the notebook's file was given
        raise InputError(f"unknown chapter '{name}'; did you mean '{Path(name).stem}'?")
    if name not in names and name in {path.stem for path in CHAPTERS.glob("*.ipynb")}:
        raise InputError(
            f"chapter '{name}' has no entry in _toc.yml; add '- file: chapters/{name}' to one of its parts"
        )
    require_known("chapter", name, names)
    return CHAPTERS / f"{name}.ipynb"


def read(path: Path) -> NotebookNode:
    """Read a notebook. Raises WorkFailed when the file is not one."""
    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        raise WorkFailed(f"{path}: not a readable notebook ({type(error).__name__}).") from None


def tags(cell: NotebookNode) -> list[str]:
    """Tags of a cell."""
    return cell.metadata.get("tags", [])


def defaults(notebook: NotebookNode, name: str) -> dict[str, Any]:
    """Default parameters: the literals assigned in the cell tagged `parameters`."""
    cells = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    if len(cells) != 1:
        raise WorkFailed(
            f"chapters/{name}.ipynb: expected one cell tagged 'parameters', found {len(cells)}."
        )
    values: dict[str, Any] = {}
    for node in ast.parse(cells[0].source).body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            raise WorkFailed(
                f"chapters/{name}.ipynb: the parameters cell may only assign plain literals to names."
            )
        values[node.targets[0].id] = ast.literal_eval(node.value)
    return values


def described(chapter: str, source: str) -> str:
    """The parameters cell with type, meaning and limits behind each default, from parameters.yml."""
    known = parameters.schema(chapter)
    lines = []
    for node in ast.parse(source).body:
        plain = ast.get_source_segment(source, node) or ""
        name = node.targets[0].id if isinstance(node, ast.Assign) else ""  # type: ignore[attr-defined]
        lines.append(f"{plain}  {known[name].comment}" if name in known else plain)
    return "\n".join(lines) or source


def _injected(cell: NotebookNode) -> bool:
    """Whether papermill put the cell in: the parameters of a run."""
    return "injected-parameters" in tags(cell)


def published(executed: NotebookNode) -> NotebookNode:
    """An executed notebook without what is noted of the run: clocks, paths and versions of this machine."""
    executed.metadata = nbformat.from_dict(_KERNEL)
    for number, cell in enumerate(executed.cells):
        for note in ("papermill", "execution"):
            cell.metadata.pop(note, None)
        if _injected(cell):
            cell.id = f"injected-{number:02d}"
    return executed


def with_prose(executed: NotebookNode, source: NotebookNode) -> NotebookNode:
    """The executed copy as a run of `source` would have made it, whose code is the same and whose other cells may
    have changed: words, their number and places."""
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    cells = [ran.pop(0)] if ran and _injected(ran[0]) else []
    for cell in source.cells:
        cell.metadata.setdefault("tags", [])  # as papermill leaves it
        if cell.cell_type != "code":
            cells.append(cell)
            continue
        own = ran.pop(0)
        own.id, own.metadata = cell.id, cell.metadata
        cells.append(own)
        if ran and _injected(ran[0]):
            cells.append(ran.pop(0))
    executed.cells = cells
    return published(executed)


def normalised(executed: NotebookNode, stored: NotebookNode | None = None) -> NotebookNode:
    """A notebook as it is stored: no timings, counts or run-time metadata; unchanged pictures keep their bytes.

    stored: the version now in the repository. Where a cell's text outputs are the same as there,
    the stored PNG stays, because other machines draw the same picture with slightly other bytes.
    """
    fresh = nbformat.v4.new_notebook(metadata=_KERNEL)
    fresh.cells = [cell for cell in executed.cells if not _injected(cell)]
    run = 0
    for number, cell in enumerate(fresh.cells):
        plain = {"tags": sorted(tags(cell))} if tags(cell) else {}
        cell.metadata = nbformat.from_dict(plain)
        cell.id = f"cell-{number:02d}"
        if cell.cell_type == "code":
            run += 1
            _number(cell, run)
    if stored is not None:
        _keep_pictures(fresh, stored)
    return fresh


def _number(cell: NotebookNode, run: int) -> None:
    """Give a code cell its place in the order of running: nbval takes one without for never run."""
    cell.execution_count = run
    for output in cell.outputs:
        if output.output_type == "execute_result":
            output.execution_count = run


def texts(cell: NotebookNode) -> list[Any]:
    """What strict nbval compares of a code cell: every output but the pictures."""
    shown = []
    for output in cell.get("outputs", []):
        data = {
            form: value
            for form, value in output.get("data", {}).items()
            if not form.startswith("image/")
        }
        shown.append((output.output_type, output.get("name"), output.get("text"), data))
    return shown


def _keep_pictures(fresh: NotebookNode, stored: NotebookNode) -> None:
    before = {cell.source: cell for cell in stored.cells if cell.cell_type == "code"}
    for cell in fresh.cells:
        same = before.get(cell.source)
        if cell.cell_type == "code" and same is not None and texts(same) == texts(cell):
            for output, kept in zip(cell.outputs, same.outputs, strict=True):
                data = kept.get("data", {})
                pictures = {form: data[form] for form in data if form.startswith("image/")}
                output.get("data", {}).update(pictures)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook whole or not at all."""
    with beside(path) as fresh:
        nbformat.write(notebook, fresh)
