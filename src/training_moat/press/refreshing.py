"""`moat refresh`: re-execute chapters with their defaults and store the outputs that nbval compares, and say what each
parameter is."""

from __future__ import annotations

from collections.abc import Sequence

from training_moat.press import caching, notebooks
from training_moat.press.failures import WorkFailed
from training_moat.press.running import Job, combined, execute_all
from training_moat.press.workspace import workspace

WRITTEN = "source or tables were written while the chapters ran; their outputs are stored, but refresh them again."
CHANGED = "changed while it was executed, and stays as it is now; refresh it again."


def _difference(before: notebooks.NotebookNode, after: notebooks.NotebookNode) -> str:
    old = [notebooks.texts(cell) for cell in before.cells if cell.cell_type == "code"]
    code = [(number, cell) for number, cell in enumerate(after.cells) if cell.cell_type == "code"]
    changed = [
        str(number + 1)
        for place, (number, cell) in enumerate(code)
        if place >= len(old) or notebooks.texts(cell) != old[place]
    ]
    if not changed:
        return "unchanged"
    return f"{len(changed)} of {len(code)} outputs changed (cell{'s' if len(changed) > 1 else ''} {', '.join(changed)})"


def _state() -> object:
    """State of what all chapters share; where two are equal, none of it was written in between."""
    return caching.file_states(file for file in caching.run_files() if file.suffix != ".ipynb")


def refresh(chapters: Sequence[str] = ()) -> list[str]:
    """Re-execute and store; returns one line per chapter that says what changed.

    Chapters that fail are reported together and keep their stored outputs; so does one that was edited
    or merged while it ran, whose outputs belong to an older source. Raises InputError for an unknown
    chapter, WorkFailed when any chapter fails and when it is not known which edition of code and tables the outputs are of.
    """
    names = list(chapters) or notebooks.chapter_names()
    files = {name: notebooks.chapter_file(name) for name in names}
    known = _state()
    stood = {name: file.read_bytes() for name, file in files.items()}
    with workspace() as folder:
        jobs = [Job(name, folder / f"{name}.ipynb") for name in names]
        failures = execute_all(jobs)
        lines = []
        for job in jobs:
            if not job.target.exists():
                continue
            if files[job.chapter].read_bytes() != stood[job.chapter]:
                failures.append(WorkFailed(f"chapter '{job.chapter}' {CHANGED}"))
                continue
            before = notebooks.read(files[job.chapter])
            after = notebooks.normalised(notebooks.read(job.target), before)
            for cell in after.cells:
                if "parameters" in notebooks.tags(cell):
                    cell.source = notebooks.described(job.chapter, cell.source)
            lines.append(f"{job.chapter}: {_difference(before, after)}")
            notebooks.write(after, files[job.chapter])
    if _state() != known:
        failures.insert(0, WorkFailed(WRITTEN))
    if failures:
        raise combined(failures)
    return lines
