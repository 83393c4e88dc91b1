"""Results of long searches, kept beside the build until the code or the tables they came from change."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import training_moat
from training_moat.catalog import files as table_files
from training_moat.catalog import paths
from training_moat.core.whole_files import write_text

CODE = (
    "core",
    "predict",
    "catalog/chips.py",
    "catalog/models.py",
    "catalog/relatives.py",
    "inquiry/holding.py",
    "contest/best_plan.py",
    "contest/chip_factors.py",
    "contest/chip_assumptions.py",
    "contest/coalition_search.py",
)
"""Rooms and modules of the package that a search depends on."""

UNREAD = (
    *("arguments", "claim_tests", "claims", "coding_rules", "corrections", "second_coding"),
    *("challengers", "history_events", "hbm_supply", "packaging_supply", "prices", "sources"),
    *("startup_events", "switching_assumptions", "switching_cases"),
)
"""Tables that no search reads: how claims are judged, what happened, what is multiplied in afterwards."""


def folder() -> Path:
    """Where results are kept."""
    return paths.root() / "_build" / "remembered"


@lru_cache(maxsize=4)
def _tables(data: Path) -> list[Path]:
    """Files of the tables that a search could read."""
    return [table for table in sorted(data.glob("*.csv")) if table.stem not in UNREAD]


@lru_cache(maxsize=4)
def _fingerprint(root: Path) -> str:
    package = Path(training_moat.__file__).parent
    parts = [sorted({package / part, *(package / part).rglob("*.py")}) for part in CODE]
    files = [file for part in parts for file in part if file.is_file()]
    digest = hashlib.sha256()
    for file in [*files, *_tables(paths.data_folder())]:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def remembered(
    name: str, key: Sequence[object], compute: Callable[[], Sequence[float]]
) -> list[float]:
    """The numbers that `compute` gives for `key`, from disk where they were computed with the same code and tables.

    Chapters run side by side and ask for the same searches: one computes, the others wait for it.
    """
    # What is taken from disk rests on every table that the search could read.
    table_files.TOUCHED.update(table.name for table in _tables(paths.data_folder()))
    text = json.dumps([name, [str(part) for part in key], _fingerprint(paths.root())])
    file = folder() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    with _alone(file.with_suffix(".lock")):
        with contextlib.suppress(OSError, ValueError):
            return [float(value) for value in json.loads(file.read_text(encoding="utf-8"))]
        found = [float(value) for value in compute()]
        with contextlib.suppress(OSError):
            write_text(file, json.dumps(found))
        return found


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a file's lock where the folder can be written; the lock goes with the process, even a killed one."""
    handle = None
    with contextlib.suppress(OSError):
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
