"""The site: built by Jupyter Book from the book's folder and executed copies, checked for other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from training_moat.press import caching, edition, finishing
from training_moat.press.failures import WorkFailed
from training_moat.press.folders import BUILD, CHAPTERS, PACKAGE, ROOT, digest, digest_of
from training_moat.press.scenarios import Request
from training_moat.press.shelf import Place

SITE = BUILD / "html"
LOG = BUILD / "sphinx.log"
_BUILDERS = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme")
_ATTRIBUTE = re.compile(
    r"""<(?:script|link|img|iframe|source|audio|video|embed)\b[^>]*?\b(?:src|href|data)\s*=\s*["']?(?:https?:)?//[^>]*""",
    re.I,
)
_PICTURE = re.compile(rb"_images/([^\"'?#]+)")
# Sphinx in a process that ends with ours.
_SPHINX = (
    "import sys; from training_moat.core import processes; processes.follow(int(sys.argv.pop(1)));"
    "from jupyter_book.cli.main import main; main()"
)


def surroundings(wanted: Request) -> str:
    """Hash of the content of all that any page can depend on besides its own file and run."""
    parts = [
        caching.environment_key(),
        caching.digest_files(caching.book_files()),
        caching.digest_files(caching.building_files(), PACKAGE),
        [metadata.version(name) for name in _BUILDERS],
        edition.words(wanted),
        finishing.address(),
        finishing.repository(),
    ]
    return digest_of(parts)


def key(executed: Mapping[str, Path], around: str) -> str:
    """Hash of the content of everything the site is made from. around: what `surroundings` gives."""
    copies = {name: digest(path) for name, path in executed.items()}
    return digest_of([around, caching.digest_files(CHAPTERS.glob("*.md")), copies])


def render(executed: Mapping[str, Path], wanted: Request, work: Path, place: Place) -> Path:
    """Build the site, with a folder of this process alone for work, in its place; returns the folder of its pages.

    Raises WorkFailed with the first trouble of Sphinx's log when a page cannot be built or would
    load something from another host.
    """
    shown = edition.write(executed, wanted, work / "edition")
    done = subprocess.run(
        [
            *(sys.executable, "-c", _SPHINX, str(os.getpid()), "build", str(ROOT)),
            *("--path-output", str(place.folder), "--warningiserror", "--keep-going"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
        pass_fds=place.handles,
        env=os.environ | {"NO_COLOR": "1", "PYTHONUTF8": "1", edition.VARIABLE: str(shown)},
    )
    (work / LOG.name).write_text(done.stdout, encoding="utf-8")
    os.replace(work / LOG.name, LOG)
    if done.returncode:
        said = _trouble(done.stdout)
        raise WorkFailed(f"the site could not be built: {said} (whole log in {LOG})")
    made = place.folder / "_build" / "html"
    # A hash of this machine's paths, for Sphinx alone.
    (made / ".buildinfo").unlink(missing_ok=True)
    _without_left_pictures(made)
    for address in other_hosts(made):
        raise WorkFailed(f"the site would load something from another host: {address}")
    return made


def _without_left_pictures(site: Path) -> None:
    """Remove the pictures that pages showed before they changed."""
    shown = {name for page in site.rglob("*.html") for name in _PICTURE.findall(page.read_bytes())}
    for picture in (site / "_images").glob("*"):
        if os.fsencode(picture.name) not in shown:
            picture.unlink()


def _trouble(log: str) -> str:
    """What Sphinx complains of first, with the notebook's cell in place of its made-up line number."""
    lines = log.strip().splitlines()
    bad = [line.strip() for line in lines if re.search(r"WARNING|ERROR|[a-z]Error\b", line)]
    said = (bad or lines or ["no output"])[0].replace(f"{ROOT}/", "")
    cell = re.compile(r"\.ipynb:(\d+)(?=:)")
    return cell.sub(lambda match: f".ipynb, cell {int(match[1]) // 10_000}", said)


def other_hosts(site: Path) -> list[str]:
    """Every place where a page would load from another host (links a reader may follow do not count)."""
    found = []
    for page in sorted(site.rglob("*.html")):
        for hit in _ATTRIBUTE.findall(page.read_text(encoding="utf-8")):
            if "canonical" not in hit:
                found.append(f"{page.relative_to(site)}: {hit[:120]}")
    return found
