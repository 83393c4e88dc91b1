"""Locks on files: they go with the process that holds them, even a killed one."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LEFT_S = 60.0
"""Seconds after which a file that its process was to hold, and nobody holds, was left by one that was killed."""


def held(path: Path, wait: bool = True) -> int | None:
    """The open handle of a lock file, made where there is none; None where another process holds it, or no lock can be had.
    The lock lasts until every copy of the handle is closed, those of forks included. wait: for whoever holds it."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether no other process is in such a block over the same lock file, which is gone after it. Where no lock can be had,
    nobody is known to be."""
    handle, free = _first(path)
    try:
        yield free
    finally:
        if free:
            path.unlink(missing_ok=True)
        os.close(handle)


def _first(path: Path) -> tuple[int, bool]:
    """The open handle of a lock file, and whether nobody else holds it."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return handle, False
        except OSError:
            return handle, True
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle, True
        except FileNotFoundError:
            pass
        # Whoever held it has just removed it: this is no longer the file of that name.
        os.close(handle)


def sweep(folder: Path, pattern: str) -> None:
    """Remove files of a folder that processes were to hold and that killed ones left."""
    for left in folder.glob(pattern):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime < _LEFT_S:
                continue  # its process may be about to hold it
            handle = held(left, wait=False)
            if handle is not None:
                left.unlink(missing_ok=True)
                os.close(handle)
