"""What one build puts into the site besides the files of the book: executed copies, the reader's changes.

Sphinx runs in a process of its own, with the book's folder as its source; this is how it learns what to
show. Without an edition (plain `jupyter-book build .`) the site shows the outputs stored in `chapters/`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training_moat.press.markup import spelled
from training_moat.press.scenarios import Request

VARIABLE = "MOAT_EDITION"
"""Environment variable that names the edition's folder to the Sphinx extension."""

_ABOUT = "edition.json"


@dataclass(frozen=True)
class Edition:
    """The reader's title and what is different, in words; both empty for the book as published."""

    title: str = ""
    words: str = ""
    folder: Path | None = None

    def copy_of(self, chapter: str) -> Path | None:
        """Executed copy of a chapter, where this edition has one."""
        copy = self.folder / f"{chapter}.ipynb" if self.folder is not None else None
        return copy if copy is not None and copy.is_file() else None


def words(wanted: Request, only: str = "") -> str:
    """What is different in a request, in one line; empty for the book as published.

    only: a chapter whose name need not stand before each of its parameters.
    """
    if not wanted.title:
        return ""
    listed = "; ".join(
        f"{name.removeprefix(f'{only}.')} = {spelled(value, ', ')}"
        for name, value in wanted.changed.items()
    )
    described = f" ({wanted.description})" if wanted.description else ""
    return f"{wanted.title}{described}: run with {listed or 'the published settings'}"


def write(executed: Mapping[str, Path], wanted: Request, folder: Path) -> Path:
    """Lay an edition out in a folder, for `current` in Sphinx's process."""
    folder.mkdir(parents=True)
    for chapter, copy in executed.items():
        shutil.copyfile(copy, folder / f"{chapter}.ipynb")
    about = {"title": wanted.title, "words": words(wanted)}
    (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return folder


def current() -> Edition:
    """The edition that this process's environment names, else the book as stored."""
    named = os.environ.get(VARIABLE)
    if not named:
        return Edition()
    about = json.loads((Path(named) / _ABOUT).read_text(encoding="utf-8"))
    return Edition(**about, folder=Path(named))
