"""Whatever valid serving case is asked of whatever chip: the answer is finite, ordered, and no free lunch."""

from __future__ import annotations

import math
import random
from functools import lru_cache

import pytest

from training_moat.catalog import chips, models
from training_moat.core.units import GIB
from training_moat.core.workload import params
from training_moat.predict import serving
from training_moat.predict.serving_formats import PRECISIONS

CASES = 1500
SEED = 7
SIZES = (1, 2, 4, 8, 16, 64)
LENGTHS = (1, 128, 1024, 8192, 131072)
FASTER = 1.5


def random_case(rng: random.Random) -> dict:
    """A case with what its model and chip allow; some of them still have no layout or no units."""
    case = {
        "model": rng.choice(sorted(models.all_models())),
        "chip": rng.choice(sorted(chips.all_chips())),
        "batch": rng.choice((1, 3, 32, 500)),
        "input_len": rng.choice(LENGTHS),
        "output_len": rng.choice(LENGTHS),
    }
    optional = {
        "chips": rng.choice(SIZES),
        "precision": rng.choice(PRECISIONS),
        "kv_precision": rng.choice(("bf16", "fp8", "int4")),
        "software": rng.choice(("vllm", "sglang", "trt-llm 0.12", "tgi", "cerebras", "llama.cpp")),
        "price_usd_per_chip_hour": rng.choice((0.5, 12.0)),
    }
    return case | {key: value for key, value in optional.items() if rng.random() < 0.5}


@lru_cache(maxsize=1)
def asked_and_answered() -> list[tuple[dict, dict]]:
    rng = random.Random(SEED)
    asked = [random_case(rng) for _ in range(CASES)]
    return list(zip(asked, serving.predict(asked), strict=True))


def good() -> list[tuple[dict, dict]]:
    return [(case, answer) for case, answer in asked_and_answered() if answer["ok"]]


def numbers(value) -> list[float]:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers(part)]
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return [float(value)] if plain else []


def test_most_cases_are_answered_and_the_others_say_why_in_one_sentence() -> None:
    refused = [answer["error"] for _, answer in asked_and_answered() if not answer["ok"]]
    assert len(good()) > CASES / 2
    assert all("\n" not in words and len(words) < 300 for words in refused)


def test_answers_are_finite_ordered_and_add_up() -> None:
    for case, answer in good():
        assert all(math.isfinite(number) and number >= 0 for number in numbers(answer)), case
        assert answer["tpot_s_p05"] <= answer["tpot_s"] <= answer["tpot_s_p95"], case
        assert sum(answer["seconds"].values()) == pytest.approx(answer["tpot_s"]), case
        parts = sum(answer["memory_gib"][kind] for kind in ("weights", "kv_cache", "activations"))
        assert parts == pytest.approx(answer["memory_gib"]["total"]), case


def test_no_chip_holds_more_weights_than_the_model_has() -> None:
    """No format takes more than four bytes a weight, embeddings stay in sixteen bits."""
    for case, answer in good():
        width = 4 if case.get("precision") in ("fp32", "tf32") else 2.0
        whole = params(models.model(case["model"])) * width
        assert answer["memory_gib"]["weights"] * GIB <= whole * (1 + 1e-6), case


def test_the_same_plan_asked_again_is_answered_the_same() -> None:
    plans = [(case, answer) for case, answer in good() if answer["plan"]["dp"] == 1][:200]
    again = [
        {name: value for name, value in answer["plan"].items() if name not in ("cp", "expert_tp")}
        | {"model": case["model"], "chip": case["chip"]}
        for case, answer in plans
    ]
    for (case, first), second in zip(plans, serving.predict(again), strict=True):
        assert second["ok"], (case, second)
        assert second["tpot_s"] == pytest.approx(first["tpot_s"], rel=1e-6), case


def test_faster_memory_and_links_are_never_slower() -> None:
    known = chips.frame().set_index("id")
    rates = ["sram_tb_per_s", "hbm_tb_per_s", "ddr_gb_per_s", "scaleup_gb_per_s_per_direction"]
    pinned = [(case, answer) for case, answer in good() if case.get("chips")][:60]
    quicker = []
    for case, answer in pinned:
        row = known.loc[case["chip"], rates].dropna()
        better = {"base": case["chip"]} | {name: FASTER * value for name, value in row.items()}
        plan = {name: answer["plan"][name] for name in ("tp", "pp", "dp", "ep", "software")}
        quicker.append(case | plan | {"precision": answer["plan"]["precision"], "chip": better})
    for (case, first), second in zip(pinned, serving.predict(quicker), strict=True):
        if second["ok"]:
            assert second["tpot_s"] <= first["tpot_s"] * (1 + 1e-6), (case, second["notes"])


def test_one_bad_line_costs_one_line() -> None:
    """Experts in four bits on a chip without a 16-bit peak used to end the whole call."""
    fine = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 1}
    odd = {"model": "gpt-oss-120b", "chip": "corsair", "chips": 64, "precision": "mxfp4"}
    endless = fine | {"batch": 10**8, "input_len": 10**8, "output_len": 10**8}
    first, strange, long, last = serving.predict([fine, odd, endless, fine])
    assert first["ok"] and last["ok"] and strange["ok"]
    assert not long["ok"] and "\n" not in long["error"]
