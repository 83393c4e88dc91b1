"""Whole runs are asked as their owners trained them."""

from training_moat.calibrate import goodput


def test_a_whole_run_is_asked_with_its_owners_batch_format_and_stack():
    rows = goodput.published()
    run = rows[rows["model_id"] == "deepseek-v3"].iloc[0].to_dict()
    asked = goodput.request(run)
    assert asked["global_batch"] == 15_360 and asked["precision"] == "fp8"
    assert asked["software"] == "hai-llm" and asked["chips"] == 2048
    silent = goodput.request(rows[rows["model_id"] == "llama3.1-8b"].iloc[0].to_dict())
    assert silent["global_batch"] * silent["seq_len"] == goodput.CUSTOMARY_BATCH


def test_deepseeks_hours_are_explained():
    """2.664 million H800 hours, read in its report; a batch of 4 million tokens would make it 4.3 million of steps alone."""
    found = goodput.runs().set_index("model_id")
    assert 0.7 < found.loc["deepseek-v3", "goodput"] < 1.0
