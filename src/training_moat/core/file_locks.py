"""Locks on files: they go with the process that holds them, even a killed one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


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
