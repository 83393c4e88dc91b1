"""Where results may go: nothing is ever removed or replaced that we did not write ourselves.

A site carries a marker that names every file of it with its digest; a page or notebook of `moat
run`, or page of `moat compare`, carries its own digest. What has another file in it, or was changed since, is not ours.
What a site was made from and with (the key: Python and libraries count) is noted beside the caches and not
in it, so that the same commit gives the same site whatever made it.
"""

from __future__ import annotations

import ctypes
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from training_moat.core.errors import InputError
from training_moat.core.whole_files import write_text
from training_moat.press.folders import BUILD, CHAPTERS, ROOT, digest
from training_moat.press.workspace import own_folder

MARKER = ".moat-site"
"""File of every site we build: the digest of each of its files."""
NOTES = BUILD / "made"
"""A note for each place that a site was put in: its key, and the digest of its marker."""

_SEAL = re.compile(r"moat-seal:([0-9a-f]{64})")
UNSEALED = "moat-seal:" + "0" * 64
"""What a page or notebook carries until `sealed` puts its digest in."""

_OLD = "old"
_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE of renameat2, AT_FDCWD


def site_folder(name: str | Path, standard: bool = False) -> Path:
    """Where a site may be put: nothing there, an empty folder, or a site of ours as we left it.

    standard: the book's own place, which nobody chose: whatever stands there gives way, and `put_site`
    keeps it beside the new site unless it is a site of ours as we left it (pages that somebody
    changed, a build by hand that was killed, an edition without markers).
    Raises InputError, before anything is done, for any other place.
    """
    place = plain_place(name)
    _restore(place)
    for taken, words in ((ROOT, "the project"), (Path.cwd(), "the working folder")):
        if taken.resolve().is_relative_to(place.resolve()):
            raise InputError(
                f"--out {place}: holds {words}, and a site replaces its folder; give another."
            )
    if place.is_dir() and not standard and (stray := foreign(place)):
        raise InputError(
            f"--out {place}: '{stray}' in it was not written by `moat build`; give an empty folder."
        )
    refuse_mounted(place)
    refuse_read_only(place)
    return place


def page_folder(name: str | Path | None, chapter: str) -> Path:
    """Folder for a chapter's page and notebook; what stands there under their names must be ours.

    Raises InputError for a file or a link in its place, for the folder of the chapters
    themselves, and where it would replace a file that we did not write.
    """
    folder, place = Path(name or "."), plain_place(name)
    if place.resolve() == CHAPTERS.resolve():
        raise InputError(f"--out {folder}: holds the chapters themselves; give another folder.")
    for target in (place / f"{chapter}.ipynb", place / f"{chapter}.html"):
        if os.path.lexists(target) and not is_sealed(target):
            raise InputError(
                f"--out {folder}: {target.name} there is not as `moat run` writes it; "
                "move it away or give another folder."
            )
    refuse_read_only(place)
    return folder


def page_file(name: str | Path) -> Path:
    """Where `moat compare` may put its page: nothing there, or a page of ours as we left it. Raises InputError for any other
    place."""
    target = Path(name)
    if target.suffix != ".html" or target.is_dir():
        raise InputError(f"--out {target}: expected a file that ends in .html")
    place = plain_place(target.parent, f"--out {target}")
    if os.path.lexists(target) and not is_sealed(target):
        raise InputError(
            f"--out {target}: this file is not as `moat compare` writes it; move it away or give another name."
        )
    refuse_read_only(place, f"--out {target}")
    return target


def _restore(place: Path) -> None:
    """Put a site back that a killed `put_site` had moved aside and not yet replaced (see `_swap`)."""
    if not os.path.lexists(place):
        for old in place.parent.glob(f".{glob.escape(place.name)}.moat-*/{_OLD}"):
            os.rename(old, place)
            return


def plain_place(name: str | Path | None, asked: str = "") -> Path:
    """The absolute path of a folder that is there or can be made. Raises InputError for files and links.

    asked: what asks for it, as errors begin (default: the option `--out`).
    """
    place = Path(os.path.abspath(name or "."))
    asked = asked or f"--out {place}"
    try:
        linked = stat.S_ISLNK(os.lstat(place).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        linked = False
    except (OSError, ValueError) as error:
        raise InputError(f"{asked}: {getattr(error, 'strerror', None) or error}.") from None
    if linked:
        raise InputError(f"{asked}: this is a link; give the folder itself.")
    stands = next(folder for folder in (place, *place.parents) if os.path.lexists(folder))
    if not stands.is_dir():
        raise InputError(f"{asked}: {stands.name} is a file; expected a folder.")
    return place


def refuse_mounted(place: Path, asked: str = "") -> None:
    """Find out now that a folder can be filled, but not replaced by another."""
    if os.path.ismount(place):
        raise InputError(
            f"{asked or f'--out {place}'}: a disk is mounted there, whose folder cannot be replaced; give a folder in it."
        )


def refuse_read_only(place: Path, asked: str = "") -> None:
    """Find out now, not after the work, whether anything can be written there."""
    stands = next(folder for folder in (place, *place.parents) if folder.is_dir())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".moat-", dir=stands))  # the permissions alone do not tell
    except OSError:
        said = f"{asked or f'--out {place}'}: nothing can be written in {stands}."
        raise InputError(said) from None


def _files(folder: Path) -> Iterator[Path]:
    """Everything in a folder that is not a plain folder; links are not followed."""
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        for name in sorted([*names, *links]):
            yield Path(root, name)


def marker(folder: Path) -> dict:
    """What the marker of a site says; empty where there is none."""
    path = folder / MARKER
    try:
        said = {} if path.is_symlink() else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) and isinstance(said.get("files"), dict) else {}


def mark(folder: Path, leave_out: Collection[str] = ()) -> None:
    """Write a site's marker; `leave_out` names files that were there before and are not ours."""
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    ours = found.keys() - {MARKER, *leave_out}
    files = {name: digest(found[name]) for name in sorted(ours) if found[name].is_file()}
    text = json.dumps({"site": "The Training Moat", "files": files}, indent=0)
    (folder / MARKER).write_text(text + "\n", encoding="utf-8")


def all_foreign(folder: Path) -> Iterator[str]:
    """Files in the folder that are not of the site that its marker describes."""
    known = marker(folder).get("files", {})
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        ours = path.is_file() and not path.is_symlink()
        if not (ours and (known.get(name) == digest(path) or (known and name == MARKER))):
            yield name


def foreign(folder: Path) -> str | None:
    """The first of `all_foreign`, or None."""
    return next(all_foreign(folder), None)


def _note(folder: Path) -> Path:
    return NOTES / hashlib.sha256(os.path.abspath(folder).encode()).hexdigest()[:16]


def note(target: Path, key: str, made: Path) -> None:
    """Remember that what was put in the place of `target` is the site `made`, of this key."""
    write_text(_note(target), f"{key} {digest(made / MARKER)}")


def is_whole(folder: Path, key: str) -> bool:
    """Whether the folder holds the site of this key, every file as it was written."""
    said, noted = marker(folder), _note(folder)
    return (
        bool(said)
        and noted.is_file()
        and noted.read_text(encoding="utf-8") == f"{key} {digest(folder / MARKER)}"
        and foreign(folder) is None
        and all((folder / name).is_file() for name in said["files"])
    )


def put_site(made: Path, target: Path, key: str) -> None:
    """Put a finished site in the place of the old one, in one step, and note its key; the old one is then removed.

    A file there that is not as we wrote it keeps the old folder, renamed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with own_folder(target.parent, f".{target.name}.moat-") as beside:
        fresh = beside / "site"
        shutil.copytree(made, fresh)
        os.chmod(fresh, 0o755)
        _swap(fresh, target)
        if fresh.is_dir() and (stray := foreign(fresh)):
            kept = next(
                place
                for number in range(1, 10_000)
                if not (place := target.with_name(f"{target.name}.kept-{number}")).exists()
            )
            os.rename(fresh, kept)
            print(
                f"'{stray}' was not as `moat build` writes it; the folder that held it is now {kept}",
                file=sys.stderr,
            )
    note(target, key, made)  # of `made`: another build may have put its own site there by now


def _swap(fresh: Path, target: Path) -> None:
    """Exchange two folders in one step where the system can; what was the target is then at `fresh`."""
    if not target.exists():
        os.rename(fresh, target)
        return
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange and exchange(_HERE, os.fsencode(fresh), _HERE, os.fsencode(target), _EXCHANGE) == 0:
        return
    old = fresh.with_name(_OLD)
    os.rename(target, old)
    try:
        os.rename(fresh, target)
    except OSError:
        os.rename(old, target)
        raise
    os.rename(old, fresh)


def sealed(text: str) -> str:
    """The text with its own digest in the place that `UNSEALED` keeps for it."""
    return text.replace(UNSEALED, f"moat-seal:{hashlib.sha256(text.encode()).hexdigest()}", 1)


def is_sealed(path: Path) -> bool:
    """Whether a file is exactly as `sealed` made it: a plain file that nobody has changed since."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    found = _SEAL.search(text)
    return found is not None and sealed(text.replace(found[0], UNSEALED, 1)) == text
