"""What one build puts into the site besides the files of the book: executed copies, the reader's changes.

Sphinx runs in a process of its own, with the book's folder as its source; this is how it learns what to
show. Without an edition (plain `jupyter-book build .`) the site shows the outputs stored in `chapters/`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training_moat.press.markup import spelled
from training_moat.press.scenarios import Request

VARIABLE = "MOAT_EDITION"
"""Environment variable that names the edition's folder to the Sphinx extension."""

_ABOUT = "edition.json"


@dataclass(frozen=True)
class Edition:
    """The reader's title and description and what was changed; all empty for the book as published."""

    title: str = ""
    description: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def copy_of(self, chapter: str) -> Path | None:
        """Executed copy of a chapter, where this edition has one."""
        copy = self.folder / f"{chapter}.ipynb" if self.folder is not None else None
        return copy if copy is not None and copy.is_file() else None

    def words(self, only: str = "") -> str:
        """What is different here, in one line; empty for the book as published.

        only: a chapter whose name need not stand before each of its parameters.
        """
        if not self.title and not self.changed:
            return ""
        listed = "; ".join(
            f"{name.removeprefix(f'{only}.')} = {spelled(value, ', ')}"
            for name, value in self.changed.items()
        )
        described = f" ({self.description})" if self.description else ""
        return f"{self.title}{described}: run with {listed or 'the published settings'}"


def of(wanted: Request) -> Edition:
    """The edition of a request."""
    return Edition(wanted.title, wanted.description, wanted.changed)


def write(executed: Mapping[str, Path], wanted: Request, folder: Path) -> Path:
    """Lay an edition out in a folder, for `current` in Sphinx's process."""
    folder.mkdir(parents=True)
    for chapter, copy in executed.items():
        shutil.copyfile(copy, folder / f"{chapter}.ipynb")
    about = {name: value for name, value in asdict(of(wanted)).items() if name != "folder"}
    (folder / _ABOUT).write_text(json.dumps(about, default=str), encoding="utf-8")
    return folder


def current() -> Edition:
    """The edition that this process's environment names, else the book as stored."""
    named = os.environ.get(VARIABLE)
    if not named:
        return Edition()
    about = json.loads((Path(named) / _ABOUT).read_text(encoding="utf-8"))
    return Edition(**about, folder=Path(named))
