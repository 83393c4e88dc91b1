"""Builds side by side, killed builds, foreign files: every site holds its own numbers and nothing is lost."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import hostile
import nbformat
import pytest
from browsing import served
from calling import environment, moat, moat_each, one_sentence
from small_book import change, make

from training_moat.press import notebooks
from training_moat.press.output import MARKER, is_sealed

pytestmark = pytest.mark.slow
SECRET = "Quagga 9000"
TITLE = "My own machine"
SCENARIO = {
    "title": f"{TITLE} {hostile.TITLE}",
    "description": hostile.DESCRIPTION,
    "chips": {"quagga": {"base": "h100-sxm", "name": SECRET, "hbm_gb": 777}, **hostile.CHIPS},
    "parameters": {"bars": {"chips": ["quagga", *hostile.CHIPS], "note": hostile.NAMES["tag"]}},
}

PUBLIC = "https://github.com/someone/moat"
WORDS = nbformat.v4.new_markdown_cell("Words to be found.", id="words")


def start(root, *arguments, verb="build"):
    """Begin a call in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "training_moat.cli", verb, *map(str, arguments)],
        cwd=root, env=environment(root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def files(site):
    """Every file of a site with its bytes."""
    found = (path for path in site.rglob("*") if path.is_file())
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in found}


def processes(root):
    """Processes that work on a book, as (number, command)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            said = (entry / "environ").read_bytes()
            if f"MOAT_ROOT={root}\0".encode() in said and int(entry.name) != os.getpid():
                found.append((entry.name, (entry / "cmdline").read_bytes().replace(b"\0", b" ")))
        except (OSError, ValueError):
            continue
    return found


def end_of(root, seconds=30):
    """Wait until no process works on the book any more."""
    until = time.monotonic() + seconds
    while (left := processes(root)) and time.monotonic() < until:
        time.sleep(0.2)
    assert left == []


def litter(root):
    """What builds leave besides the caches, the site, the log and the figures' scripts."""
    known = {"executed", "html", "made", "pages", "sphinx.log", "work"}
    build = root / "_build"
    left = [
        path.name
        for path in build.iterdir()
        if path.name not in known and "assets" not in path.name
    ]
    return (
        left
        + [path.name for path in (build / "work").iterdir()]
        + [path.name for path in build.rglob(".*.ipynb*")]
    )


def kill_at(root, seconds, *arguments, verb="build"):
    """Kill a call, and nothing but it, after so many seconds; returns whether it was still at work."""
    process = start(root, *arguments, verb=verb)
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    finally:
        process.stdout.close()
        process.stderr.close()


def side_by_side(root, folder, gap=0.0):
    """The book as published and a private scenario, built at once; returns both sites."""
    scenario = folder / "mine.yaml"
    scenario.write_text(json.dumps(SCENARIO))
    one = start(root)
    time.sleep(gap)
    two = start(root, "--scenario", scenario, "--out", folder / "private")
    for process in (one, two):
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    return root / "_build" / "html", folder / "private"


def check_own(public, private):
    """Each site holds its own numbers, and the public one nothing of the private."""
    for name, content in files(public).items():
        assert SECRET.encode() not in content and b"quagga" not in content.lower(), name
        assert TITLE.encode() not in content, name
    mine = files(private)
    assert (
        b'"hbm": 777' in mine["chapters/bars.html"]
        and b'"hbm": 777' not in files(public)["chapters/bars.html"]
    )
    assert SECRET.encode() in mine["searchindex.js"] or b"quagga" in mine["searchindex.js"]
    for name in (
        "chapters/bars.html",
        "chapters/verdict.html",
        "chapters/references.html",
        "chapters/rerun.html",
    ):
        assert TITLE.encode() in mine[name], f"the banner is missing on {name}"
    assert b"quagga" in mine["_sources/chapters/bars.ipynb"], (
        "the notebook offered is the one that was run"
    )


@pytest.fixture(scope="module", autouse=True)
def public():
    """The repository that these books are published from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOAT_REPOSITORY", PUBLIC + "/")
        yield


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of our own, after a build that was killed at work."""
    root = make(tmp_path_factory.mktemp("builds") / "book")
    assert kill_at(root, 2)
    end_of(root)
    return root


@pytest.fixture(scope="module")
def both(book, tmp_path_factory):
    """The public and the private site, built at once."""
    return side_by_side(book, tmp_path_factory.mktemp("private"))


def test_a_killed_build_leaves_no_process_and_no_litter(book, both):
    assert litter(book) == []


def test_two_builds_at_once_hold_their_own_numbers(both):
    check_own(*both)


@pytest.mark.parametrize("name", ["bars", "verdict"])
def test_a_page_of_the_private_site_runs_nothing(name, browser, both):
    with served(both[1]) as address:
        words = hostile.check(browser, address, f"chapters/{name}.html")
    assert SCENARIO["title"] in words, "the banner shows the title as text"


@pytest.mark.parametrize("chapter", ["bars", "verdict"])
def test_each_chapter_of_a_public_book_opens_on_binder_and_colab(chapter, both):
    pages = both[0] / "chapters"
    text, file = (
        (pages / f"{chapter}.html").read_text(encoding="utf-8"),
        f"chapters/{chapter}.ipynb",
    )
    assert f"https://mybinder.org/v2/gh/someone/moat/main?urlpath=lab/tree/{file}" in text
    assert f"https://colab.research.google.com/github/someone/moat/blob/main/{file}" in text
    assert f'href="{PUBLIC}"' in text
    assert "mybinder" not in (pages / "references.html").read_text(encoding="utf-8")


def executed(root):
    return {path.name: path.stat().st_ino for path in (root / "_build" / "executed").glob("*.run")}


def test_nothing_has_changed_is_said_of_a_site_as_it_is(book, both):
    public, _ = both
    copies, stamp = executed(book), (public / "index.html").stat().st_mtime_ns
    again = moat("build", root=book)
    assert again.returncode == 0 and "nothing has changed" in again.stderr
    assert again.stdout.strip() == (public / "index.html").as_uri()
    assert executed(book) == copies and (public / "index.html").stat().st_mtime_ns == stamp


@pytest.fixture(scope="module")
def reworded(book, both):
    """The site after words were added to a page, its title was changed and a file of the site was lost."""
    path = book / "chapters" / "bars.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(WORDS)
    notebook.cells[0].source = "# Other bars"
    nbformat.write(notebook, path)
    (both[0] / "index.html").unlink()
    done = moat("build", root=book)
    assert done.returncode == 0 and "chapters:" not in done.stderr, "words run no chapter again"
    return files(both[0])


def test_what_has_not_changed_is_left(book, reworded):
    assert b"Words to be found" in reworded["chapters/bars.html"]
    assert "0 added, 2 changed" in (book / "_build" / "sphinx.log").read_text()
    assert b"Other bars" in reworded["chapters/references.html"], "every page lists all titles"
    assert "index.html" in reworded, "what is missing comes back"


def test_jupyter_book_by_hand_elsewhere_gives_the_same_site_from_stored_outputs(
    book, reworded, tmp_path
):
    """And a site of which some pages were left is that of a fresh build."""
    other = tmp_path / "deeper" / "copy"
    shutil.copytree(book, other, ignore=shutil.ignore_patterns("_build"))
    for path in (other / "chapters").glob("*.ipynb"):  # as `moat refresh` stores outputs
        run = nbformat.reads(reworded[f"_sources/chapters/{path.name}"].decode(), as_version=4)
        notebooks.write(notebooks.normalised(run), path)
    command = "from jupyter_book.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "build", ".", "-W", "--keep-going"],
        cwd=other, env=environment(other), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made = files(other / "_build" / "html")
    paths = {".buildinfo"}  # a hash of paths that `moat build` leaves out
    assert reworded.keys() == made.keys() - paths
    stored = {name for name in made if name.startswith("_sources/") and name.endswith(".ipynb")}
    differ = {name for name in reworded if reworded[name] != made[name]}
    assert differ - stored <= {MARKER}
    told, here = (json.loads(site[MARKER])["files"] for site in (reworded, made))
    assert {name for name in told if told[name] != here[name]} <= stored
    assert here.keys() - told.keys() == paths


def test_a_failing_chapter_leaves_the_site_and_a_changed_table_runs_every_chapter_again(
    book, both, reworded
):
    """The book's own place never has to be cleared by hand: what somebody changed there is kept beside it."""
    index = both[0] / "index.html"
    page = index.parent / "chapters" / "bars.html"
    references = (page.parent / "references.html").read_text(encoding="utf-8")
    before, stamp, copies = (
        page.read_text(encoding="utf-8"),
        index.stat().st_mtime_ns,
        executed(book),
    )
    key = re.search(r'references\.html#source-([^"]+)"', before)[1]
    assert f'id="source-{key}"' in references

    path = book / "chapters" / "bars.ipynb"
    notebook = change(path, "catalog = tables.load", "catalog = missing; tables.load")
    failed = moat("build", root=book)
    assert failed.returncode == 1 and failed.stdout == ""
    assert "chapter 'bars', cell 5: NameError: name 'missing' is not defined" in failed.stderr
    assert page.read_text(encoding="utf-8") == before and index.stat().st_mtime_ns == stamp
    path.write_text(notebook, encoding="utf-8")

    change(book / "data" / "chips.csv", "H100 SXM", "H100 SXM renamed")
    script = index.parent / "_static" / "moat-figures.js"
    script.write_text("of another edition")
    changed = moat("build", root=book)
    assert changed.returncode == 0, changed.stderr
    fresh = {name.split("-")[0] for name in executed(book).keys() - copies.keys()}
    assert fresh == {"bars", "verdict"}, "a changed table makes every chapter run again"
    assert not [left for left in (book / "_build").iterdir() if left.name.startswith(".html")]
    kept = book / "_build" / "html.kept-1"
    assert str(kept) in changed.stderr and script.read_text() != "of another edition"
    assert (kept / "_static" / script.name).read_text() == "of another edition"


def test_a_folder_with_somebody_elses_file_is_refused_before_any_work(book, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.txt").write_text("years of work")
    places = ["site", ".", str(book.parent)]
    for done in moat_each([(tmp_path, ["build", "--out", place]) for place in places], book):
        one_sentence(done)
        assert "chapters:" not in done.stderr
    assert (tmp_path / "site" / "thesis.txt").read_text() == "years of work"


def main():
    """The long form: `PYTHONPATH=tests:tools python tests/faults/test_builds.py 20 30` builds 20 pairs and kills 30 builds."""
    import tempfile

    pairs, kills = (int(word) for word in sys.argv[1:3])
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        root = make(Path(folder) / "book")
        assert pairs or moat("build", root=root).returncode == 0
        for number in range(pairs):
            gap = (0, 0.5, 1, 2, 4, 8)[number % 6]
            mine = Path(folder) / f"pair-{number}"
            mine.mkdir()
            for copy in (root / "_build" / "executed").glob("*"):
                copy.unlink()
            check_own(*side_by_side(root, mine, gap))
            print(f"pair {number + 1}: {gap} s apart, right", flush=True)
        good = files(root / "_build" / "html")
        for number in range(kills):
            for copy in (root / "_build" / "executed").glob("*"):
                copy.unlink()
            seconds = chance.uniform(0.2, 12)
            at_work = kill_at(root, seconds)
            assert files(root / "_build" / "html") == good
            end_of(root)
            print(f"kill {number + 1}: after {seconds:.1f} s, at work: {at_work}", flush=True)
        mine = Path(folder) / "mine"
        for number in range(kills):
            seconds = chance.uniform(0.2, 8)
            at_work = kill_at(root, seconds, "bars", "--out", mine, verb="run")
            left = {path.name: path for path in mine.glob("*")} if mine.exists() else {}
            assert set(left) <= {"bars.html", "bars.ipynb"} and all(map(is_sealed, left.values()))
            end_of(root)
            print(
                f"kill of a run {number + 1}: after {seconds:.1f} s, at work: {at_work}", flush=True
            )
        assert moat("run", "bars", "--out", mine, root=root).returncode == 0
        assert moat("build", root=root).returncode == 0
        assert files(root / "_build" / "html") == good and litter(root) == []
        other = make(Path(folder) / "deeper" / "copy")
        assert moat("build", root=other).returncode == 0
        assert files(other / "_build" / "html") == good
        print("the same book in another folder: the same site, byte for byte", flush=True)
    print("all right")


if __name__ == "__main__":
    main()
