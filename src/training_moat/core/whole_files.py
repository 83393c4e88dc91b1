"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training_moat.core import file_locks

_LEFT_S = 60.0
"""Seconds after which a temporary file that nobody holds was left by a process that was killed at it."""


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Yield a temporary file next to `target`; it becomes `target` only when the block succeeds. What killed ones left there
    is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    begin = f".{target.name}.moat-"
    _sweep(target.parent, begin)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=begin)
    try:
        with suppress(OSError):  # on a file system without locks, its age alone tells
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(handle)


def _sweep(folder: Path, begin: str) -> None:
    """Remove the temporary files of one target that nobody writes any more."""
    for left in folder.glob(f"{glob.escape(begin)}????????"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime < _LEFT_S:
                continue
            handle = file_locks.held(left, wait=False)
            if handle is not None:
                left.unlink(missing_ok=True)
                os.close(handle)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all, its line ends as they are."""
    with beside(target) as fresh:
        fresh.write_text(text, encoding="utf-8", newline="")
