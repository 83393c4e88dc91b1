"""Searches kept on disk: many are asked for at once, those that are not there are found side by side, each once."""

import ast
import time
from pathlib import Path

import numpy as np
import pytest

import training_moat
from training_moat.catalog import chips, paths
from training_moat.contest import (
    best_plan,
    coalitions,
    reference_jobs,
    remembered,
    scorecard,
    single_changes,
)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "folder", lambda: tmp_path / "remembered")
    return tmp_path / "remembered"


def test_only_what_is_not_on_disk_is_computed_each_once_and_answers_keep_their_order(empty):
    computed = []

    def doubled(missing):
        computed.append(list(missing))
        return [[2.0 * number] for (number,) in missing]

    assert remembered.remembered("twice", [(1,), (2,)], doubled) == [[2.0], [4.0]]
    assert remembered.remembered("twice", [(3,), (2,), (3,), (1,)], doubled) == [[6], [4], [6], [2]]
    assert computed == [[(1,), (2,)], [(3,)]]
    assert remembered.remembered("twice", [], doubled) == []
    assert len(list(empty.glob("*.json"))) == 3


def test_the_oldest_results_are_forgotten_with_their_locks(empty, monkeypatch):
    monkeypatch.setattr(remembered, "MOST_KEPT", 2)
    for number in range(4):
        remembered.remembered("same", [(number,)], lambda missing: [[1.0]])
    assert len(list(empty.glob("*.json"))) == len(list(empty.glob("*.lock"))) == 2
    computed = []
    for number in (3, 2, 0):
        remembered.remembered(
            "same", [(number,)], lambda missing: computed.extend(missing) or [[1.0]]
        )
    assert computed == [(0,)]


def test_an_installed_book_keeps_nothing_inside_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(paths, "CARRIED", paths.root())
    assert remembered.folder().is_relative_to(tmp_path)


def test_a_search_that_fails_leaves_nothing_on_disk(empty):
    with pytest.raises(ZeroDivisionError):
        remembered.remembered("twice", [(1,)], lambda missing: 1 / 0)
    assert not list(empty.glob("*.json"))


def test_what_may_come_of_an_older_edition_is_neither_kept_nor_taken(empty, tmp_path, monkeypatch):
    """Else a table saved, or code, while a build runs would leave numbers under the name of what it was saved as."""
    table, asked = tmp_path / "a.csv", [(1,), (2,), (1,)]
    table.write_text("1")
    monkeypatch.setattr(remembered, "_sources", lambda data: (table,))
    begun_s = time.time() + 0.2
    monkeypatch.setattr(training_moat, "BEGUN_S", begun_s)

    def written_meanwhile(missing):
        time.sleep(max(0.0, begun_s - time.time()))
        table.write_text("2")
        return [[float(number)] for (number,) in missing]

    assert remembered.remembered("same", asked[:1], lambda missing: [[5.0]]) == [[5.0]]
    assert remembered.remembered("same", asked, written_meanwhile) == [[5.0], [2.0], [5.0]]
    assert remembered.remembered("same", asked, written_meanwhile) == [[1.0], [2.0], [1.0]]
    assert len(list(empty.glob("*.json"))) == 1


def test_the_code_of_every_search_decides_what_is_taken():
    """`best_plan.kept` is given the function that searches: the module that it stands in is watched."""
    rooms = Path(training_moat.__file__).parent
    found = set()
    for file in sorted((rooms / "contest").glob("*.py")):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "best_plan.kept":
                search = ast.unparse(call.args[2])
                found.add(f"contest/{search.split('.')[0] if '.' in search else file.stem}.py")
    assert len(found) > 1 and found <= set(remembered.CODE)


def test_searched_side_by_side_chips_get_what_each_gets_alone(empty):
    job = reference_jobs.job("gpt3-175b")
    pairs = [(chips.chip(name), job) for name in ("a100-80", "mi250x", "a100-80", "groq-lpu-v1")]
    together = single_changes.kept_hours(pairs)
    alone = [single_changes.chip_hours(chip, job, best_plan.MAX_DAYS) for chip, _ in pairs[:2]]
    assert together[:3] == [*alone, alone[0]] and together[3] > 0


def test_a_chip_that_lacks_a_number_does_not_keep_others_from_being_searched(empty):
    job = reference_jobs.job("gpt3-175b")
    scorecard.search([(chips.chip(name), job) for name in ("wse-3t", "a100-80")])
    found = set(empty.glob("card-*.json"))
    assert len(found) == 1
    assert scorecard.card(chips.chip("a100-80"), job).run is not None
    assert set(empty.glob("card-*.json")) == found


def test_the_terms_of_a_cost_add_up_to_it_draw_by_draw():
    a100, job = chips.chip("a100-80"), reference_jobs.job("gpt3-175b")
    for name in ("mi250x", "groq-lpu-v1"):  # the second cannot do it alone: some are at the ceiling
        found = coalitions.worth(chips.chip(name), a100, job)
        draws = coalitions.drawn(found, 50)
        told, into = found.terms(draws)
        np.testing.assert_allclose(told @ into, found.log_cost(draws), rtol=1e-12)
