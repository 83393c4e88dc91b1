"""`forking` as an engine of papermill: `papermill --engine moat-fork chapters/memory.ipynb out.ipynb`.

Papermill imports this module by its entry point (`papermill.engine` in pyproject.toml) while it is
itself being imported. Nothing else may import it: it would be half loaded when papermill asks for it.
"""

from __future__ import annotations

from typing import Any

from papermill.engines import Engine

from training_moat.press import forking


class ForkingEngine(Engine):
    """The engine as papermill calls it."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
        """Execute the manager's notebook; its cells get outputs, counts and papermill's marks."""
        done, failed, touched = forking.execute_in_fork(nb_man.nb)
        nb_man.nb.metadata[forking.TOUCHED] = touched
        for cell in nb_man.nb.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        target, nb_man.output_path = nb_man.output_path, None  # written once, not twice a cell
        try:
            _note(nb_man, done, failed)
        finally:
            nb_man.output_path = target


def _note(nb_man: Any, done: list[dict[str, Any]], failed: tuple[int, str, str] | None) -> None:
    for entry in done:
        cell = nb_man.nb.cells[entry["index"]]
        nb_man.cell_start(cell, entry["index"])
        cell.outputs, cell.execution_count = entry["outputs"], entry["count"]
        if failed is not None and failed[0] == entry["index"]:
            nb_man.cell_exception(cell, entry["index"], exception=failed[2])
            return
        nb_man.cell_complete(cell, entry["index"])
