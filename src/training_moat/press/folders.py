"""Where things are, and writing them so that nobody ever sees half of one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training_moat.catalog import paths
from training_moat.core.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
ROOT = paths.root()
CHAPTERS = ROOT / "chapters"
DATA = ROOT / "data"
BUILD = ROOT / "_build"

__all__ = [
    "BUILD",
    "CHAPTERS",
    "DATA",
    "PACKAGE",
    "ROOT",
    "beside",
    "new_folder",
    "output_folder",
    "write_text",
]


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Yield a temporary file next to `target`; it becomes `target` only when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with beside(target) as fresh:
        fresh.write_text(text, encoding="utf-8")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder next to `target`; it takes the place of `target` only when the block succeeds."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    old = fresh.with_name(fresh.name + ".old")
    try:
        yield fresh
        os.chmod(fresh, 0o755)
        if target.exists():
            os.replace(target, old)
        os.replace(fresh, target)
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def output_folder(name: str | None) -> Path:
    """Folder for results: the given one, else the current one. A file in its place is an error."""
    folder = Path(name or ".")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: this is a file; expected a folder.")
    return folder
