"""The model beside the audited races."""

import pytest

from training_moat import predict
from training_moat.contest import raced
from training_moat.inquiry import races


def test_the_model_is_asked_what_the_entries_ran():
    pairs = races.pairs()
    tuned = pairs["task"].str.contains("LoRA")
    speeds = raced.predicted_speeds(pairs)
    assert (speeds > 0).all() and tuned.any() and (~tuned).any()
    one = pairs[(pairs["chip_id"] == "gaudi2") & ~tuned].iloc[0]
    asked = {"seq_len": 2048, "global_batch": 2048, "precision": "fp8"}
    own, rival = (
        predict.fastest_plans("gpt3-175b", chip, int(one["chips"]), **asked)["step_time_s"].min()
        for chip in ("gaudi2", "h100-sxm")
    )
    assert speeds[one.name] == pytest.approx(rival / own)
    adapted = pairs[(pairs["chip_id"] == "mi355x") & tuned].iloc[0]
    asked = {"seq_len": 8192, "global_batch": 8, "precision": "fp8"}
    asked |= {"lora_rank": 16, "lora_targets": ["attention"]}
    own, rival = (
        predict.fastest_plans("llama2-70b", chip, 8, **asked)["step_time_s"].min()
        for chip in ("mi355x", "b200")
    )
    assert speeds[adapted.name] == pytest.approx(rival / own)
