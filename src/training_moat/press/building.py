"""`moat build`: every chapter run (what has not changed is not), then the site."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from training_moat.press import caching, notebooks, output, shelf, site
from training_moat.press.failures import WorkFailed
from training_moat.press.folders import CHAPTERS
from training_moat.press.page_sets import Page, further_pages
from training_moat.press.running import Job, combined, execute_all
from training_moat.press.scenarios import Request, frozen, request
from training_moat.press.workspace import workspace

_TRIES = 3
LONGEST_FIRST = ("verdict", "scorecard", "market", "validation")
"""Chapters that start first: the last to end decides when all are done, and those that search what others then find
(verdict: the mixtures of every challenger) must not keep these waiting."""


def executed(
    wanted: Request, folder: Path, pages: Sequence[Page] = (), chapters: bool = True
) -> dict[str, Path]:
    """Put an executed copy of every chapter (unless `chapters` is false), and of every further page, into `folder`: stored
    or run now.

    Finished runs are kept for the next build, but only those during which no file that they could
    have read was written. Raises WorkFailed naming chapter, cell and error.
    """
    before = caching.run_state()
    now = caching.inputs(wanted.rows)
    found = caching.found_folder(now)
    keys, missing = {}, []
    jobs = [
        Job(chapter, folder / f"{chapter}.ipynb", values, wanted.environment, found)
        for chapter, values in wanted.by_chapter.items()
        if chapters
    ]
    for page in pages:
        values = {**wanted.by_chapter[page.chapter], **page.parameters}
        target = folder / f"{page.name}.ipynb"
        jobs.append(Job(page.chapter, target, values, wanted.environment, found))
    prose = {name: caching.prose_key(name) for name in {job.chapter for job in jobs}}
    for job in jobs:
        keys[job.name] = caching.chapter_key(job.chapter, job.parameters, now.shared)
        note = caching.recall(job.name, keys[job.name], now, job.target, job.strict)
        if note is None:
            missing.append(job)
        elif note["prose"] != prose[job.chapter]:
            own = notebooks.read(CHAPTERS / f"{job.chapter}.ipynb")
            notebooks.write(notebooks.with_prose(notebooks.read(job.target), own), job.target)

    def keep(job: Job, touched: list[str] | None) -> None:
        if caching.run_state() == before:
            note = (touched, job.strict, prose[job.chapter])
            caching.store(job.name, keys[job.name], now, job.target, *note)
            caching.keep_found(job.left, found)

    failures = execute_all(sorted(missing, key=_turn), keep)
    if failures and caching.run_state() == before:
        raise combined(failures)
    return {job.name: job.target for job in jobs}


def _turn(job: Job) -> int:
    """When a job starts: the longest first, the others in their order."""
    first = job.name in LONGEST_FIRST
    return LONGEST_FIRST.index(job.name) if first else len(LONGEST_FIRST)


def further_copies(folder: Path) -> dict[str, Path]:
    """Executed copies of the further pages alone, for a site that is made from the stored outputs of the chapters.
    Raises WorkFailed naming page, cell and error."""
    with workspace() as work:
        wanted = frozen(request(notebooks.chapter_names(), (), None), work)
        return executed(wanted, folder, further_pages(), chapters=False)


def _state() -> object:
    files = [*caching.book_files(), *CHAPTERS.glob("*.md"), *caching.building_files()]
    return caching.file_states([*caching.run_files(), *files])


def build(given: Iterable[str] = (), scenario: str | None = None, out: str | None = None) -> Path:
    """Run what has changed, build the site from the executed copies and return its index.html.

    given: `name=value` pairs. Raises InputError, before any work, for bad input and for a place
    that holds what we did not build; WorkFailed naming chapter, cell and error. The previous site
    then stays as it was. A file written during the build starts it again.
    """
    target = output.site_folder(site.SITE if out is None else out, standard=out is None)
    asked = request(notebooks.chapter_names(), given, scenario)
    with workspace() as work:
        wanted = frozen(asked, work)
        for number in range(_TRIES):
            before, folder = _state(), work / f"try-{number}"
            copies = executed(wanted, folder / "executed", further_pages())
            if _state() == before:
                around = site.surroundings(wanted)
                key = site.key(copies, around)
                if output.is_whole(target, key):
                    print("nothing has changed; the site is as it was", file=sys.stderr)
                    return target / "index.html"
                with shelf.place(around, folder) as place:
                    made = site.render(copies, wanted, folder, place)
                    if _state() == before:
                        output.mark(made)
                        place.settle()
                        output.site_folder(target, standard=out is None)
                        output.put_site(made, target, key)
                        return target / "index.html"
            print("a file changed during the build; building again", file=sys.stderr)
    raise WorkFailed("files were written during each of three builds; the site is as it was.")
