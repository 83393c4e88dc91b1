"""What an executed chapter depends on: notebook, parameters, source and versions, and the tables it asked for.

A stored run comes back while the first four are the same, and while the tables that it asked for, with
what a scenario lays over them, are: what a scenario does not touch is not run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from training_moat.core import editions
from training_moat.press.folders import (
    BUILD,
    CHAPTERS,
    DATA,
    PACKAGE,
    ROOT,
    SCENARIOS,
    STATIC,
    digest,
    digest_of,
)

CACHE = BUILD / "executed"
FOUND = BUILD / "found"
"""What runs worked out on their way (`catalog.lasting`), a folder for all that they could depend on."""
# Rooms that build pages but change no number of a notebook.
_NOT_RUN = ("press",)
_LIBRARIES = ("altair", "numpy", "pandas", "papermill", "scipy", "vl-convert-python")
_KEEP = 12
_KEEP_FOUND = 3


def digest_files(files: Iterable[Path], root: Path = ROOT) -> str:
    """Hash of the names and contents of files."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(root)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def package_files(rooms: Iterable[str]) -> list[Path]:
    """Source files of some rooms of the package."""
    found = (path for room in rooms for path in (PACKAGE / room).rglob("*"))
    return [path for path in found if path.is_file() and path.suffix != ".pyc"]


def run_rooms() -> list[str]:
    """Rooms whose source a notebook can reach."""
    return sorted(
        path.name
        for path in PACKAGE.iterdir()
        if path.is_dir() and path.name not in _NOT_RUN and any(path.glob("*.py"))
    )


def code_is_older() -> bool:
    """Whether the package's source was written since this process began: what it has imported may be an older edition, and
    what that finds must not pass for the new one's."""
    return editions.written_since_begun(PACKAGE.rglob("*.py"))


def run_files() -> list[Path]:
    """Files that an executed chapter can depend on."""
    tables = (path for path in DATA.rglob("*") if path.is_file())
    chapters = [*CHAPTERS.glob("*.ipynb"), CHAPTERS / "parameters.yml"]
    return [*package_files(run_rooms()), *tables, *chapters]


def book_files() -> list[Path]:
    """Files of the book that the site depends on besides, but for its pages: configuration, static files, the gallery's
    scenarios."""
    around = [path for folder in (STATIC, SCENARIOS) for path in folder.rglob("*")]
    return [
        *(path for path in around if path.is_file()),
        *CHAPTERS.glob("pages.yml"),
        *CHAPTERS.glob("recorded.yml"),
        ROOT / "_config.yml",
        ROOT / "_toc.yml",
    ]


def run_state() -> object:
    """State of all that an executed chapter can depend on; where two are equal, nothing was written in between."""
    return file_states(run_files())


def building_files() -> list[Path]:
    """Source files of what builds the site and changes no number."""
    return package_files(_NOT_RUN)


@dataclass(frozen=True)
class Inputs:
    """All that a run can depend on besides the chapter itself and its parameters.

    shared: hash of source, versions and the files of data/ that are no tables. tables: digest of each
    table's file by its name. rows: what a scenario lays over a table, as text, by the same name.
    """

    shared: str
    tables: Mapping[str, str]
    rows: Mapping[str, str] = field(default_factory=dict)

    def state(self, touched: Iterable[str] | None) -> str:
        """Hash of the tables that a run asked for, with the scenario's rows in them; None: of every one."""
        names = sorted({*self.tables, *self.rows} if touched is None else touched)
        content = [[name, self.tables.get(name), self.rows.get(name)] for name in names]
        return digest_of(content)


def inputs(rows: Mapping[str, str] | None = None) -> Inputs:
    """What runs can depend on now, with these rows of a scenario laid over the tables."""
    files = [path for path in DATA.rglob("*") if path.is_file()]
    tables = {
        path.relative_to(DATA).as_posix(): digest(path) for path in files if path.suffix == ".csv"
    }
    others = [path for path in files if path.suffix != ".csv"]
    parts = [
        digest_files(package_files(run_rooms()), PACKAGE),
        digest_files(others, DATA),
        *sorted(tables),
        sys.version,
        *(f"{name} {metadata.version(name)}" for name in _LIBRARIES),
    ]
    return Inputs(digest_of(parts), tables, rows or {})


def environment_key() -> str:
    """Hash of all that chapters share: package source, data tables, Python and library versions."""
    now = inputs()
    return digest_of([now.shared, now.state(None)])


def chapter_key(chapter: str, parameters: Mapping[str, Any], shared: str) -> str:
    """Hash that changes when the chapter has to run again whatever tables it asks for.

    Its prose and its stored outputs do not count. shared: of `Inputs`.
    """
    cells = [
        ["".join(cell["source"]), cell.get("metadata", {}).get("tags", [])]
        for cell in _cells(chapter)
        if cell["cell_type"] == "code"
    ]
    schema = (CHAPTERS / "parameters.yml").read_text(encoding="utf-8")
    content = [chapter, cells, dict(parameters), schema, shared]
    return digest_of(content)


def prose_key(chapter: str) -> str:
    """Hash of what a chapter holds besides the code that is run and its outputs."""
    cells = [
        [cell.get("id"), cell.get("metadata", {}), cell["cell_type"]]
        + ([] if cell["cell_type"] == "code" else [cell["source"]])
        for cell in _cells(chapter)
    ]
    return digest_of(cells)


def _cells(chapter: str) -> list[dict[str, Any]]:
    return json.loads((CHAPTERS / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]


def file_states(files: Iterable[Path]) -> frozenset[tuple[Any, ...]]:
    """State of files: where two are equal, none of them was written in between.

    A digest would not see an edit that was taken back while a chapter read the file; the time of
    the last change of the file's record does.
    """
    found = set()
    for path in files:
        try:
            now = os.stat(path)
        except FileNotFoundError:
            continue
        found.add((str(path), now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))
    return frozenset(found)


def recall(
    name: str, key: str, now: Inputs, target: Path, strict: bool = False
) -> dict[str, Any] | None:
    """Copy a stored run to `target`: of this key, whose tables are as they were. Returns what `store` noted of it, None
    when there is none.

    strict: only one that would have failed where a finding does not hold. A stored run that is not as
    it was stored is thrown away.
    """
    for stored in sorted(CACHE.glob(f"{name}-{key[:16]}-*.run")):
        try:
            head, _, content = stored.read_bytes().partition(b"\n")
            if _digest(head + b"\n" + content) != stored.stem.rsplit("-", 1)[1]:
                stored.unlink(missing_ok=True)
                continue
            note = json.loads(head)
            if note["state"] != now.state(note["touched"]) or (strict and not note["strict"]):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            os.utime(stored)
            return note
        except FileNotFoundError:  # another build has just removed it
            continue
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def store(
    name: str,
    key: str,
    now: Inputs,
    executed: Path,
    touched: Iterable[str] | None,
    strict: bool = False,
    prose: str = "",
) -> None:
    """Keep an executed copy with what it asked for and the `prose_key` of its notebook; the file's name holds the digest
    of its content."""
    asked = None if touched is None else sorted(touched)
    note = {"touched": asked, "state": now.state(asked), "strict": strict, "prose": prose}
    content = json.dumps(note).encode() + b"\n" + executed.read_bytes()
    copy = executed.with_suffix(".copy")  # in a folder that is swept, so that no half file stays
    copy.write_bytes(content)
    CACHE.mkdir(parents=True, exist_ok=True)
    os.replace(copy, CACHE / f"{name}-{key[:16]}-{_digest(content)}.run")
    forget_others(name)


def found_folder(now: Inputs) -> Path:
    """Where lies what runs found from these inputs."""
    return FOUND / digest_of([now.shared, now.state(None)])[:16]


def keep_found(left: Path, folder: Path) -> None:
    """Put what a run left to what others found before; the newest folders stay (scenarios alternate). Where the disk
    refuses, later runs work it out again."""
    with suppress(OSError):
        if not left.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        for file in left.iterdir():
            os.replace(file, folder / file.name)
        os.utime(folder)
        others = sorted(FOUND.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in others[_KEEP_FOUND:]:
            shutil.rmtree(old, ignore_errors=True)


def forget_others(name: str, keep: int = _KEEP) -> None:
    """Keep the newest stored runs of a chapter or page (scenarios alternate), delete older ones."""
    dated = []
    for path in CACHE.glob(f"{name}-{'?' * 16}-{'?' * 16}.*"):
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue
    for _, old in sorted(dated, reverse=True)[keep:]:
        old.unlink(missing_ok=True)
