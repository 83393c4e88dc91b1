"""One goodput: a run's days are the same whoever is asked."""

import pytest

from training_moat.catalog import chips
from training_moat.contest import best_plan, reference_jobs
from training_moat.predict import training


def test_the_contest_counts_the_days_that_predict_counts():
    job, chip = next(iter(reference_jobs.jobs().values())), chips.chip("h100-sxm")
    found = best_plan.run(chip, job, 1024, "bf16")
    plan = found.answer["plan"]
    sizes = {name: plan[name] for name in ("tp", "pp", "cp", "ep", "micro_batch", "virtual_stages")}
    settings = {name: plan[name] for name in ("zero_stage", "recompute", "recompute_share")}
    request = job.request(chip, 1024, precision="bf16") | sizes | settings
    (told,) = training.predict([request | {"tokens_b": job.tokens / 1e9}])
    assert found.days == pytest.approx(told["run_days"])
    assert found.chip_hours == pytest.approx(told["chip_hours"])
