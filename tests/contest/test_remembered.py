"""Searches kept on disk: many are asked for at once, those that are not there are found side by side, each once."""

import numpy as np
import pytest

from training_moat.catalog import chips
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


def test_a_search_that_fails_leaves_nothing_on_disk(empty):
    with pytest.raises(ZeroDivisionError):
        remembered.remembered("twice", [(1,)], lambda missing: 1 / 0)
    assert not list(empty.glob("*.json"))


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
