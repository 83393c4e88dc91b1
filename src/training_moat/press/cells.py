"""Cells executed in an IPython shell of this process, their outputs recorded as a kernel would send them."""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_output

from training_moat.figures import publishing
from training_moat.figures.drawing import Coming
from training_moat.press.left_out import LeftOut


class _Recorder:
    """The outputs of the cell that runs, in the order in which they appear."""

    def __init__(self) -> None:
        self.outputs: list[NotebookNode] = []
        self.coming: list[tuple[NotebookNode, str, Coming]] = []
        self.failed: BaseException | None = None

    def stream(self, name: str, text: str) -> None:
        last = self.outputs[-1] if self.outputs else None
        if last is not None and last.output_type == "stream" and last.name == name:
            last.text += text
        elif text:
            self.outputs.append(new_output("stream", name=name, text=text))

    def show(self, kind: str, data: dict[str, Any], **more: Any) -> None:
        """An output in some MIME forms, as a notebook stores them: pictures in base64, those on their way once they are
        there (`settle`)."""
        shown = {
            form: "" if isinstance(value, Coming) else _text(value) for form, value in data.items()
        }
        output = new_output(kind, data=shown, **more)
        self.outputs.append(output)
        self.coming += [(output, f, v) for f, v in data.items() if isinstance(v, Coming)]

    def settle(self) -> None:
        """Put the pictures that were on their way into their places."""
        for output, form, coming in self.coming:
            output["data"][form] = _text(coming.picture())

    def error(self, kind: type, value: BaseException, lines: list[str]) -> None:
        self.failed = value
        self.outputs.append(
            new_output("error", ename=kind.__name__, evalue=str(value), traceback=lines)
        )


class _Stream(io.TextIOBase):
    """Standard output or error of a cell."""

    encoding = "utf-8"

    def __init__(self, recorder: _Recorder, name: str) -> None:
        self.recorder, self.name = recorder, name

    def write(self, text: str) -> int:
        self.recorder.stream(self.name, text)
        return len(text)


def _shell(recorder: _Recorder) -> Any:
    """An IPython shell whose results, displays and errors go to the recorder as a kernel would send them."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Publisher(DisplayPublisher):
        def publish(self, data: dict, metadata: dict | None = None, **_: Any) -> None:
            recorder.show("display_data", data, metadata=metadata or {})

    class Hook(DisplayHook):
        def write_output_prompt(self) -> None:
            """A notebook shows no prompt."""

        def write_format_data(self, format_dict: dict, md_dict: dict | None = None) -> None:
            count = self.prompt_count
            recorder.show(
                "execute_result", format_dict, metadata=md_dict or {}, execution_count=count
            )

        def finish_displayhook(self) -> None:
            """No blank line after a result."""

    class Shell(InteractiveShell):
        displayhook_class = Hook
        display_pub_class = Publisher

        def enable_gui(self, gui: str | None = None) -> None:
            """There is no screen."""

        def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
            recorder.error(etype, evalue, [str(line) for line in stb])

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "NoColor"
    return Shell.instance(config=settings)


def _text(value: Any) -> Any:
    """One form of an output as a notebook stores it: pictures in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def run_cells(notebook: NotebookNode) -> tuple[list[dict[str, Any]], tuple[int, str, str] | None]:
    """Execute a notebook's code cells in this process, which is spent afterwards.

    Returns, for each cell executed, its index, execution count and outputs; and where a cell failed its
    index and the error's name and text. Cells after it do not run, but for a reader's run where a number that the cell
    needs is not published (`LeftOut`). What a cell left out of several is said behind its outputs.
    """
    recorder, left_out = _Recorder(), LeftOut()
    publishing.begin_numbers()
    shell = _shell(recorder)
    left_out.listen()
    sys.stdout, sys.stderr = _Stream(recorder, "stdout"), _Stream(recorder, "stderr")
    done: list[dict[str, Any]] = []
    failed = None
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        recorder.outputs, recorder.failed = [], None
        shell.run_cell(cell.source, store_history=True)
        count = shell.execution_count - 1
        done.append({"index": index, "count": count, "outputs": recorder.outputs})
        if recorder.failed is None:
            words = left_out.beside()
        elif words := left_out.instead(recorder.failed, cell.source):
            recorder.outputs.pop()
        else:
            failed = (index, type(recorder.failed).__name__, str(recorder.failed))
            break
        if words:
            recorder.show("display_data", {"text/markdown": words, "text/plain": words})
    recorder.settle()
    return done, failed
