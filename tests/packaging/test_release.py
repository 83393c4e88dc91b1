"""A release is the same bytes whoever makes it, whenever and wherever; its wheel alone, in an empty environment, answers in
any folder and unpacks the book to run it again. One module, so that one process makes the releases."""

import json
import os
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from calling import moat, one_sentence

from training_moat import __version__
from training_moat.catalog.paths import PARTS

ROOT = Path(__file__).resolve().parents[2]
CASE = '{"model": "llama3.1-70b", "chip": "h100-sxm", "chips": 64}\n'
ASKED = """
import sys
from training_moat import chips, models, predict
assert predict.__file__.startswith(sys.prefix) and len(chips.frame()) > 50 and len(models.frame()) > 50
print(predict.training_step("llama3.1-70b", "h100-sxm", 64)["step_time_s"])
"""


def hidden_files(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.fixture(params=["an empty folder", "somebody else's data package"])
def folder(request, tmp_path):
    if "else" in request.param:
        (tmp_path / "data").mkdir()
        other = {"name": "another", "resources": []}
        (tmp_path / "data" / "datapackage.json").write_text(json.dumps(other))
    return tmp_path


@pytest.fixture
def call(empty_environment, folder, tmp_path_factory):
    """A function that runs a program of the empty environment in the folder."""
    cache = tmp_path_factory.mktemp("cache")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    kept |= {"HOME": str(cache), "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}

    def run(program, *arguments, stdin="", cwd=folder):
        return subprocess.run(
            [empty_environment / "bin" / program, *arguments], input=stdin,
            capture_output=True, text=True, cwd=cwd, env=kept, check=False, timeout=600,
        )  # fmt: skip

    return run


@pytest.mark.slow
def test_it_answers_in_any_folder(call, folder):
    before = sorted(folder.rglob("*"))
    chips = call("moat", "chips", "sn40l")
    assert chips.returncode == 0 and "sn40l" in chips.stdout, chips.stderr
    if before:  # where the folder could mislead, each way to ask
        told = call("moat", "predict", "training", stdin=CASE)
        assert told.returncode == 0, told.stderr
        asked = call("python", "-c", ASKED)
        assert asked.returncode == 0, asked.stderr
        assert float(asked.stdout) == json.loads(told.stdout)["step_time_s"]
        wanted = ["--model", "llama3.1-70b", "--chip", "h100-sxm", "--chips", "64", "--top", "2"]
        searched = call("moat", "search", *wanted)
        assert searched.returncode == 0, searched.stderr
    assert sorted(folder.rglob("*")) == before, "asking leaves nothing behind"


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["somebody else's data package"], indirect=True)
def test_it_unpacks_and_runs_the_book(call, folder):
    made = call("moat", "new", "my book")
    book = folder / "my book"
    assert made.returncode == 0 and made.stdout == f"{book}\n", made.stderr
    assert {path.name for path in book.iterdir()} == set(PARTS)
    assert hidden_files(folder) == []
    ran = call("moat", "run", "history", "-p", "from_year=2020", "--out", "mine", cwd=book)
    assert ran.returncode == 0 and (book / "mine" / "history.html").exists(), ran.stderr
    again = call("moat", "new", "my book")
    assert again.returncode == 2 and "is not empty" in again.stderr
    # MOAT_LONG: the whole book, minutes.
    if os.environ.get("MOAT_LONG"):
        site = call("moat", "build", cwd=book)
        assert site.returncode == 0 and (book / "_build" / "html" / "index.html").exists()


@pytest.mark.slow
def test_it_carries_the_whole_book_and_its_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "training_moat/py.typed" in names
    for part in (ROOT / part for part in PARTS):
        files = [part] if part.is_file() else [path for path in part.rglob("*") if path.is_file()]
        plain = [
            path for path in files if not {".ipynb_checkpoints", "__pycache__"} & set(path.parts)
        ]
        assert plain
        for path in plain:
            assert f"training_moat/book/{path.relative_to(ROOT).as_posix()}" in names


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place: place.write_text("x"), "is a file; expected a folder"),
        (lambda place: (place.mkdir(), (place / "thesis").write_text("x")), "is not empty"),
        (lambda place: place.symlink_to(place.parent), "this is a link"),
    ],
)
def test_a_taken_place_is_refused_in_one_sentence(make, said, tmp_path):
    make(tmp_path / "book")
    before = sorted(tmp_path.iterdir())
    assert said in one_sentence(moat("new", "book", cwd=tmp_path))
    assert sorted(tmp_path.iterdir()) == before


def test_a_checkout_unpacks_itself_into_an_empty_folder(tmp_path):
    (tmp_path / "book").mkdir()
    done = moat("new", "book", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "book").iterdir()} == set(PARTS)
    assert [path.name for path in tmp_path.iterdir()] == ["book"]


def test_the_working_folder_is_filled_and_stays_the_one_that_a_shell_stands_in(tmp_path):
    stands = tmp_path.stat().st_ino
    assert "the folder has no name" in one_sentence(moat("new", "", cwd=tmp_path))
    done = moat("new", ".", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr.endswith("then: moat build\n"), done.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(PARTS)
    assert tmp_path.stat().st_ino == stands


@pytest.mark.slow
def test_two_releases_of_a_source_are_the_same_bytes(releases):
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in releases)
    assert sorted(name for name in one if one[name] != two[name]) == []
    assert one.keys() == two.keys() and len(one) == 5


@pytest.mark.slow
def test_it_holds_what_its_names_say(releases):
    data = zipfile.ZipFile(releases[0] / f"training-moat-{__version__}-data.zip").namelist()
    assert "datapackage.json" in data and "chips.csv" in data and "LICENSE-DATA" in data
    with tarfile.open(releases[0] / f"training_moat-{__version__}.tar.gz") as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "_toc.yml", "chapters/memory.ipynb"} <= names
    assert {"data/chips.csv", "sweeps/chips-and-clusters.yaml", "src/training_moat/cli.py"} <= names
    sums = (releases[0] / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in sums] == sorted(
        path.name for path in releases[0].iterdir() if path.name != "SHA256SUMS"
    )


def test_the_version_is_told_alike_everywhere():
    changelog = (ROOT / "chapters" / "changelog.md").read_text(encoding="utf-8")
    assert re.findall(r"^## .*\(version (.*)\)$", changelog, re.M)[0] == __version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
