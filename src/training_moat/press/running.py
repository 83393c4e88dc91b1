"""Executing chapters with papermill, in processes of their own, and saying plainly what failed."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training_moat.catalog import lasting
from training_moat.core import processes
from training_moat.core.surroundings import environment
from training_moat.press import notebooks
from training_moat.press.failures import WorkFailed
from training_moat.press.folders import CHAPTERS, ROOT

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Job:
    """One execution: a chapter, where its copy goes, the parameters that differ from the defaults."""

    chapter: str
    target: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    found: Path | None = None
    """Folder of what other runs found from the same inputs (`catalog.lasting`)."""

    @property
    def name(self) -> str:
        """What tells it from other jobs, which may run the same chapter."""
        return self.target.stem

    @property
    def left(self) -> Path:
        """Where it leaves what later runs need not work out again."""
        return self.target.with_suffix(".left")

    @property
    def strict(self) -> bool:
        """Whether the chapter has to find what it says it finds: at its defaults; else it says so."""
        return not (self.parameters or self.environment)


def failure(chapter: str, error: Exception) -> WorkFailed:
    """Turn papermill's error into a sentence that names the chapter, the cell and the error."""
    kind = getattr(error, "ename", type(error).__name__)
    words = getattr(error, "evalue", str(error))
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


def execute(job: Job) -> list[str] | None:
    """Run one chapter; the copy appears at its target only when every cell has run.

    Returns the files of the tables that it asked for; None where that is not known: then any.

    The target belongs into a folder of this process: what is written there meanwhile (the kernel's
    connection file, the half-run copy) goes with it. Raises WorkFailed naming the chapter, the cell
    and the error.
    """
    import papermill  # a second of import time, paid only where a notebook is run

    from training_moat.press import forking

    logging.getLogger("papermill").setLevel(logging.ERROR)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    running = job.target.with_name(f"running-{job.target.name}")
    runtime = job.target.parent / "runtime"
    strict = "1" if job.strict else ""
    given = {"JUPYTER_RUNTIME_DIR": str(runtime), "MOAT_ROOT": str(ROOT), "MOAT_STRICT": strict}
    given[lasting.FOUND], given[lasting.LEFT] = (
        (str(job.found), str(job.left)) if job.found else ("", "")
    )
    try:
        with environment(given | dict(job.environment)):
            papermill.execute_notebook(
                str(CHAPTERS / f"{job.chapter}.ipynb"),
                str(running),
                parameters=dict(job.parameters),
                cwd=str(CHAPTERS),
                progress_bar=False,
                log_output=False,
                kernel_name="python3",
                engine_name=forking.NAME if forking.possible() else None,
                # A kernel interrupted at its shutdown logs that as an error, which it is not.
                extra_arguments=["--log-level=CRITICAL"],
            )
        made = notebooks.read(running)
        touched = made.metadata.get(forking.TOUCHED)
        notebooks.write(notebooks.published(made), job.target)
        return touched
    except Exception as error:
        # Whatever stopped the notebook - its own code, the kernel, the disk - is reported alike.
        raise failure(job.chapter, error) from None
    finally:
        running.unlink(missing_ok=True)


def execute_all(
    jobs: Sequence[Job], done: Callable[[Job, list[str] | None], None] = lambda job, touched: None
) -> list[WorkFailed]:
    """Run chapters in parallel with a progress bar on stderr; `done` is called as each one finishes,
    with the job and what `execute` returned.

    Returns the failures, in the order of the jobs; the other chapters are finished all the same, so
    that the next build only repeats what failed.
    """
    from tqdm import tqdm

    if not jobs:
        return []
    workers = min(len(jobs), os.cpu_count() or 1)
    failures: dict[str, WorkFailed] = {}
    with _pool(workers, len(jobs) > workers) as pool:
        waiting = {pool.submit(execute, job): job for job in jobs}
        with tqdm(total=len(jobs), desc="chapters", unit="chapter", file=sys.stderr) as bar:
            for future in as_completed(waiting):
                job = waiting[future]
                try:
                    done(job, future.result())
                except WorkFailed as error:
                    failures[job.name] = error
                except BrokenProcessPool:
                    failures[job.name] = WorkFailed(
                        f"chapter '{job.chapter}': its process was ended from outside."
                    )
                bar.update()
                bar.set_postfix_str(job.name)
    return [failures[job.name] for job in jobs if job.name in failures]


def _pool(workers: int, several: bool) -> processes.Pool:
    """Processes that run chapters, forks of this one where it can fork and has imported what its files hold now: what they
    import is imported once, here. several: they will run more than one chapter each."""
    from training_moat.press import caching, forking

    alone = threading.active_count() == 1  # all that a fork has of its threads
    if not (forking.possible() and alone) or caching.code_is_older():
        return processes.pool(workers, _start, several)
    import papermill  # noqa: F401

    forking.load(forking.PRELOADED if several else forking.NEEDED)
    forking.keep()
    return processes.pool(workers, _start, several, fork=True)


def _start(several: bool) -> None:
    """Begin a worker's process."""
    from training_moat.press import forking

    if several and forking.possible():
        forking.preload()


def combined(failures: Sequence[WorkFailed]) -> WorkFailed:
    """Several failures as one sentence: the first, and the names of the other chapters."""
    first, *rest = (str(failure) for failure in failures)
    others = [found[1] for text in rest if (found := re.match(r"chapter '([^']*)'", text))]
    return WorkFailed(f"{first} (failed too: {', '.join(others)})" if others else first)
