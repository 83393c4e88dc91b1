"""Folders of one process alone, and sweeping those whose process is gone.

Two builds of one checkout never write into the same place: each has a folder under `_build/work`
and holds a lock on it for as long as it lives. The lock goes with the process, even a killed one,
so whoever starts next can tell what is left over from what is in use.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training_moat.core import file_locks
from training_moat.press.folders import BUILD

WORK = BUILD / "work"
_LOCK, _NEW = ".lock", ".new"
_RANDOM = "?" * 12


@contextmanager
def workspace() -> Iterator[Path]:
    """Yield a fresh folder of this process; it is gone afterwards, and so is what killed ones left."""
    with own_folder(WORK, "") as folder:
        yield folder


@contextmanager
def own_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a fresh folder `<prefix><random>` in `parent` under a lock; sweep left ones of that prefix."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent, prefix)
    folder = parent / f"{prefix}{secrets.token_hex(6)}"
    lock = _locked(folder)
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _lock_path(folder).unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(folder.name + _LOCK)


def _locked(folder: Path) -> int | None:
    """Create the folder's lock already held: it gets the name that a sweeper looks for only then."""
    hidden = folder.with_name(f".{folder.name}{_NEW}")
    handle = file_locks.held(hidden)
    os.rename(hidden, _lock_path(folder))
    return handle


def sweep(parent: Path, prefix: str) -> None:
    """Remove folders of `own_folder` whose process is gone."""
    names = f"{glob.escape(prefix)}{_RANDOM}"
    file_locks.sweep(parent, f".{names}{_NEW}")
    for lock in parent.glob(f"{names}{_LOCK}"):
        with suppress(OSError):
            handle = file_locks.held(lock, wait=False)
            if handle is not None:  # else its process lives
                shutil.rmtree(lock.with_name(lock.name.removesuffix(_LOCK)), ignore_errors=True)
                lock.unlink(missing_ok=True)
                os.close(handle)
    for folder in parent.glob(names):
        if folder.is_dir() and not folder.is_symlink() and not _lock_path(folder).exists():
            shutil.rmtree(folder, ignore_errors=True)
