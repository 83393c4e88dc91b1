"""Whatever valid case is asked, an answer is finite, not negative, adds up, and stays below the data sheet."""

import json
import math
import random
from collections.abc import Iterator

import pytest

from training_moat.catalog import chips as chip_catalog
from training_moat.catalog import models as model_catalog
from training_moat.core.units import GIB
from training_moat.core.workload import params
from training_moat.predict import requests, training, training_answers
from training_moat.predict import software as stacks

CASES = 8_000
"""Each chip a hundred times, each model fifty times; `benchmarks.fuzz` asks 20,000."""
AT_ONCE = 2_000
CHIPS = sorted(chip_catalog.all_chips())
MODELS = model_catalog.all_models()
SOFTWARE = [None, *sorted(stacks.all_software())]


def dealt(dice: random.Random, values: list[str]) -> Iterator[str]:
    """Values in turns that hold each of them once: as evenly as draws can be spread."""
    while True:
        yield from dice.sample(values, len(values))


def random_cases(count: int, dice: random.Random) -> list[dict]:
    """Valid plans, of every model and every chip alike."""
    names, own = dealt(dice, sorted(MODELS)), dealt(dice, CHIPS)
    return [random_case(dice, next(names), next(own)) for _ in range(count)]


def random_case(dice: random.Random, name: str, chip: str) -> dict:
    """A valid plan: sizes that multiply, heads, layers and experts that divide."""
    model = MODELS[name]
    tp = dice.choice([n for n in (1, 2, 4, 8) if model.heads % n == 0])
    pp = dice.choice([n for n in (1, 2, 3, 4, 8, 16) if n <= model.layers])
    cp, dp = dice.choice((1, 1, 2)), dice.choice((1, 2, 3, 8, 64))
    experts = int(model.experts)
    ep = dice.choice(
        [n for n in (1, 2, 4, 8) if experts and experts % n == 0 and tp * cp * dp % n == 0] or [1]
    )
    micro = dice.choice((1, 2, 4))
    virtual = dice.choice([n for n in (1, 2, 3) if pp > 1 and n * pp <= model.layers] or [1])
    case = {
        "model": name, "chip": chip, "chips": tp * pp * dp * cp,
        "tp": tp, "pp": pp, "dp": dp, "cp": cp, "ep": ep, "micro_batch": micro, "virtual_stages": virtual,
        "seq_len": dice.choice((128, 2048, 8192, 131072)), "global_batch": dp * micro * dice.choice((1, 3, 16, 256)),
        "zero_stage": dice.choice((0, 1, 2, 3)), "precision": dice.choice((None, *requests.PRECISIONS)),
        "recompute": dice.choice(("none", "selective", "full")), "software": dice.choice(SOFTWARE),
        "optimizer": dice.choice(("adamw", "sgd", "adam8bit")), "master_weights": dice.choice((None, True, False)),
        "lora_rank": dice.choice((None, None, 8)), "offload": dice.choice((None, None, "optimizer", "all")),
        "activation_offload": dice.choice((None, None, None, "outputs", "all")),
        "flash_attention": dice.choice((None, True, False)),
        "chunked_loss": dice.choice((None, None, True, False)),
        "dispatcher": dice.choice((None, "all-to-all", "deepep", "hybridep", "one-hot")),
        "capacity_factor": dice.choice((None, None, 1, 1.25)),
        "graphs": dice.choice((None, None, "none", "partial", "whole", "compiled")),
        "overlapped_exchange": dice.choice((None, True, False)),
        "balanced_routing": dice.choice((None, True, False)),
        "released": dice.choice((None, "2021-06", "2024-02", "2026-07")),
    }  # fmt: skip
    return {key: value for key, value in case.items() if value is not None}


@pytest.fixture(scope="module")
def answered() -> list[tuple[dict, dict]]:
    dice = random.Random(20261125)
    asked = random_cases(CASES, dice)
    found = []
    for start in range(0, CASES, AT_ONCE):
        part = asked[start : start + AT_ONCE]
        found += list(zip(part, training.predict(part), strict=True))
    return found


def numbers(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from numbers(one)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def test_most_valid_cases_are_answered_and_refusals_are_one_sentence(answered):
    refused = [(case, answer) for case, answer in answered if not answer["ok"]]
    assert len(refused) < 0.3 * len(answered)
    for case, answer in refused:
        # What a vendor keeps back, and what a chip that streams its weights cannot cut, are the only reasons.
        assert answer["error"].startswith(f"chip {case['chip']}"), (case, answer)
        reasons = ("published", "tp, pp, cp and ep must be 1")
        assert any(reason in answer["error"] for reason in reasons), answer
        assert len(answer["error"]) <= 400, answer


def test_every_number_is_finite_and_none_is_negative(answered):
    for case, answer in answered:
        json.dumps(answer, allow_nan=False)
        assert all(math.isfinite(n) and n >= 0 for n in numbers(answer) if answer["ok"]), case


def test_parts_add_up(answered):
    for case, answer in answered:
        if answer["ok"]:
            assert sum(answer["seconds"].values()) == pytest.approx(answer["step_time_s"]), case
            held = answer["memory_gib"]
            kinds = [held[name] for name in training_answers.HELD]
            assert sum(kinds) == pytest.approx(held["total"]) == pytest.approx(held["reserved"])
            assert held["allocated"] <= held["reserved"], case


def test_intervals_hold_their_middle_and_nothing_beats_the_data_sheet(answered):
    for case, answer in answered:
        if answer["ok"]:
            low, high = answer["step_time_s_p05"], answer["step_time_s_p95"]
            assert 0 < low <= answer["step_time_s"] <= high, case
            # The masked half of attention's scores counts and is not computed.
            assert 0 < answer["mfu"] <= (1 if case["seq_len"] <= 8192 else 1.5), case


def test_weights_agree_with_the_count_of_parameters(answered):
    """Over all chips of one replica no fewer than all weights, and on no chip more than all of them; none where they stay
    in a store outside."""
    for case, answer in answered:
        if answer["ok"] and case.get("offload") != "all":
            whole = 4 * params(MODELS[case["model"]]) / GIB
            assert answer["memory_gib"]["weights"] <= whole * (1 + 1e-9), case
            if "training" in chip_catalog.chip(case["chip"]).streamed:
                assert answer["memory_gib"]["weights"] == 0, case
                assert answer["store_gib"] >= 0.499 * whole, case
                continue
            held = answer["memory_gib"]["weights"] * case["chips"]
            assert held >= 0.499 * whole * (1 - 1e-9), case


def test_more_bandwidth_is_never_slower():
    dice = random.Random(7)
    asked = random_cases(440, dice)
    faster = []
    for case in asked:
        chip = chip_catalog.chip(case["chip"])
        rate = chip.tier("hbm")
        own = {"base": case["chip"], "id": "faster"}
        if rate is not None and rate.bytes_per_s:
            own["hbm_tb_per_s"] = 2 * rate.bytes_per_s / 1e12
        if chip.scaleout is not None:
            own["scaleout_gbit_per_s_per_chip"] = 2 * chip.scaleout.bytes_per_s * 8 / 1e9
        same = {"base": case["chip"], "id": "faster"}
        faster.append(({**case, "chip": same}, {**case, "chip": own}))
    plain = training.predict([a for a, _ in faster])
    quick = training.predict([b for _, b in faster])
    compared = [(a, b, c) for a, b, c in zip(plain, quick, asked, strict=True) if a["ok"]]
    assert len(compared) > 300
    for before, after, case in compared:
        assert after["ok"], case
        assert after["step_time_s"] <= before["step_time_s"] * (1 + 1e-9), case
