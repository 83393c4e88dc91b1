"""The model beside the audited races."""

import numpy as np
import pytest

from training_moat import predict
from training_moat.contest import raced
from training_moat.inquiry import races


def test_the_model_is_asked_what_the_entries_ran():
    pairs = races.pairs()
    tuned = pairs["task"].str.contains("LoRA")
    speeds = raced.predicted_speeds(pairs)
    assert np.isnan(speeds[tuned]).all() and (speeds[~tuned] > 0).all() and (~tuned).any()
    one = pairs[(pairs["chip_id"] == "gaudi2") & ~tuned].iloc[0]
    asked = {"seq_len": 2048, "global_batch": 2048, "precision": "fp8"}
    own, rival = (
        predict.fastest_plans("gpt3-175b", chip, int(one["chips"]), **asked)["step_time_s"].min()
        for chip in ("gaudi2", "h100-sxm")
    )
    assert speeds[one.name] == pytest.approx(rival / own)
