"""The site: executed copies and pages laid out for Jupyter Book, built, checked for other hosts, swapped in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat

from training_moat.figures import offline
from training_moat.press import notebooks, pages
from training_moat.press.caching import digest_files
from training_moat.press.failures import WorkFailed
from training_moat.press.folders import BUILD, CHAPTERS, DATA, PACKAGE, ROOT, new_folder, write_text

STAGING = BUILD / "staging"
BOOK = BUILD / "book"
SITE = BUILD / "html"
STATIC = ROOT / "_static"
LOG = BUILD / "sphinx.log"
_ATTRIBUTE = re.compile(
    r"""<(?:script|link|img|iframe|source|audio|video|embed)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?(?:https?:)?//[^>]*""",
    re.I,
)


def source_key(executed: Mapping[str, Path]) -> str:
    """Hash of everything the site is made from."""
    book = [
        ROOT / "_config.yml",
        ROOT / "_toc.yml",
        *CHAPTERS.glob("*.md"),
        CHAPTERS / "parameters.yml",
        *STATIC.rglob("*"),
        *DATA.rglob("*"),
    ]
    code = [
        path
        for room in ("press", "figures")
        for path in (PACKAGE / room).rglob("*")
        if path.suffix != ".pyc"
    ]
    copies = " ".join(f"{name}:{path.name}" for name, path in executed.items())
    return " ".join(
        [
            *(
                digest_files(filter(Path.is_file, files), root)
                for files, root in ((book, ROOT), (code, PACKAGE))
            ),
            copies,
        ]
    )


def _shown(cell: nbformat.NotebookNode, number: int) -> list[str]:
    """Tags that decide how the page shows a code cell: preparation disappears, other code is folded."""
    known = notebooks.tags(cell)
    preparation = number == 0 or "parameters.check(" in cell.source
    return sorted({*known, "remove-cell" if preparation else "hide-input"})


def page_copy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The executed notebook as the page shows it: code folded, the first computed sentence marked as the answer."""
    answered, number = False, 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.metadata["tags"] = _shown(cell, number)
        number += 1
        alt = next(
            (
                output.data.get("text/plain", "")
                for output in cell.outputs
                if "image/png" in output.get("data", {})
            ),
            None,
        )
        if alt:
            cell.metadata["mystnb"] = {"image": {"alt": alt, "classes": "moat-print"}}
        prose = any("text/markdown" in output.get("data", {}) for output in cell.outputs)
        if prose and not answered:
            cell.metadata["tags"].append("answer")
            answered = True
    return notebook


def _synchronise(target: Path, text: str) -> None:
    """Write only what changed, so that Sphinx reads only what changed."""
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        write_text(target, text)


def stage(executed: Mapping[str, Path]) -> Path:
    """Lay out the book's source: executed notebooks, pages, data for download, static files."""
    for page in notebooks.toc_pages():
        name = Path(page).name
        if name in executed:
            copy = page_copy(notebooks.read(executed[name]))
            pages.name_sources(copy, f"chapters/{name}.ipynb")
            _synchronise(STAGING / f"{page}.ipynb", nbformat.writes(copy))
        else:
            text = (ROOT / f"{page}.md").read_text(encoding="utf-8")
            _synchronise(STAGING / f"{page}.md", pages.fill(text))
    for name in ("_toc.yml", "_config.yml"):
        _synchronise(STAGING / name, (ROOT / name).read_text(encoding="utf-8"))
    wanted = {f"{page}{ending}" for page in notebooks.toc_pages() for ending in (".ipynb", ".md")}
    for old in (STAGING / "chapters").iterdir():
        if f"chapters/{old.name}" not in wanted or not (ROOT / "chapters" / old.name).exists():
            old.unlink()
    shutil.copytree(DATA, STAGING / "data", dirs_exist_ok=True)
    if STATIC.exists():
        shutil.copytree(STATIC, STAGING / "_static", dirs_exist_ok=True)
    offline.write_assets(STAGING / "_static")
    return STAGING


def build(executed: Mapping[str, Path], target: Path = SITE) -> Path:
    """Build the site from executed notebooks and put it in place of the old one; returns index.html.

    Raises WorkFailed with the last lines of Sphinx's log when a page cannot be built or would load
    something from another host; the old site then stays as it was.
    """
    stage(executed)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(STAGING),
    ]
    options = ["--path-output", str(BOOK), "--warningiserror", "--keep-going"]
    with new_folder(target) as fresh:
        done = subprocess.run(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=os.environ | {"NO_COLOR": "1"},
        )
        write_text(LOG, done.stdout)
        if done.returncode:
            # Sphinx would skip the page it has read and say nothing about it the next time.
            shutil.rmtree(BOOK, ignore_errors=True)
            raise WorkFailed(
                f"the site could not be built: {_trouble(done.stdout)} (whole log in {LOG.relative_to(ROOT)})"
            )
        shutil.copytree(BOOK / "_build" / "html", fresh, dirs_exist_ok=True)
        shutil.copytree(DATA, fresh / "data", dirs_exist_ok=True)
        for address in other_hosts(fresh):
            raise WorkFailed(f"the site would load something from another host: {address}")
    return target / "index.html"


def _trouble(log: str) -> str:
    """What Sphinx complains of first, with the notebook's cell in place of its made-up line number."""
    lines = [
        line.strip() for line in log.splitlines() if re.search(r"WARNING|ERROR|[a-z]Error\b", line)
    ]
    said = (lines or log.strip().splitlines() or ["no output"])[0].replace(f"{STAGING}/", "")
    return re.sub(
        r"\.ipynb:(\d+)(?=:)", lambda match: f".ipynb, cell {int(match[1]) // 10_000}", said
    )


def other_hosts(site: Path) -> list[str]:
    """Every place where a page would load from another host (links a reader may follow do not count)."""
    found = []
    for page in sorted(site.rglob("*.html")):
        for hit in _ATTRIBUTE.findall(page.read_text(encoding="utf-8")):
            if "canonical" not in hit:
                found.append(f"{page.relative_to(site)}: {hit[:120]}")
    return found
