"""What is said of questions beyond any machine: not less than there is, and not nothing."""

import re

from training_moat.catalog import chips
from training_moat.predict import beyond, serving, training


def test_two_amounts_are_told_apart():
    assert beyond.apart(24.66, 0.0) == ("24.7", "0.0")
    assert beyond.apart(0.239, 0.214) == ("0.24", "0.21")
    assert beyond.apart(76.04, 76.01) == ("76.04", "76.01")
    assert beyond.apart(1.0, 1.0)[0] == beyond.apart(1.0, 1.0)[1]


def test_a_plan_that_just_does_not_fit_needs_more_than_is_offered():
    case = {"model": "llama3.1-70b", "chip": "groq-lpu-v1", "chips": 576, "batch": 1}
    case |= {"precision": "fp16"}
    (answer,) = serving.predict([case])
    (told,) = [note for note in answer["notes"] if "hypothetical" in note]
    needs, offers = re.findall(r"\d+\.\d+", told)
    assert not answer["fits"] and float(needs) > float(offers)


def test_more_chips_than_any_system_has_are_noted_of_training_and_of_serving():
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 10**6}
    for predicted in (training.predict, serving.predict):
        answer, real = predicted([case, case | {"chips": 1024}])
        assert (
            "no system of more than 200,000 h100-sxm is known; 1,000,000 were asked for"
            in (answer["notes"])
        )
        assert not any("no system" in note for note in real["notes"])
    assert beyond.of_system(chips.chip("h100-sxm"), 200_000) == []
