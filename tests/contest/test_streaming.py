"""What a chip's page says of weights that stream in: figures of the predictions it tells of."""

from training_moat.catalog import chips
from training_moat.contest import due_diligence, reference_jobs, streaming
from training_moat.inquiry.wording import digits, percent
from training_moat.predict import training

WAFER = chips.chip("wse-3")


def test_what_waits_is_the_predictions_own_and_room_for_the_batch_saves_time():
    job = reference_jobs.job(streaming.LARGE)
    found = training.predict([job.request(WAFER, 16)])[0]
    told = streaming._step(WAFER, job, 16)
    if found["fits"]:
        waited = percent(found["seconds"]["data_parallel"] / found["step_time_s"])
        assert f"takes {digits(found['step_time_s'])} s, of which {waited} wait" in told
    else:
        assert "finds no room" in told and digits(found["memory_gib"]["total"]) in told


def test_a_log_that_asks_for_more_room_than_the_model_knows_is_told():
    told = streaming._logged()
    assert "CS-2" in told and "99 sequences" in told and "2,048 tokens" in told


def test_other_chips_have_no_such_words():
    report = due_diligence.report("h100-sxm")
    assert streaming.words(report) == ""
