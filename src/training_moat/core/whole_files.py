"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training_moat.core import file_locks


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Yield a temporary file next to `target`; it becomes `target` only when the block succeeds. What killed ones left there
    is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    begin = f".{target.name}.moat-"
    file_locks.sweep(target.parent, f"{glob.escape(begin)}????????")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=begin)
    try:
        with suppress(OSError):  # without locks its age alone tells
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
        os.close(handle)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all, its line ends as they are."""
    with beside(target) as fresh:
        fresh.write_text(text, encoding="utf-8", newline="")
