"""nbval against the outputs of the book's build: a kernel that plays back what ran moments ago.

`moat build` has executed every chapter before the tests start, and keeps each run under a hash of all that it
can depend on: the chapter's code, the package's source, the tables, Python and the libraries. Where such a run
is there, executing the chapter once more would compare the same outputs. nbval asks this kernel instead and
compares as it always does. Where there is none (another source, no build yet), or with `--kernels`, a real
kernel executes the notebook.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat

from training_moat.press import caching

IN_KERNELS = ("two_chips",)
"""Chapters that a real kernel executes every time: what forks give is what kernels give."""


class Played:
    """What nbval asks of a kernel, answered from an executed notebook."""

    def __init__(self, executed: nbformat.NotebookNode) -> None:
        self._cells = deque(cell for cell in executed.cells if cell.cell_type == "code")
        self._messages: deque[dict[str, Any]] = deque()
        self._number = 0

    def execute_cell_input(self, source: str, allow_stdin: bool | None = None) -> int:
        """Queue the messages of the cell with this source; cells before it count as executed."""
        self._number += 1
        while self._cells:
            cell = self._cells.popleft()
            if cell.source == source:
                for output in cell.outputs:
                    self._say(output.output_type, output)
                self._say("status", {"execution_state": "idle"})
                return self._number
        raise RuntimeError("the executed copy has no such cell")

    def _say(self, kind: str, content: dict[str, Any]) -> None:
        header = {"msg_id": self._number}
        self._messages.append({"msg_type": kind, "content": content, "parent_header": header})

    def get_message(self, stream: str, timeout: float | None = None) -> dict[str, Any]:
        """The next message of the cell."""
        if not self._messages:
            raise Empty
        return self._messages.popleft()

    def await_reply(self, number: int, timeout: float | None = None) -> None:
        """The reply is there."""

    def await_idle(self, number: int, timeout: float | None = None) -> None:
        """Skip what is left of the cell's messages."""
        self._messages.clear()

    def is_alive(self) -> bool:
        return True

    def stop(self) -> None:
        """There is nothing to stop."""

    interrupt = stop


@cache
def _now() -> caching.Inputs:
    return caching.inputs()


def played(chapter: str, folder: Path) -> Played | None:
    """The kernel of a chapter that the book's build has run as it stands; `folder` is for its copy."""
    now, target = _now(), folder / f"{chapter}.ipynb"
    key = caching.chapter_key(chapter, {}, now.shared)
    if caching.recall(chapter, key, now, target, strict=True) is None:
        return None
    return Played(nbformat.read(target, as_version=4))
