"""The cache key changes with everything that can change a result, and with nothing else."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from training_moat.press import building, caching
from training_moat.press.scenarios import Request


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


CHIPS = ["chips.csv"]


def key(parameters=None, rows=None, touched=CHIPS):
    """What a stored run that asked for `touched` is found by."""
    now = caching.inputs(rows or {})
    return caching.chapter_key("c", parameters or {}, now.shared), now.state(touched)


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
    rows = {"chips.csv": "id\nx\n"}
    assert len({key(), key({"a": 1}), key({"a": 2}), key(rows=rows)}) == 4


def test_what_a_run_did_not_ask_for_does_not_count(copy):
    (copy / "data/models.csv").write_text("id\n1\n")
    before, all_before = key(), key(touched=None)
    (copy / "data/models.csv").write_text("id\n2\n")
    assert key() == before and key(touched=None) != all_before
    rows = {"models.csv": "id\nx\n"}
    assert key(rows=rows) == before and key(rows=rows, touched=None) != key(touched=None)
    (copy / "data/prices.csv").write_text("id\n")
    assert key() != before, "which tables there are counts"


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
    monkeypatch.setattr(caching, "CACHE", tmp_path)
    for number in range(6):
        path = tmp_path / f"c-{number:016d}-{number:016d}.run"
        path.write_text("")
        os.utime(path, (number, number))
    other = tmp_path / f"c-d-{0:016d}-{0:016d}.run"
    other.write_text("")
    caching.forget_others("c", keep=2)
    kept = {f"c-{number:016d}-{number:016d}.run" for number in (4, 5)}
    assert {path.name for path in tmp_path.iterdir()} == kept | {other.name}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a run in a folder beside it."""
    monkeypatch.setattr(caching, "CACHE", tmp_path / "cache")
    executed = tmp_path / "c.ipynb"
    executed.write_text('{"cells": []}')
    return executed


NOW = caching.Inputs("s", {"chips.csv": "1", "models.csv": "2"})
KEY = "k" * 64


def recalled(target, key=KEY, now=NOW, **strict):
    return caching.recall("c", key, now, target, **strict)


def test_a_stored_run_comes_back_as_it_was(cache, tmp_path):
    assert not recalled(tmp_path / "new" / "c.ipynb")
    caching.store("c", KEY, NOW, cache, CHIPS)
    assert recalled(tmp_path / "new" / "c.ipynb")
    assert (tmp_path / "new" / "c.ipynb").read_bytes() == cache.read_bytes()
    assert not recalled(tmp_path / "other.ipynb", "l" * 64)


def test_a_scenario_finds_the_runs_that_it_does_not_touch(cache, tmp_path):
    caching.store("c", KEY, NOW, cache, CHIPS)
    target = tmp_path / "new.ipynb"
    assert recalled(target, now=replace(NOW, rows={"models.csv": "x"}))
    assert recalled(target, now=replace(NOW, tables={"chips.csv": "1", "models.csv": "3"}))
    assert not recalled(target, now=replace(NOW, rows={"chips.csv": "x"}))
    assert not recalled(target, now=replace(NOW, tables={"chips.csv": "3", "models.csv": "2"}))


def test_a_run_that_asked_for_who_knows_what_depends_on_everything(cache, tmp_path):
    caching.store("c", KEY, NOW, cache, None)
    assert recalled(tmp_path / "new.ipynb")
    assert not recalled(tmp_path / "new.ipynb", now=replace(NOW, rows={"models.csv": "x"}))


def test_a_build_of_the_book_itself_takes_no_run_that_would_not_have_failed(cache, tmp_path):
    caching.store("c", KEY, NOW, cache, CHIPS, strict=False)
    assert recalled(tmp_path / "new.ipynb") and not recalled(tmp_path / "new.ipynb", strict=True)
    caching.store("c", KEY, NOW, cache, CHIPS, strict=True)
    assert recalled(tmp_path / "new.ipynb", strict=True) and recalled(tmp_path / "new.ipynb")


@pytest.mark.parametrize("damage", [b"", b'{"cells": [1]}', b'{"cel'])
def test_a_damaged_copy_is_thrown_away(damage, cache, tmp_path):
    caching.store("c", KEY, NOW, cache, CHIPS)
    (stored,) = (tmp_path / "cache").iterdir()
    stored.write_bytes(damage)
    assert not recalled(tmp_path / "new.ipynb")
    assert not stored.exists() and not (tmp_path / "new.ipynb").exists()


def test_an_edit_that_was_taken_back_shows_in_the_state(copy):
    table = copy / "data/chips.csv"
    before, kept = caching.file_states(caching.run_files()), table.stat()
    table.write_text("id\nb\n")
    table.write_text("id\na\n")
    os.utime(table, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert table.stat().st_mtime_ns == kept.st_mtime_ns
    assert caching.file_states(caching.run_files()) != before


def edited_while_running(copy, monkeypatch, times):
    """Let a pretended run write the table it reads, in the first `times` runs; returns what was stored."""
    runs = []

    def execute(missing, done):
        for job in missing:
            runs.append(job.chapter)
            text = (copy / "data/chips.csv").read_text()
            if len(runs) <= times:
                (copy / "data/chips.csv").write_text(f"id\n{len(runs)}\n")
            job.target.parent.mkdir(parents=True, exist_ok=True)
            job.target.write_text(json.dumps({"saw": text}))
            done(job, CHIPS)
        return []

    monkeypatch.setattr(caching, "CACHE", copy / "cache")
    monkeypatch.setattr(building, "execute_all", execute)
    return runs


def test_a_table_written_during_a_run_does_not_poison_the_cache(copy, monkeypatch, tmp_path):
    runs = edited_while_running(copy, monkeypatch, times=1)
    wanted = Request({"c": {}})
    building.executed(wanted, tmp_path / "one")
    assert not list((copy / "cache").glob("*")), (
        "nobody knows which state of the table this run saw"
    )
    (copy / "data/chips.csv").write_text("id\na\n")
    copies = building.executed(wanted, tmp_path / "two")
    assert runs == ["c", "c"] and "id\\na" in copies["c"].read_text()
    building.executed(wanted, tmp_path / "three")
    assert runs == ["c", "c"], "the second run was stored"


def test_a_missing_notebook_is_an_error_not_a_key(copy):
    shutil.rmtree(copy / "chapters")
    with pytest.raises(FileNotFoundError):
        key()
    assert not Path(copy / "chapters").exists()


def test_words_do_not_run_a_chapter_again(copy):
    before, prose = key(), caching.prose_key("c")
    notebook = json.loads((copy / "chapters/c.ipynb").read_text())
    notebook["cells"][0]["source"] = "# Another question"
    (copy / "chapters/c.ipynb").write_text(json.dumps(notebook))
    assert key() == before and caching.prose_key("c") != prose


def test_what_runs_found_lies_by_all_that_it_could_rest_on(copy, monkeypatch):
    monkeypatch.setattr(caching, "FOUND", copy / "found")
    first = caching.found_folder(caching.inputs({}))
    assert first == caching.found_folder(caching.inputs({}))
    assert first != caching.found_folder(caching.inputs({"chips.csv": "id\nmine\n"}))
    (copy / "data/chips.csv").write_text("id\nb\n")
    assert first != caching.found_folder(caching.inputs({}))


def test_of_what_runs_found_the_newest_folders_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(caching, "FOUND", tmp_path / "found")
    for number in range(6):
        left = tmp_path / f"left-{number}"
        left.mkdir()
        (left / "one").write_text(str(number))
        folder = caching.FOUND / str(number)
        caching.keep_found(left, folder)
        os.utime(folder, (number, number))
    caching.keep_found(tmp_path / "left nothing", caching.FOUND / "7")
    assert {path.name for path in caching.FOUND.iterdir()} == {"3", "4", "5"}
    assert (caching.FOUND / "5" / "one").read_text() == "5"
