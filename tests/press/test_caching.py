"""The cache key changes with everything that can change a result, and with nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from training_moat.press import caching


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Package source, data and one chapter in a folder that a test may change."""
    package, data, chapters = tmp_path / "package", tmp_path / "data", tmp_path / "chapters"
    for room in ("core", "inquiry", "press"):
        (package / room).mkdir(parents=True)
        (package / room / "a.py").write_text("x = 1\n")
    data.mkdir()
    (data / "chips.csv").write_text("id\na\n")
    chapters.mkdir()
    cells = [
        {"cell_type": "markdown", "source": "# Question", "metadata": {}},
        {
            "cell_type": "code",
            "source": ["a = 1"],
            "metadata": {"tags": ["parameters"]},
            "outputs": [],
            "execution_count": None,
        },
    ]
    (chapters / "c.ipynb").write_text(json.dumps({"cells": cells}))
    (chapters / "parameters.yml").write_text("c: {}\n")
    monkeypatch.setattr(caching, "PACKAGE", package)
    monkeypatch.setattr(caching, "DATA", data)
    monkeypatch.setattr(caching, "CHAPTERS", chapters)
    return tmp_path


def key(parameters=None, scenario=""):
    return caching.chapter_key("c", parameters or {}, caching.environment_key(), scenario)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "package/core/a.py").write_text("x = 2\n"),
        lambda root: (root / "package/inquiry/b.py").write_text("\n"),
        lambda root: (root / "data/chips.csv").write_text("id\nb\n"),
        lambda root: (root / "data/chips.csv").rename(root / "data/chip.csv"),
        lambda root: (root / "chapters/parameters.yml").write_text("c: {a: 1}\n"),
        lambda root: (root / "chapters/c.ipynb").write_text(
            (root / "chapters/c.ipynb").read_text().replace("a = 1", "a = 2")
        ),
    ],
)
def test_it_notices_a_change(change, copy):
    before = key()
    change(copy)
    assert key() != before


def test_it_notices_parameters_and_scenarios(copy):
    assert len({key(), key({"a": 1}), key({"a": 2}), key(scenario="x")}) == 4


def test_stored_outputs_press_and_bytecode_do_not_count(copy):
    before = key()
    notebook = json.loads((copy / "chapters/c.ipynb").read_text())
    notebook["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    (copy / "chapters/c.ipynb").write_text(json.dumps(notebook))
    (copy / "package/press/a.py").write_text("x = 2\n")
    (copy / "package/core/__pycache__").mkdir()
    (copy / "package/core/__pycache__/a.pyc").write_bytes(b"1")
    assert key() == before


def test_only_the_newest_copies_are_kept(tmp_path, monkeypatch):
    import os

    monkeypatch.setattr(caching, "CACHE", tmp_path)
    for number in range(6):
        path = tmp_path / f"c-{number:016d}.ipynb"
        path.write_text("")
        os.utime(path, (number, number))
    (tmp_path / "c-d-0000000000000000.ipynb").write_text("")
    caching.forget_others("c", keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "c-0000000000000004.ipynb",
        "c-0000000000000005.ipynb",
        "c-d-0000000000000000.ipynb",
    ]


def test_a_missing_notebook_is_an_error_not_a_key(copy):
    shutil.rmtree(copy / "chapters")
    with pytest.raises(FileNotFoundError):
        key()
    assert not Path(copy / "chapters").exists()
