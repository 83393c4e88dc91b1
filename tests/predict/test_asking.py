"""What a notebook or script calls: the answers of `moat predict`, errors as one sentence, tables of cases."""

import subprocess
import sys

import pandas as pd
import pytest
from calling import environment

from training_moat import chips, models, predict
from training_moat.core.errors import InputError
from training_moat.predict import serving, training

CASE = {"model": "llama3.1-70b", "chip": "h100-sxm", "chips": 64, "tp": 8, "seq_len": 4096}
SERVED = {"model": "llama3.1-70b", "chip": "h100-sxm", "chips": 8, "batch": 32}


def test_a_call_gives_the_answer_of_the_command():
    told = training.predict([CASE])[0]
    assert predict.training_step(**CASE) == {k: v for k, v in told.items() if k not in ("id", "ok")}
    told = serving.predict([SERVED])[0]
    assert predict.service(**SERVED) == {k: v for k, v in told.items() if k not in ("id", "ok")}


def test_a_run_has_days_and_a_price_has_dollars():
    run = predict.training_step(**CASE, tokens_b=100, price_usd_per_chip_hour=2.0)
    assert run["cost_usd"] == pytest.approx(2.0 * run["chip_hours"])
    served = predict.service(**SERVED, price_usd_per_chip_hour=2.0)
    dollars_per_s = 2.0 * 8 / 3600
    assert served["usd_per_m_output_tokens"] == pytest.approx(
        dollars_per_s / served["tokens_per_s"] * 1e6
    )


def test_hours_that_cost_nothing_are_free_in_training_and_in_serving():
    free = {"price_usd_per_chip_hour": 0}
    step = predict.training_step("llama3.1-8b", "h100-sxm", 8, **free)
    served = predict.service("llama3.1-8b", "h100-sxm", 8, **free)
    assert step["cost_usd"] == served["usd_per_m_output_tokens"] == 0
    for ask in (predict.training_step, predict.service):
        with pytest.raises(InputError, match="a number from 0 to 1,000,000"):
            ask("llama3.1-8b", "h100-sxm", 8, price_usd_per_chip_hour=2e6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: predict.training_step("llama3.1-70b", "h100-sxmm", 8), "did you mean 'h100-sxm'"),
        (lambda: predict.training_step(**CASE, tpp=2), "did you mean 'tp'"),
        (lambda: predict.service("gpt3-175bb", "h100-sxm", 8), "did you mean 'gpt3-175b'"),
        (lambda: predict.fastest_plans("gpt3-175b", "h100-sxm", 8, top=0), "expected 1 or more"),
        (lambda: predict.training_step(**CASE | {"chips": 2.5}), "whole number"),
    ],
)
def test_a_wrong_call_is_one_sentence(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_a_table_of_cases_gives_a_row_each_and_a_bad_one_its_sentence():
    cases = pd.DataFrame(
        {"model": "llama3.1-70b", "chip": ["h100-sxm", "nothing"], "chips": 64, "tp": [8, None]}
    )
    table = predict.training_steps(cases)
    one = predict.training_step("llama3.1-70b", "h100-sxm", 64, tp=8)
    assert table["step_time_s"].iloc[0] == one["step_time_s"]
    assert table["memory_gib.total"].iloc[0] == one["memory_gib"]["total"]
    assert "unknown chip 'nothing'" in table["error"].iloc[1] and table["error"].iloc[0] == ""
    assert len(predict.services([SERVED, SERVED])) == 2


def test_a_table_of_refused_cases_alone_has_the_columns_that_a_page_names():
    refused = predict.services([SERVED | {"chip": "corsair", "precision": "bf16"}])
    columns = ["tpot_s", "fits", "plan.software"]
    assert refused["error"].iloc[0] and refused[columns].isna().all(axis=None)


def test_plans_come_fastest_first():
    plans = predict.fastest_plans("llama3.1-70b", "h100-sxm", 64, top=5)
    assert len(plans) == 5 and plans["step_time_s"].is_monotonic_increasing
    best = predict.training_step("llama3.1-70b", "h100-sxm", 64)
    assert plans["step_time_s"].iloc[0] == best["step_time_s"]


def test_the_tables_are_at_hand():
    assert "h100-sxm" in set(chips.frame()["id"]) and chips.chip("H100 SXM5").id == "h100-sxm"
    assert "llama3.1-70b" in set(models.frame()["id"])


def test_nothing_is_imported_before_it_is_asked_for():
    code = "import sys, training_moat, training_moat.predict; assert not {'numpy', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(None))
