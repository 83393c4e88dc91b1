"""What an executed chapter depends on, as one hash: notebook, package source, data, parameters, versions."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from training_moat.press.folders import BUILD, CHAPTERS, DATA, PACKAGE, ROOT, write_text

CACHE = BUILD / "executed"
# Rooms whose source a notebook can reach; press and cli build pages but change no number.
_ROOMS = (
    "core",
    "catalog",
    "predict",
    "calibrate",
    "numerics",
    "inquiry",
    "contest",
    "claims",
    "figures",
)
_LIBRARIES = ("altair", "numpy", "pandas", "papermill", "scipy", "vl-convert-python")


def digest_files(files: Iterable[Path], root: Path = ROOT) -> str:
    """Hash of the names and contents of files."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path.relative_to(root)}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def environment_key() -> str:
    """Hash of everything all chapters share: package source, data tables, Python and library versions."""
    sources = [
        path
        for room in _ROOMS
        for path in (PACKAGE / room).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    ]
    tables = [path for path in DATA.rglob("*") if path.is_file()]
    versions = [f"{name} {metadata.version(name)}" for name in _LIBRARIES]
    parts = [digest_files(sources, PACKAGE), digest_files(tables, DATA), sys.version, *versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def chapter_key(
    chapter: str, parameters: Mapping[str, Any], environment: str, scenario: str = ""
) -> str:
    """Hash that changes when the chapter has to run again. Stored outputs of the notebook do not count."""
    notebook = json.loads((CHAPTERS / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    cells = [
        [cell["cell_type"], "".join(cell["source"]), cell.get("metadata", {}).get("tags", [])]
        for cell in notebook["cells"]
    ]
    schema = (CHAPTERS / "parameters.yml").read_text(encoding="utf-8")
    text = json.dumps(
        [chapter, cells, dict(parameters), schema, environment, scenario], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()


def cached(chapter: str, key: str) -> Path:
    """Where the executed copy of a chapter with this key is, or will be."""
    return CACHE / f"{chapter}-{key[:16]}.ipynb"


def forget_others(chapter: str, keep: int = 4) -> None:
    """Keep the few newest executed copies of a chapter (scenarios alternate), delete older ones."""
    copies = sorted(
        CACHE.glob(f"{chapter}-" + "?" * 16 + ".ipynb"),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for old in copies[keep:]:
        old.unlink(missing_ok=True)


def remember(name: str, key: str) -> None:
    """Note the key of something that was built, such as the site."""
    write_text(BUILD / f"{name}.key", key)


def remembered(name: str) -> str:
    """Key noted by `remember`, or nothing."""
    path = BUILD / f"{name}.key"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def name_of(folder: Path) -> str:
    """Short stable name for a folder, to note keys under."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:10]
