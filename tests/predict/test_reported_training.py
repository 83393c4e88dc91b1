"""Cases that people reported in public, with what they measured: each stands for a kind of question."""

import json
from pathlib import Path

import pytest

from training_moat.predict import training

REPORTED = json.loads(Path(__file__).with_name("reported_training.json").read_text("utf-8"))

MEASURES = {
    "ok": lambda a: a["ok"],
    "fits": lambda a: a["fits"],
    "weights_gib": lambda a: a["memory_gib"]["weights"],
    "states_gib": lambda a: sum(a["memory_gib"][k] for k in ("weights", "gradients", "optimizer")),
    "total_gib": lambda a: a["memory_gib"]["total"],
    "tokens_per_s": lambda a: a["tokens_per_s"],
    "tokens_per_s_per_chip": lambda a: a["tokens_per_s_per_chip"],
    "step_time_s": lambda a: a["step_time_s"],
    "model_tflops_per_chip": lambda a: a["model_tflops_per_chip"],
    "chip_hours": lambda a: a["chip_hours"],
    "step_tflop": lambda a: a["model_tflops_per_chip"] * a["step_time_s"] * _chips(a),
}


def _chips(answer):
    plan = answer["plan"]
    return plan["tp"] * plan["pp"] * plan["dp"] * plan["cp"]


@pytest.mark.parametrize(
    "one", REPORTED, ids=lambda one: f"{one['about']}: {one['measure']} {one['expected']}"
)
def test_a_reported_case_is_answered_as_it_was_measured(one):
    answer = training.predict([one["case"]])[0]
    assert answer["ok"], answer.get("error")
    found = MEASURES[one["measure"]](answer)
    if one["within"] is None:
        assert found == one["expected"]
    else:
        assert found == pytest.approx(one["expected"], rel=one["within"]), one["how_known"]


def test_every_report_is_cited():
    assert all(link.startswith("https://") for one in REPORTED for link in one["reports"])
