"""`moat build`: every chapter run (what has not changed is not), then the site."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from training_moat.press import caching, notebooks, site
from training_moat.press.failures import WorkFailed
from training_moat.press.folders import BUILD
from training_moat.press.running import Job, execute_all
from training_moat.press.scenarios import Request, request


def jobs(wanted: Request) -> tuple[dict[str, Path], list[Job]]:
    """Where each chapter's executed copy belongs, and the runs that are missing."""
    environment = caching.environment_key()
    copies, missing = {}, []
    for chapter, values in wanted.by_chapter.items():
        key = caching.chapter_key(chapter, values, environment, wanted.key)
        copies[chapter] = caching.cached(chapter, key)
        if copies[chapter].exists():
            copies[chapter].touch()
        else:
            missing.append(Job(chapter, copies[chapter], values, wanted.environment))
    return copies, missing


def build(given: Iterable[str] = (), scenario: str | None = None, out: str | None = None) -> Path:
    """Run what has changed, build the site from the executed copies and return its index.html.

    given: `name=value` pairs. Finished chapters stay cached, so an interrupted build resumes.
    Raises WorkFailed naming chapter, cell and error; the previous site then stays as it was.
    """
    wanted = request(notebooks.chapter_names(), given, scenario)
    copies, missing = jobs(wanted)
    failures = execute_all(missing, lambda job: caching.forget_others(job.chapter))
    if failures:
        raise WorkFailed("\n".join(str(failure) for failure in failures))
    target = Path(out).resolve() if out else site.SITE
    key = site.source_key(copies)
    name = f"site-{caching.name_of(target)}"
    if (target / "index.html").exists() and caching.remembered(name) == key:
        print("nothing has changed; the site is as it was", file=sys.stderr)
        return target / "index.html"
    BUILD.mkdir(exist_ok=True)
    index = site.build(copies, target)
    caching.remember(name, key)
    return index
