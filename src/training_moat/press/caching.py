"""What an executed chapter depends on, as one hash: notebook, source, data, parameters, versions."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from training_moat.press.folders import BUILD, CHAPTERS, DATA, PACKAGE, ROOT, STATIC

CACHE = BUILD / "executed"
# Rooms that build pages but change no number of a notebook.
_NOT_RUN = ("press",)
_LIBRARIES = ("altair", "numpy", "pandas", "papermill", "scipy", "vl-convert-python")
_KEEP = 4


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


def run_files() -> list[Path]:
    """Files that an executed chapter can depend on."""
    tables = (path for path in DATA.rglob("*") if path.is_file())
    chapters = [*CHAPTERS.glob("*.ipynb"), CHAPTERS / "parameters.yml"]
    return [*package_files(run_rooms()), *tables, *chapters]


def book_files() -> list[Path]:
    """Files of the book that the site depends on besides: pages, configuration, static files."""
    static = [path for path in STATIC.rglob("*") if path.is_file()]
    return [*static, *CHAPTERS.glob("*.md"), ROOT / "_config.yml", ROOT / "_toc.yml"]


def building_files() -> list[Path]:
    """Source files of what builds the site and changes no number."""
    return package_files(_NOT_RUN)


def environment_key() -> str:
    """Hash of all that chapters share: package source, data tables, Python and library versions."""
    tables = [path for path in DATA.rglob("*") if path.is_file()]
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    parts = [digest_files(package_files(run_rooms()), PACKAGE), digest_files(tables, DATA)]
    return hashlib.sha256("\n".join([*parts, sys.version, *versions]).encode()).hexdigest()


def chapter_key(
    chapter: str, parameters: Mapping[str, Any], environment: str, scenario: str = ""
) -> str:
    """Hash that changes when the chapter has to run again. Stored outputs do not count."""
    notebook = json.loads((CHAPTERS / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    cells = [
        [cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("tags", [])]
        for cell in notebook["cells"]
    ]
    schema = (CHAPTERS / "parameters.yml").read_text(encoding="utf-8")
    content = [chapter, cells, dict(parameters), schema, environment, scenario]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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


def _digest(copy: Path) -> str:
    return hashlib.sha256(copy.read_bytes()).hexdigest()[:16]


def recall(chapter: str, key: str, target: Path) -> bool:
    """Copy the stored run of a chapter with this key to `target`; False when there is none.

    A stored copy that is not as it was stored is thrown away.
    """
    for copy in sorted(CACHE.glob(f"{chapter}-{key[:16]}-*.ipynb")):
        try:
            content = copy.read_bytes()
            if hashlib.sha256(content).hexdigest()[:16] == copy.stem.rsplit("-", 1)[1]:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                os.utime(copy)
                return True
            copy.unlink(missing_ok=True)
        except FileNotFoundError:  # another build has just removed it
            continue
    return False


def store(chapter: str, key: str, executed: Path) -> None:
    """Keep an executed copy under its key; its name holds the digest of its content."""
    copy = executed.with_suffix(".copy")  # in a folder that is swept, so that no half file stays
    copy.write_bytes(executed.read_bytes())
    CACHE.mkdir(parents=True, exist_ok=True)
    os.replace(copy, CACHE / f"{chapter}-{key[:16]}-{_digest(executed)}.ipynb")
    forget_others(chapter)


def forget_others(chapter: str, keep: int = _KEEP) -> None:
    """Keep the few newest executed copies of a chapter (scenarios alternate), delete older ones."""
    dated = []
    for path in CACHE.glob(f"{chapter}-{'?' * 16}-{'?' * 16}.ipynb"):
        try:
            dated.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue
    for _, old in sorted(dated, reverse=True)[keep:]:
        old.unlink(missing_ok=True)
