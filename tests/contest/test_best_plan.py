"""The best plan over numbers of chips."""

from __future__ import annotations

import numpy as np
import pytest

from training_moat.catalog import chips, tables
from training_moat.contest import best_plan, reference_jobs
from training_moat.contest.chip_factors import training_formats
from training_moat.inquiry import holding


@pytest.fixture(scope="module")
def job():
    return reference_jobs.job("gpt3-175b")


def test_a_chip_of_little_memory_gets_the_same_answer_as_in_the_memory_chapter():
    """Its plans share everything out over links that no usual plan cuts a matrix over."""
    chip, asked = chips.chip("grayskull"), reference_jobs.job("llama3.1-405b")
    told = holding.verdicts(
        asked.model_id, chips=[chip.id], seq_len=asked.seq_len, sequences=asked.batch
    )
    usual = best_plan.fewest(chip, asked, ("fp16",), (best_plan.at,))
    found = best_plan.together([usual, best_plan.fewest(chip, asked, ("fp16",))])
    assert found == [None, told["training_chips"].iloc[0]]


def test_the_best_number_of_chips_beats_its_neighbours(job):
    chip = chips.chip("a100-80")
    formats = training_formats(chip)
    ((hours, count, name),) = best_plan.together([best_plan.cheapest(chip, job, formats)])
    for other in (count // 2, 2 * count):
        run = best_plan.run(chip, job, other, name)
        assert run is None or run.chip_hours >= hours or run.days > best_plan.MAX_DAYS
    assert best_plan.run(chip, job, count, name).days <= best_plan.MAX_DAYS


def test_four_of_five_recorded_runs_are_shorter_than_the_longest_allowed():
    hours = tables.load("training_runs")["training_hours"].dropna()
    assert np.quantile(hours, 0.8) <= 24 * best_plan.MAX_DAYS <= hours.max()
