"""`moat new`: the book's own files in a folder of the reader's, to change and to run again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from training_moat.catalog import paths
from training_moat.core.errors import InputError
from training_moat.press import output
from training_moat.press.folders import ROOT
from training_moat.press.workspace import own_folder


def unpack(name: str) -> Path:
    """Copy the book into a new or empty folder, whole or not at all; returns the folder.

    Raises InputError for a folder with anything in it, a file, a link and a place that cannot be written.
    """
    place = _free(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    with own_folder(place.parent, f".{place.name}.moat-") as beside:
        fresh = beside / "book"
        hidden = shutil.ignore_patterns(".*", "__pycache__")
        for part in (ROOT / part for part in paths.PARTS):
            copy = fresh / part.name
            if part.is_dir():
                shutil.copytree(part, copy, ignore=hidden, copy_function=shutil.copyfile)
            else:
                shutil.copyfile(part, copy)
        _into_place(fresh, place, name)
    return place


def _into_place(fresh: Path, place: Path, name: str) -> None:
    """Put the whole folder there, by its parts into the working folder: a shell that stands in it stays."""
    try:
        if place != Path.cwd():
            os.rename(fresh, place)
            return
        for part in fresh.iterdir():
            os.rename(part, place / part.name)
    except OSError:
        raise InputError(f"new {name}: something has come there meanwhile.") from None


def _free(name: str) -> Path:
    """The absolute path, if a folder may be made there or an empty one stands there."""
    if not name:
        raise InputError("new: the folder has no name; `.` is the one you are in.")
    if not name.isprintable():
        raise InputError(f"new {name}: expected a name of letters that can be read.")
    place = output.plain_place(name, f"new {name}")
    if place.is_dir() and any(place.iterdir()):
        raise InputError(f"new {name}: the folder is not empty; give a new or an empty one.")
    output.refuse_mounted(place, f"new {name}")
    output.refuse_read_only(place.parent, f"new {name}")
    return place
