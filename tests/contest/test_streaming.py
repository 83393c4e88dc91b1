"""What a wafer's page says of the weights that it streams."""

from types import SimpleNamespace

import pytest

from training_moat.catalog import chips
from training_moat.contest import reference_jobs, streaming
from training_moat.inquiry.wording import digits
from training_moat.predict import training


def said(chip, job):
    return streaming.words(
        SimpleNamespace(chip=chips.chip(chip), job=reference_jobs.job(job))
    ).split(" On ")


def test_a_batch_that_passes_at_once_is_not_called_cut_for_want_of_room():
    """One micro-batch is the whole share of the batch: room would only spare what is made again."""
    _, whole, cut = said("wse-3", "llama2-70b")
    assert "1 micro-batch of " in whole and "its whole share of the batch" in whole
    assert "activations that are now made again" in whole and "room for." not in whole
    assert "8 micro-batches of " in cut and "all that its SRAM has room for" in cut


@pytest.mark.parametrize("chip", ["h100-sxm", "groq-lpu-v1"])
def test_chips_that_keep_their_weights_have_no_such_words(chip):
    assert said(chip, "llama2-70b") == [""]


def test_a_log_that_asks_for_more_room_than_the_model_knows_is_told():
    told = streaming._logged()
    assert "CS-2" in told and "99 sequences" in told and "2,048 tokens" in told


def test_what_finds_no_room_says_how_much_one_sequence_needs_in_the_answers_unit():
    chip, job = chips.chip("wse-2"), reference_jobs.job(streaming.LARGE)
    found = training.predict([job.request(chip, 1)])[0]
    assert not found["fits"]
    assert f"needs {digits(found['memory_gib']['total'])} GiB aboard" in streaming._step(
        chip, job, 1
    )
