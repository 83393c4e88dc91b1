"""Pages kept from build to build: what has not changed is neither read nor written again.

Sphinx keeps what it knows of a book beside the pages that it made. Such a folder serves one set of surroundings (code,
tables, configuration; pages themselves may change) and one build at a time. A build marks it as sound when it is
through, with a digest of all that is in it: one that was killed, or that something went wrong in, leaves none that
another would go on with, and neither does a disk that lost a file since.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training_moat.core import file_locks
from training_moat.core.whole_files import write_text
from training_moat.press.folders import BUILD, ROOT, digest

SHELF = BUILD / "pages"
_SOUND, _LOCK = "sound", ".lock"
_KEEP = 2
"""Folders that are kept: those of the book, and of the scenario that was built last."""


@dataclass(frozen=True)
class Place:
    """A folder for Sphinx. handles: open locks, which whoever writes there has to hold as well."""

    folder: Path
    handles: tuple[int, ...] = ()

    def settle(self) -> None:
        """Say that all in the folder belongs together: another build may go on with it."""
        if self.handles:
            write_text(self.folder / _SOUND, _contents(self.folder))
            _forget_others(self.folder)


@contextmanager
def place(key: str, work: Path) -> Iterator[Place]:
    """Yield the kept folder of some surroundings, empty where none is sound; one in `work` while another build has it."""
    SHELF.mkdir(parents=True, exist_ok=True)
    # Sphinx remembers where the book lay; what was kept is of no use to a copy elsewhere.
    kept = SHELF / hashlib.sha256(f"{ROOT}\0{key}".encode()).hexdigest()[:16]
    lock = _locked(kept)
    if lock is None:
        yield Place(work / "book")
        return
    try:
        if not _is_sound(kept):
            shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(exist_ok=True)
        (kept / _SOUND).unlink(missing_ok=True)
        yield Place(kept, (lock,))
    finally:
        os.close(lock)


def _contents(folder: Path) -> str:
    """A digest of the names and bytes of all files in a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / _SOUND:
            found.update(f"{path.relative_to(folder)}\0{digest(path)}\n".encode())
    return found.hexdigest()


def _is_sound(kept: Path) -> bool:
    """Whether a build that was through left the folder, as it is now."""
    said = kept / _SOUND
    return said.is_file() and said.read_text(encoding="utf-8", errors="replace") == _contents(kept)


def _locked(kept: Path) -> int | None:
    """The folder's lock, held, which goes with the last process that holds it; None while another build does."""
    return file_locks.held(kept.with_name(kept.name + _LOCK), wait=False)


def _forget_others(own: Path) -> None:
    """Remove the folders that were used longest ago, unless a build has them."""
    others = [path for path in SHELF.iterdir() if path.is_dir() and path != own]
    for old in sorted(others, key=lambda path: path.stat().st_mtime_ns)[: -(_KEEP - 1)]:
        lock = _locked(old)
        if lock is not None:
            shutil.rmtree(old, ignore_errors=True)
            os.close(lock)
