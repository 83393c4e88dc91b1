"""Executing chapters with papermill, in processes of their own, and saying plainly what failed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training_moat.press.failures import WorkFailed
from training_moat.press.folders import CHAPTERS

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Job:
    """One execution: a chapter, where its executed copy goes, the parameters that differ from the defaults."""

    chapter: str
    target: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def failure(chapter: str, error: Exception) -> WorkFailed:
    """Turn papermill's error into a sentence that names the chapter, the cell and the error."""
    kind, words = (
        getattr(error, "ename", type(error).__name__),
        getattr(error, "evalue", str(error)),
    )
    cell = getattr(error, "cell_index", None)
    place = "" if cell is None else f", cell {cell + 1}"
    said = str(words).strip().splitlines()
    return WorkFailed(
        f"chapter '{chapter}'{place}: {kind}: {said[0] if said else _failing_line(error)}"
    )


def _failing_line(error: Exception) -> str:
    """The line of code that failed, for errors without a message such as a bare assertion."""
    text = _COLOUR.sub("", "\n".join(getattr(error, "traceback", None) or []))
    arrows = re.findall(r"^-+> \d+ (.+)$", text, re.M)
    return arrows[0].strip() if arrows else "no message"


def execute(job: Job) -> Path:
    """Run one chapter; the executed copy appears at its target only when every cell has run.

    Raises WorkFailed naming the chapter, the cell and the error.
    """
    import papermill  # a second of import time, paid only where a notebook is run

    from training_moat.press import forking

    logging.getLogger("papermill").setLevel(logging.ERROR)
    os.environ.update(job.environment)
    # A finding that no longer holds stops the book's own settings only.
    os.environ["MOAT_STRICT"] = "" if job.parameters or job.environment else "1"
    folder = Path(tempfile.mkdtemp(prefix="moat-"))
    copy = folder / f"{job.chapter}.ipynb"
    try:
        papermill.execute_notebook(
            str(CHAPTERS / f"{job.chapter}.ipynb"),
            str(copy),
            parameters=dict(job.parameters),
            cwd=str(CHAPTERS),
            progress_bar=False,
            log_output=False,
            kernel_name="python3",
            engine_name=forking.NAME if forking.possible() else None,
            extra_arguments=["--log-level=ERROR"],
        )
        job.target.parent.mkdir(parents=True, exist_ok=True)
        landing = job.target.with_name(f".{job.target.name}.new")
        shutil.copyfile(copy, landing)
        os.replace(landing, job.target)
        return job.target
    except Exception as error:
        # Whatever stopped the notebook - its own code, the kernel, the disk - is reported alike.
        raise failure(job.chapter, error) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def execute_all(
    jobs: Sequence[Job], done: Callable[[Job], None] = lambda job: None
) -> list[WorkFailed]:
    """Run chapters in parallel with a progress bar on stderr; `done` is called as each one finishes.

    Returns the failures, in the order of the jobs; the other chapters are finished all the same, so
    that the next build only repeats what failed.
    """
    from tqdm import tqdm

    if not jobs:
        return []
    workers = min(len(jobs), os.cpu_count() or 1)
    failures: dict[str, WorkFailed] = {}
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(execute, job): job for job in jobs}
        with tqdm(total=len(jobs), desc="chapters", unit="chapter", file=sys.stderr) as bar:
            for future in as_completed(waiting):
                job = waiting[future]
                try:
                    future.result()
                    done(job)
                except WorkFailed as error:
                    failures[job.chapter] = error
                bar.update()
                bar.set_postfix_str(job.chapter)
    return [failures[job.chapter] for job in jobs if job.chapter in failures]
