"""`moat new`: the book's own files in a folder of the reader's, to change and to run again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from training_moat.catalog import paths
from training_moat.core.errors import InputError
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
        for part in (ROOT / part for part in paths.PARTS):
            hidden = shutil.ignore_patterns(".*", "__pycache__")
            if part.is_dir():
                shutil.copytree(
                    part, fresh / part.name, ignore=hidden, copy_function=shutil.copyfile
                )
            else:
                shutil.copyfile(part, fresh / part.name)
        try:
            os.rename(fresh, place)
        except OSError:
            raise InputError(f"new {name}: something has come there meanwhile.") from None
    return place


def _free(name: str) -> Path:
    """The absolute path, if a folder may be made there or an empty one stands there."""
    place = Path(os.path.abspath(name))
    if not name.isprintable():
        raise InputError(f"new {name}: expected a name of letters that can be read.")
    if place.is_symlink():
        raise InputError(f"new {name}: this is a link; give the folder itself.")
    stands = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if not stands.is_dir():
        raise InputError(f"new {name}: {stands} is a file; expected a folder.")
    if stands == place and any(place.iterdir()):
        raise InputError(f"new {name}: the folder is not empty; give a new or an empty one.")
    target = place.parent if stands == place else stands
    if not os.access(target, os.W_OK | os.X_OK):
        raise InputError(f"new {name}: nothing can be written in {target}.")
    return place
