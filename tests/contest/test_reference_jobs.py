"""Jobs of their day, and the chip that each is set beside."""

from __future__ import annotations

import pandas as pd
import pytest

from training_moat.catalog import chips, tables
from training_moat.catalog.dates import day
from training_moat.contest import reference_jobs
from training_moat.core.errors import InputError
from training_moat.core.workload import active_params


def test_the_job_of_a_day_is_the_newest_published_by_then():
    assert reference_jobs.of_day(pd.Timestamp("2022-03-31")).job == "gpt3-175b"
    assert reference_jobs.of_day(pd.Timestamp("2023-06-30")).job == "palm-540b"
    assert reference_jobs.of_day(pd.Timestamp("2023-07-01")).job == "llama2-70b"
    assert reference_jobs.of_day(pd.Timestamp("2016-01-01")).job == "gpt3-175b"


@pytest.mark.parametrize("name", ["gpt3-175b", "palm-540b", "llama3.1-405b"])
def test_a_frontier_job_is_the_largest_run_whose_shape_was_published(name):
    """Llama 2 70B and DeepSeek-V3 are the two of a new kind."""
    asked, runs = reference_jobs.job(name), tables.load("training_runs")
    own = 6 * active_params(asked.model) * asked.tokens
    by_then = runs["date"].map(day) <= asked.date + pd.offsets.MonthEnd()
    larger = runs[by_then & runs["model_id"].notna() & (runs["training_flop"] > 1.1 * own)]
    assert asked.frontier and larger.empty, larger[["model", "date", "training_flop"]]


def test_batches_are_those_of_the_papers():
    """Narayanan et al. 2021 run GPT-3 with 1,536 sequences, DeepSeek-V3 states 15,360."""
    assert reference_jobs.job("gpt3-175b").batch == 1536
    assert reference_jobs.job("deepseek-v3").batch == 15360


def test_the_yardstick_is_never_of_a_later_day_nor_cut_for_export():
    for chip in chips.all_chips().values():
        if chip.available and chip.supports_training:
            start = reference_jobs.launched(chip)
            rival = reference_jobs.yardstick(start)
            first = reference_jobs.launched(chips.chip("v100"))
            assert reference_jobs.launched(rival) <= max(start, first)
            assert rival.id not in reference_jobs.cut_for_export()
    assert reference_jobs.yardstick(pd.Timestamp("2023-11-01")).id == "h100-sxm"


def test_an_unknown_job_names_the_nearest():
    with pytest.raises(InputError, match="llama2-70b"):
        reference_jobs.job("llama2-7b")
