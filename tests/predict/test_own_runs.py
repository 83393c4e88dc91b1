"""What a caller's own runs and own matmul rate are worth."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from training_moat.core.plan import Plan
from training_moat.core.training_step import StepTime
from training_moat.predict import own_runs, training
from training_moat.predict.training_constants import Scatter

CASE = {
    "model": "llama3.1-8b", "chip": "h100-sxm", "chips": 64, "tp": 2, "pp": 1, "dp": 32, "seq_len": 4096,
    "micro_batch": 1, "global_batch": 512, "zero_stage": 1, "recompute": "none",
}  # fmt: skip


def spent(**parts):
    """A step whose time goes into these parts."""
    return StepTime(**{part.name: parts.get(part.name, 0.0) for part in fields(StepTime)})


def ask(**changes):
    return training.predict([CASE | changes])[0]


def width(answer):
    return math.log(answer["step_time_s_p95"] / answer["step_time_s_p05"])


SCATTER = Scatter(between=0.1, setting=0.06, run=0.05)
HERE, AWAY = np.zeros((2, 1)), np.array([[1.0], [2.0]])


def said(errors, *told):
    return own_runs.shift(errors, np.hstack(told), HERE, SCATTER)


def test_the_shift_of_runs_of_one_setting_is_the_shrunk_mean_of_a_random_effect():
    """Laird and Ware 1982: weight tau^2 / (tau^2 + sigma^2 / n), tau all that runs of one setting share."""
    found = said([0.2, 0.1], HERE, HERE)
    shared = 0.1**2 + 0.06**2
    weight = shared / (shared + 0.05**2 / 2)
    assert math.log(found.factor) == pytest.approx(weight * 0.15)
    left = shared * (1 - weight) + 0.05**2
    assert found.width == pytest.approx(math.sqrt(left / (shared + 0.05**2)))
    assert own_runs.shift([], HERE[:, :0], HERE, SCATTER) == own_runs.Shift(1.0, 1.0)


def test_runs_of_another_setting_say_less_and_an_odd_one_little_more():
    """By hand for one run at distance d: what both settings share over the whole variance, its error taken as 1.5 scatters
    at most as far as the settings differ."""
    whole, alike = 0.1**2 + 0.06**2 + 0.05**2, math.exp(-0.5 * (1 + 4))
    shared = (0.1**2 + 0.06**2 * alike) / whole
    one = said([0.05], AWAY)
    assert math.log(one.factor) == pytest.approx(0.05 * shared)
    reach = 1.5 * math.sqrt(whole)
    believed = reach + alike * (1.1 - reach)
    assert math.log(said([1.1], AWAY).factor) == pytest.approx(believed * shared)
    assert math.log(said([1.1], HERE).factor) == pytest.approx(1.1 * (0.1**2 + 0.06**2) / whole)
    two = said([0.05, 0.05], AWAY, -AWAY)
    assert said([0.05, 0.05], AWAY, AWAY).factor < two.factor
    assert two.width < one.width < 1


def test_settings_lie_as_many_units_apart_as_their_sizes_have_doublings():
    model = training.parse(CASE).model
    plan = Plan(seq_len=4096, global_batch=512, dp=32, tp=2)
    longer = replace(plan, seq_len=8 * 4096, recompute=2)
    step = spent(compute=1.0)
    apart = own_runs.settings(model, longer, 1.0, step) - own_runs.settings(model, plan, 2.0, step)
    # Sequence and tokens of a micro-batch eight times as long, every layer recomputed, half the bits.
    assert sorted(apart[:, 0]) == pytest.approx([-1 / 3, *[0] * 14, 1, 1, 1])


def test_runs_whose_time_goes_elsewhere_lie_apart_whatever_they_take():
    model, plan = training.parse(CASE).model, Plan(seq_len=4096, global_batch=512, dp=32, tp=2)
    half = spent(compute=1.0, tensor_parallel=1.0)
    one, longer, other = (
        own_runs.settings(model, plan, 2.0, step)
        for step in (spent(compute=1.0), spent(compute=7.0), half)
    )
    assert own_runs.alike(one, longer) == pytest.approx(1.0)
    # Half of the time in another part: that share by two of its coordinates, four units for the whole.
    assert own_runs.alike(one, other) == pytest.approx(math.exp(-0.5 * 2 * 2.0**2))


def test_own_runs_move_the_prediction_and_narrow_its_interval():
    plain = ask()
    slow = {**CASE, "measured_step_s": plain["step_time_s"] * 1.3}
    one, two = ask(anchors=[slow]), ask(anchors=[slow, slow])
    assert plain["step_time_s"] < one["step_time_s"] < two["step_time_s"]
    assert two["step_time_s"] < 1.3 * plain["step_time_s"]
    assert width(two) < width(one) < width(plain)
    assert sum(two["seconds"].values()) == pytest.approx(two["step_time_s"])
    assert any("own runs move the prediction" in note for note in two["notes"])


@pytest.mark.parametrize("times", [3, 10, 100])
def test_own_runs_that_contradict_each_other_leave_a_wide_interval_and_a_note(times):
    """The same setting twice, a factor apart: one of the two is wrong, and nobody knows which."""
    usual = ask()["step_time_s"]
    pair = [usual / math.sqrt(times), usual * math.sqrt(times)]
    answer = ask(anchors=[{"measured_step_s": seconds} for seconds in pair])
    assert width(answer) > 0.5 * math.log(times)
    assert any(note.startswith("own runs contradict each other") for note in answer["notes"])


def test_runs_that_scatter_as_runs_of_one_machine_do_are_told_no_contradiction():
    usual = ask()["step_time_s"]
    answer = ask(anchors=[{"measured_step_s": usual}, {"measured_step_s": 1.1 * usual}])
    assert width(answer) < 0.5 * width(ask())
    assert not any("contradict" in note for note in answer["notes"])
    by_hand = said([0.3, -0.3], HERE, HERE)
    assert by_hand.apart == pytest.approx(0.3 * math.sqrt(2) / 0.05 / 5)


def test_an_anchor_may_be_another_run_on_the_same_chip():
    other = {"model": "llama3.1-70b", "chips": 64, "global_batch": 64, "measured_step_s": 9.0}
    answer = ask(anchors=[other])
    assert answer["ok"] and answer["step_time_s"] != ask()["step_time_s"]


def test_a_search_counts_own_runs_as_a_single_prediction_does():
    slow = [{**CASE, "measured_step_s": 1.3 * ask()["step_time_s"]}]
    assert training.search(CASE | {"anchors": slow})[0] == ask(anchors=slow)


@pytest.mark.parametrize(
    ("anchors", "sentence"),
    [
        ("x", "anchors is 'x'; expected a list of own runs"),
        ([3], "anchor 1 is 3; expected an object"),
        ([{}], "anchor 1: measured_step_s is missing"),
        ([{"measured_step_s": -1}], "anchor 1: measured_step_s is -1; expected a number above 0"),
        ([{"measured_step_s": 1, "chip": "a100-80", "chips": 8}], "anchor 1 ran on a100-80"),
        ([{"measured_step_s": 1, "speed": 2}], "anchor 1: unknown field 'speed'"),
        ([{"measured_step_s": 1, "anchors": []}], "anchor 1: unknown field 'anchors'"),
        (
            [{"measured_step_s": 1}, {"measured_step_s": 50_000}],
            "anchor 2: measured_step_s is 50000",
        ),
        ([{"measured_step_s": 1e-4}], "expected the seconds of one step"),
        ([{"measured_step_s": 1}] * 99, "anchors holds 99 runs; expected at most 64"),
    ],
)
def test_a_bad_anchor_is_one_sentence(anchors, sentence):
    answer = ask(anchors=anchors)
    assert not answer["ok"] and sentence in answer["error"] and "\n" not in answer["error"]


def test_a_machine_whose_matmuls_are_slower_is_slower():
    """A large matmul reaches 0.8 of an H100's peak elsewhere (table matmul_maxima); here 0.48."""
    slow, fast = ask(matmul_tflops=480), ask(matmul_tflops=790)
    assert slow["step_time_s"] > 1.2 * fast["step_time_s"]
    assert fast["step_time_s"] == pytest.approx(ask()["step_time_s"], rel=0.05)
    assert "expected at most the chip's peak" in ask(matmul_tflops=5000)["error"]


def test_a_matmul_rate_that_is_hardly_any_of_the_peak_is_doubted():
    doubt = "matmul_tflops is 5, 0.0051 of the chip's peak; is the unit right?"
    assert doubt in ask(matmul_tflops=5)["notes"]
    assert not any("unit right" in note for note in ask(matmul_tflops=400)["notes"])
