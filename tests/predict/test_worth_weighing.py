"""Plans that are neither weighed nor timed: the bound that leaves them out lies below their time, and no answer changes."""

import random
from dataclasses import replace

import numpy as np
import pytest

from training_moat.predict import plan_search, selecting, training, training_batch, training_lines
from training_moat.predict import training_constants as known

MODELS = (
    *("llama3.1-8b", "llama3.1-70b", "llama3.1-405b", "mixtral-8x7b", "deepseek-v3"),
    *("qwen3-30b-a3b", "gpt3-175b"),
)
CHIPS = ("a100-80", "h100-sxm", "b200", "mi300x", "tpu-v5p", "trainium2", "sn40l", "wse-3", "v100")
MORE = (
    {}, {}, {}, {"precision": "fp8"}, {"software": "fsdp"}, {"flash_attention": False},
    {"recompute": "full"}, {"offload": "all"}, {"lora_rank": 16}, {"sequence_parallel": False},
)  # fmt: skip


@pytest.fixture(scope="module")
def requests():
    """Requests that leave most of the plan free, on all kinds of machines."""
    chance = random.Random(5)
    return [
        {
            "id": number, "model": chance.choice(MODELS), "chip": chance.choice(CHIPS),
            "chips": chance.choice((8, 24, 64, 512, 2048)), "seq_len": chance.choice((2048, 8192, 65536)),
            "global_batch": chance.choice((48, 512, 1536)), **chance.choice(MORE),
        }
        for number in range(90)
    ]  # fmt: skip


def test_no_answer_changes(requests, monkeypatch):
    weighed = []
    whole = training_batch.Plans.weighed

    def count(plans, *margin):
        weighed.append(plans.count)
        return whole(plans, *margin)

    monkeypatch.setattr(training_batch.Plans, "weighed", count)
    monkeypatch.setattr(plan_search, "WORTH_CHOOSING", 0)
    thinned = training.predict(requests)
    few, weighed[:] = sum(weighed), []
    monkeypatch.setattr(plan_search, "WORTH_CHOOSING", np.inf)
    assert training.predict(requests) == thinned
    assert sum(answer["ok"] for answer in thinned) > 60
    assert few < 0.6 * sum(weighed)


@pytest.fixture(scope="module")
def weighed(requests):
    """Of each request: its bare layouts, all its plans, what they hold."""
    rows = training_lines.read(requests, known.load()).rows
    found = []
    for place in range(len(rows)):
        bare = training_batch.Plans.bare(rows, np.array([place]))
        every = bare.written_out()
        found.append((bare, every, every.weighed()))
    return found


def test_the_bound_lies_below_every_plans_time(weighed):
    shares = []
    for _, plans, (_, _, share, _) in weighed:
        plans.plan = replace(plans.plan, recompute_share=share)
        plans.show()
        total = plans.timed().total
        assert (plans.least() <= total * (1 + plan_search.ROUNDING)).all()
        shares.append(float(np.median(plans.least() / total)))
    assert np.median(shares) > 0.75, "a bound far below leaves nothing out"


def test_layouts_too_large_are_left_out_and_no_others(weighed):
    left_out = 0
    for bare, _, (room, fits, *_) in weighed:
        needed = fits > 0 if fits.any() else room <= plan_search.NEARLY_SMALLEST * room.min()
        of_layout = needed.reshape(bare.count, -1).any(axis=1)
        kept = plan_search._small_enough(bare)
        assert (kept | ~of_layout).all()
        left_out += bare.count - kept.sum()
    assert left_out > 0.1 * sum(bare.count for bare, _, _ in weighed)


def test_one_of_each_different_kind_and_the_lowest_of_each_row():
    columns = [np.array([3, 1, 3, 1, 3_000_000]), 7, np.array([0.0, 0, 0, 2, 0])]
    chosen, which = selecting.distinct(columns)
    first = np.flatnonzero(chosen)
    for column in (columns[0], columns[2]):
        assert (column[first][which] == column).all()
    assert len(first) == 4
    assert selecting.distinct([1, 2])[1].tolist() == [0]
    values, counts = np.array([3.0, 1, 2, 2, 9, 5]), np.array([4, 2])
    assert selecting.lowest(values, counts, 1).tolist() == [False, True, True, True, True, True]
