"""Where the project's files are: one root, found once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from training_moat.core.errors import InputError
from training_moat.core.surroundings import environment

NAME = "training-moat"
"""The project's name, as its data package gives it."""

CARRIED = Path(__file__).resolve().parents[1] / "book"
"""Data and chapters inside an installed package."""

PARTS = (
    *("chapters", "data", "experiments", "scenarios", "sweeps", "_static"),
    *("_config.yml", "_toc.yml", "LICENSE-DATA"),
)
"""What the book is made of besides the package: a wheel carries it, `moat new` unpacks it."""

MARK = Path("data") / "datapackage.json"
"""The file that tells the project's root from any other folder."""


def root() -> Path:
    """The project's root: `MOAT_ROOT` where set, else the nearest folder upwards from the working folder
    that holds this project's `data/datapackage.json`, else the same search from this package's own file,
    else the copy of the book that an installed package carries.

    Raises InputError when no such folder exists.
    """
    return _found(os.environ.get("MOAT_ROOT"), os.getcwd())


@lru_cache(maxsize=64)
def _found(named: str | None, working: str) -> Path:
    """The root for these settings; every table look-up asks, so the search is done once for each."""
    if named:
        folder = Path(working, named).resolve()
        if not (folder / MARK).is_file():
            raise InputError(
                f"MOAT_ROOT={named}: no {MARK.as_posix()} there; expected the project's root folder"
            )
        return folder
    for start in (Path(working), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if _is_ours(folder / MARK):
                return folder
    if (CARRIED / MARK).is_file():
        return CARRIED
    raise InputError(
        f"no {MARK.as_posix()} of this project found upwards from {working}; run inside the project or set MOAT_ROOT"
    )


def _is_ours(mark: Path) -> bool:
    """Whether a data package is this project's: many projects have a file of that name."""
    try:
        head = mark.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(rf'"name"\s*:\s*"{NAME}"', head) is not None


def build_folder() -> Path:
    """The folder for everything that is made and can be made again: `_build` in a checkout, else the user's cache."""
    home = root()
    if home == CARRIED or not os.access(home, os.W_OK):
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache) / NAME
    return home / "_build"


def data_folder() -> Path:
    """The folder of the data tables."""
    return inside(root(), "data")


@lru_cache(maxsize=256)
def inside(folder: Path, name: str) -> Path:
    """A path in a folder: every look-up in a table asks for one, and always for the same few."""
    return folder / name


@contextmanager
def at(folder: str | Path | None) -> Iterator[None]:
    """Make `folder` the project's root for a while; None leaves it as it is."""
    with environment({} if folder is None else {"MOAT_ROOT": str(folder)}):
        yield
