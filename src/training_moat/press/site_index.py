"""The index behind the site's search page, by pagefind: places in pages, in a form that browsers load in parts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from training_moat.press.failures import WorkFailed
from training_moat.press.workspace import workspace

FOLDER = "pagefind"
PAGES = "chapters/*.html"
_SECTION = re.compile(r'<section id=("[^"]*")>\s*((?:<span id="[^"]*"></span>)*<h[1-6])\b')
"""A section and its heading: pagefind takes a place from the heading alone."""
ARTICLE = "article.bd-article"
_BEGIN = '<article class="bd-article"'
WEIGHTS = {"challenger-": 0.25, "scenario-": 0.5, "references": 0.2}
"""Weight of pages, by how their names begin, where it is not one."""
LEFT_OUT = (
    *("details.hide", "details > pre", ".moat-sources", ".moat-download", ".moat-menus"),
    *(".headerlink", ".moat-here", ".moat-outside", "script", ".prev-next-footer"),
)
"""What is no answer to anybody's question: code, lists of sources, buttons."""
NEEDED = ("pagefind.js", "pagefind-worker.js", "pagefind-entry.json", "*.pf_meta", "wasm.*")
"""Files at the top of the index that a search loads; the rest are interfaces that the site does not use."""


def index(site: Path) -> None:
    """Index a finished site, further pages included. Raises WorkFailed where that fails."""
    target = site / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    with workspace() as folder:  # a killed build leaves nothing that the next one does not sweep
        for page in site.glob(PAGES):
            copy = folder / page.relative_to(site)
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(_prepared(page), encoding="utf-8")
        words = ["--site", str(folder), "--output-path", str(target), "--root-selector", ARTICLE]
        words += [word for selector in LEFT_OUT for word in ("--exclude-selectors", selector)]
        done = subprocess.run(
            [sys.executable, "-m", "pagefind", "--quiet", *words],
            capture_output=True, text=True, cwd=folder,
        )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise WorkFailed(f"the search index: {said[-1] if said else 'pagefind failed'}")
    needed = {path for pattern in NEEDED for path in target.glob(pattern)}
    for path in target.iterdir():
        if path.is_file() and path not in needed:
            path.unlink()


def _prepared(page: Path) -> str:
    """A page as it is indexed: places at their headings; pages of one chip and the list of sources come last."""
    text = _SECTION.sub(r"\2 id=\1", page.read_text(encoding="utf-8"))
    weight = next((value for start, value in WEIGHTS.items() if page.name.startswith(start)), None)
    return (
        text
        if weight is None
        else text.replace(_BEGIN, f'{_BEGIN} data-pagefind-weight="{weight}"')
    )
