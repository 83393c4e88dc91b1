"""Where the project's files are: one root, found once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from training_moat.core.errors import InputError

MARK = Path("data") / "datapackage.json"
"""The file that tells the project's root from any other folder."""


def root() -> Path:
    """The project's root: `MOAT_ROOT` where set, else the nearest folder upwards from the working folder
    that holds `data/datapackage.json`, else the same search from this package's own file.

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
            if (folder / MARK).is_file():
                return folder
    raise InputError(
        f"no {MARK.as_posix()} found upwards from {working}; run inside the project or set MOAT_ROOT"
    )


def data_folder() -> Path:
    """The folder of the data tables."""
    return root() / "data"


@contextmanager
def at(folder: str | Path | None) -> Iterator[None]:
    """Make `folder` the project's root for a while; None leaves it as it is."""
    before = os.environ.get("MOAT_ROOT")
    if folder is not None:
        os.environ["MOAT_ROOT"] = str(folder)
    try:
        yield
    finally:
        if folder is not None:
            if before is None:
                del os.environ["MOAT_ROOT"]
            else:
                os.environ["MOAT_ROOT"] = before
