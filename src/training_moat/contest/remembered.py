"""Results of long searches, kept beside the build until the code or the tables they came from change."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import training_moat
from training_moat.catalog import files as table_files
from training_moat.catalog import paths
from training_moat.core import editions, file_locks
from training_moat.core.whole_files import write_text

CODE = (
    "core",
    "predict",
    "catalog/chips.py",
    "catalog/models.py",
    "catalog/relatives.py",
    "catalog/scenario.py",
    "inquiry/holding.py",
    "contest/best_plan.py",
    "contest/chip_factors.py",
    "contest/chip_assumptions.py",
    "contest/coalition_search.py",
    "contest/single_changes.py",
)
"""Rooms and modules of the package that a search depends on."""

UNREAD = (
    *("arguments", "claim_tests", "claims", "coding_rules", "corrections", "second_coding"),
    *("challengers", "history_events", "hbm_supply", "packaging_supply", "prices", "sources"),
    *("startup_events", "switching_assumptions", "switching_cases", "training_priors"),
)
"""Tables that no search reads: how claims are judged, what happened, what is multiplied in afterwards, where fits begin."""

MOST_KEPT = 5000
"""Results that are kept, the newest: those of about a dozen editions of code and tables."""


def folder() -> Path:
    """Where results are kept."""
    return paths.build_folder() / "remembered"


@lru_cache(maxsize=4)
def _tables(data: Path) -> list[Path]:
    """Files of the tables that a search could read."""
    return [table for table in sorted(data.glob("*.csv")) if table.stem not in UNREAD]


@lru_cache(maxsize=4)
def _sources(data: Path) -> tuple[Path, ...]:
    """All files that decide what a search finds: of code, and of the tables in `data`."""
    package = Path(training_moat.__file__).parent
    parts = [sorted({package / part, *(package / part).rglob("*.py")}) for part in CODE]
    return (*(file for part in parts for file in part if file.is_file()), *_tables(data))


@lru_cache(maxsize=4)
def _digest(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _fingerprint() -> str | None:
    """Digest of all that decides what a search finds. None where one of these files was written since this process began:
    nobody can tell which edition of it a search here goes by."""
    files = _sources(paths.data_folder())
    return None if editions.written_since_begun(files) else _digest(files)


def remembered(
    name: str, asked: Sequence[tuple], compute: Callable[[list[tuple]], Sequence[Sequence[float]]]
) -> list[list[float]]:
    """The numbers that searches find, each told by what is `asked` of it: from disk where they were found with the same code
    and tables; `compute` finds those of all others at once.

    Chapters run side by side and ask for the same searches: one computes, the others wait for it. Where code or tables were
    written since this process began, nothing is taken from disk and nothing is put there.
    """
    # What is taken from disk rests on every table that the search could read.
    table_files.TOUCHED.update(table.name for table in _tables(paths.data_folder()))
    mark = _fingerprint()
    files = [_file(name, one, mark) for one in asked]
    found: dict[Path, list[float]] = {}
    with contextlib.ExitStack() as alone:
        for file in sorted(
            set(files) if mark else ()
        ):  # in one order, so that no two wait for each other
            alone.enter_context(_alone(file.with_suffix(".lock")))
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(file.read_text(encoding="utf-8"))
                found[file] = [float(value) for value in known]
        missing = {file: one for file, one in zip(files, asked, strict=True) if file not in found}
        fresh = compute(list(missing.values())) if missing else []
        keep = mark is not None and _fingerprint() == mark
        for file, numbers in zip(missing, fresh, strict=True):
            found[file] = [float(value) for value in numbers]
            if keep:
                with contextlib.suppress(OSError):
                    write_text(file, json.dumps(found[file]))
    if missing and keep:
        _forget_oldest()
    return [found[file] for file in files]


def _forget_oldest() -> None:
    """Remove the oldest results beyond `MOST_KEPT`, with their locks: whoever still waits for one computes it himself."""
    kept = list(folder().glob("*.json"))
    if len(kept) <= MOST_KEPT:
        return
    with contextlib.suppress(OSError):  # another process forgets them, too
        for old in sorted(kept, key=lambda file: file.stat().st_mtime_ns)[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
            old.with_suffix(".lock").unlink(missing_ok=True)


def _file(name: str, asked: tuple, mark: str | None) -> Path:
    text = json.dumps([name, [repr(part) for part in asked], mark])
    return folder() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a file's lock where the folder can be written; the lock goes with the process, even a killed one."""
    handle = None
    with contextlib.suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = file_locks.held(lock)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
