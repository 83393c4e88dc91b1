"""Requests answered together are answered as each by itself, whatever stands beside them."""

import io
import json
import math
import random

import pytest

from training_moat.catalog import chips, models
from training_moat.predict import training, training_constants, training_lines
from training_moat.press.verbs import predict

DEAD_LINK = {"base": "h100-sxm", "scaleup_gb_per_s_per_direction": 0}
ODD_VALUES = {
    "model": ["lama3.1-70b", None, 7, {"layers": 32, "hidden": 4096}, {"hidden": "x"}, ["a"]],
    "chip": [
        "h10O-sxm",
        None,
        {"base": "h200", "hbm_gb": 96},
        {"base": "nope"},
        DEAD_LINK,
        "8x H100",
        "DGX A100",
    ],
    "chips": [None, 0, -8, 3.5, 64.0, "8", True, 10**13, 10**400, [8], 72],
    "tp": [0, 3, 8.0, "2", 5, 64],
    "pp": [0, 7, 97],
    "dp": [0, 12],
    "cp": [2, 3],
    "ep": [2, 3, 64],
    "micro_batch": [7, 2, 0, 1.5],
    "virtual_stages": [2, 5],
    "zero_stage": [0, 4, -1, 3, "3"],
    "seq_len": [None, 1, 4095, 131072, "4k"],
    "global_batch": [None, 1, 7, 4096, 1e3],
    "precision": ["fp4", "bf17", 16, "int8"],
    "software": ["Megatron", "nemmo", "quux", 3, "torchtune", "neuron", "torchtitan"],
    "recompute": ["some", "selective", 2],
    "recompute_share": [0.5, 2, "half"],
    "optimizer": ["adam8bit", "adamw2", "muon"],
    "master_weights": [False, 1, 2],
    "flash_attention": [False, "yes", 0],
    "sequence_parallel": [True, 0],
    "expert_tp": [2, 0],
    "lora_rank": [16, True, -1],
    "lora_targets": [["q_proj", "v_proj"], "mlp", [3], []],
    "shard_group": [2, 3, 0],
    "base_precision": ["nf4", "fp4", 4],
    "offload": ["optimizer", "cpu", "disk"],
    "activation_offload": ["outputs", "all", "host"],
    "activation_offload_share": [0.5, 2, "half"],
    "chunked_loss": [True, 1, "yes"],
    "narrow_gather": [True, 0, "fp8"],
    "released": ["2026-04", "2026-13", 2025, True],
    "matmul_tflops": [500, 1e9, -1],
    "price_usd_per_chip_hour": [2.5, -1, "2"],
    "tokens_b": [1000, 0],
    "goodput": [0.8, 1.5],
    "anchors": [[{"measured_step_s": 10.0}], [{"measured_step_s": -1}], 3],
    "sofware": ["nemo"],
    "id": [None, 1.5, {"run": [1, 2]}, "é", 10**30],
}
"""What a request may say of a field, well and badly."""


def requests(count: int) -> list[dict]:
    """Random requests: pinned and free, four in ten with one or two odd values."""
    draw = random.Random(20261126)
    known_chips, known_models = sorted(chips.all_chips()), sorted(models.all_models())
    found = []
    for number in range(count):
        usual = draw.random() < 0.6
        size = 2 ** draw.randint(0, 8)
        case = {
            "id": number,
            "model": draw.choice(("llama3.1-70b", "mixtral-8x7b"))
            if usual
            else draw.choice(known_models),
            "chip": draw.choice(("h100-sxm", "mi300x", "tpu-v5p"))
            if usual
            else draw.choice(known_chips),
            "chips": size,
            "seq_len": draw.choice((2048, 8192)),
            "global_batch": draw.choice((256, 512, 768)),
        }
        if draw.random() < 0.6:
            tp = min(size, draw.choice((1, 2, 4, 8)))
            pp = draw.choice((1, 2, 4)) if size // tp % 4 == 0 else 1
            case |= {"tp": tp, "pp": pp, "dp": size // tp // pp, "micro_batch": 1}
            if draw.random() < 0.7:
                case |= {"cp": 1, "ep": 1, "virtual_stages": 1, "zero_stage": 1}
                case |= {"recompute": draw.choice(("none", "full"))}
        if draw.random() < 0.4:
            for name in draw.sample(sorted(ODD_VALUES), draw.randint(1, 2)):
                case[name] = draw.choice(ODD_VALUES[name])
        found.append(case)
    return found


def differences(one, other, place=""):
    """Where two answers differ: numbers by more than 1e-9 of them, lists in their order."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [d for name in one for d in differences(one[name], other[name], f"{place}.{name}")]
    if isinstance(one, float) and isinstance(other, float):
        return [] if math.isclose(one, other, rel_tol=1e-9) else [(place, one, other)]
    return [] if one == other else [(place, one, other)]


@pytest.fixture(scope="module")
def asked():
    return requests(500)


@pytest.fixture(scope="module")
def together(asked):
    return training.predict(asked)


def test_together_as_one_by_one(asked, together):
    constants = training_constants.load()
    for request, found in zip(asked, together, strict=True):
        alone = training.one_by_one([request], [0], constants)[0]
        assert not differences(alone, found), request
    refused = [one for one in together if not one["ok"]]
    assert 50 < len(refused) < 250 and len({one["error"] for one in refused}) > 40


def test_neighbours_and_order_do_not_matter(asked, together):
    places = list(range(len(asked)))
    random.Random(1).shuffle(places)
    shuffled = training.predict([asked[place] for place in places])
    for place, found in zip(places, shuffled, strict=True):
        assert not differences(together[place], found), asked[place]


def test_the_best_plan_is_the_best_of_all_plans(asked, together):
    """Plans that recompute in vain are not weighed where one answer is wanted; a search weighs all."""
    free = [
        (request, found)
        for request, found in zip(asked, together, strict=True)
        if found["ok"] and "tp" not in request and "anchors" not in request
    ]
    assert len(free) > 50
    for request, found in free[:50]:
        best = training.search(request, top=1)[0]
        if not found["fits"]:  # the search tells the smallest then
            assert best["memory_gib"]["total"] <= found["memory_gib"]["total"] and not best["fits"]
            continue
        assert not differences(best["plan"], found["plan"]), request
        assert best["step_time_s"] == pytest.approx(found["step_time_s"], rel=1e-9)


def test_a_bad_line_costs_one_line(asked, together, monkeypatch, capsys):
    """Through the command: what is no JSON, no object or cut off is refused in its place."""
    bad = ["{", "[1]", '{"id": 1, "chips": NaN}', '{"a": 1e999}', "nonsense", '{"id": "\\ud800"']
    draw = random.Random(2)
    lines, expected = [], []
    for request, found in zip(asked[:120], together, strict=False):
        lines.append(json.dumps(request))
        expected.append(found)
        if draw.random() < 0.2:
            lines.append(draw.choice(bad))
            expected.append(None)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    from training_moat import cli

    assert cli.main(["predict", "training"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == len(lines) and expected.count(None) > 10
    for line, wanted, found in zip(lines, expected, told, strict=True):
        if wanted is None:
            assert found["ok"] is False and "line" in found["error"], line
        elif wanted["ok"]:
            assert not differences(wanted, found), line
        else:
            assert found["ok"] is False and found["id"] == wanted["id"], line


def test_the_fast_writer_and_reader_lose_nothing():
    long = 12345678901234567890123
    (case,) = predict.parse([f'{{"id": {long}, "é": 1.5}}'])
    assert case["id"] == long
    text, ok = predict._encoded(case, {"id": long, "ok": True, "word": "é", "none": None})
    assert ok and json.loads(text) == {"id": long, "ok": True, "word": "é", "none": None}
    assert text.isascii()
    text, ok = predict._encoded({"id": 1}, {"id": 1, "ok": True, "x": float("nan")})
    assert not ok and json.loads(text)["error"].startswith("has no finite answer")


def test_how_experts_are_cut_is_checked_where_nothing_else_is_settled():
    """Three chips share no expert of a group of sixteen, and a dense model has none to share."""
    run = {"model": "mixtral-8x7b", "chip": "h100-sxm", "chips": 64, "expert_tp": 3}
    many = training.predict([run] * 2 + [run | {"model": "llama3-8b"}])
    assert many == [training.predict([one])[0] for one in (run, run, run | {"model": "llama3-8b"})]
    assert not any(answer["ok"] for answer in many)


def test_a_chip_of_ones_own_is_not_taken_for_another_that_had_its_place_in_memory(monkeypatch):
    """As where the first request is done with, and the second one's chip is put where the first one's was."""
    monkeypatch.setattr(training_lines, "id", lambda _: 0, raising=False)
    plan = {"model": "llama3.1-8b", "chips": 8, "tp": 1, "pp": 1, "dp": 8, "precision": "fp16"}
    chips = [{"base": "h100-sxm", "id": "mine"}, {"base": "wse-3t", "id": "yours"}]
    sound, silent = training.predict([{**plan, "chip": chip} for chip in chips])
    assert sound["ok"] and silent["error"].startswith("chip yours: size of its outside store")
