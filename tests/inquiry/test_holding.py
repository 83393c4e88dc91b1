"""The memory chapter's verdicts are the predictions' own, for every chip of the table."""

from __future__ import annotations

import math

import pytest

from training_moat.catalog import chips, models
from training_moat.core import tiers
from training_moat.core.workload import params
from training_moat.inquiry import holding
from training_moat.predict import serving, training

MODEL = "llama3.1-70b"


@pytest.fixture(scope="module")
def verdicts():
    return holding.verdicts(MODEL).set_index("chip")


def test_every_chip_has_both_verdicts_and_a_reason(verdicts) -> None:
    assert set(verdicts.index) == set(chips.all_chips())
    for job in ("training", "serving"):
        assert set(verdicts[job]) <= {"holds", "no", "unknown"}
        unknown = verdicts[verdicts[job] == "unknown"]
        assert unknown[f"{job}_why"].str.contains("Missing datum").all()
        failed = verdicts[verdicts[job] == "no"]
        assert failed[f"{job}_why"].str.contains("fails").all()


def test_training_is_what_predict_says_on_that_many_chips_and_on_half_of_them(verdicts) -> None:
    common = {"model": MODEL, "seq_len": 8192, "global_batch": 1024, "optimizer": "adamw"}
    held = verdicts[verdicts["training"] == "holds"]
    for name, count in held["training_chips"].items():
        (answer,) = training.predict([common | {"chip": name, "chips": int(count)}])
        assert answer["ok"] and answer["fits"], name
        if count > 1:
            (half,) = training.predict([common | {"chip": name, "chips": int(count) // 2}])
            assert not (half["ok"] and half["fits"]), name


def test_serving_is_what_predict_says_with_the_chips_left_open(verdicts) -> None:
    common = {"model": MODEL, "batch": 32, "input_len": 8191, "output_len": 1}
    answers = serving.predict([common | {"chip": name} for name in verdicts.index])
    for (name, row), answer in zip(verdicts.iterrows(), answers, strict=True):
        holds = answer["ok"] and answer["fits"]
        assert (row["serving"] == "holds") == holds, name
        if holds:
            assert row["serving_chips"] == answer["plan"]["chips"], name
            pinned = common | {"chip": name, "chips": answer["plan"]["chips"]}
            (again,) = serving.predict([pinned])
            assert again["fits"], name


def test_nobody_is_said_to_hold_a_job_on_more_chips_than_any_system_has(verdicts) -> None:
    for job in ("training", "serving"):
        held = verdicts[verdicts[job] == "holds"]
        for name, count in held[f"{job}_chips"].items():
            assert count <= tiers.system_limit(chips.chip(name)), name


def test_the_challengers_hold_as_their_makers_use_them(verdicts) -> None:
    assert verdicts.loc["sn10", "training_why"].startswith("DDR of")
    assert verdicts.loc["sn30", "training_chips"] <= 8
    assert verdicts.loc["wse-3", "serving_why"].startswith("SRAM of")
    assert "outside store" in verdicts.loc["wse-3", "training_why"]
    assert verdicts.loc["groq-lpu-v1", "training"] == "no"


def test_a_chip_that_holds_training_takes_at_least_the_states(verdicts) -> None:
    """Fourteen bytes and more a weight (Rajbhandari et al. 2020, section 3.1), spread over the chips."""
    held = verdicts[verdicts["training"] == "holds"]
    states = params(models.model(MODEL)) * 14
    for name, count in held["training_chips"].items():
        chip = chips.chip(name)
        assert count * tiers.capacity_bytes(chip, "training") > states, name


@pytest.mark.parametrize(
    "name", ["groq-lpu-v1", "corsair", "sn10", "wse-1", "mlu590", "sohu", "h100-sxm"]
)
def test_one_chip_alone_has_words_for_everything(name: str) -> None:
    found = holding.verdicts(MODEL, chips=[name], batch=2048)
    assert len(found) == 1 and found["training_why"].iloc[0] and found["serving_why"].iloc[0]
    ratio = holding.typical_ratio(found)
    assert math.isnan(ratio) or ratio > 0
    assert sum(holding.counted_verdicts(found).values()) == 2
    assert len(holding.fewest(found)) <= 2 and len(holding.every_verdict(found)) == 1
    assert len(holding.speeds(found, MODEL)) <= 1
    assert holding.on_one_chip(chips.chip(name))


def test_smaller_optimizers_need_no_more_chips() -> None:
    some = ["h100-sxm", "sn40l", "gaudi3"]
    full, lean = (
        holding.verdicts(MODEL, chips=some, optimizer=name)["training_chips"]
        for name in ("adamw", "adam8bit")
    )
    assert (lean <= full).all()


@pytest.mark.parametrize("model", ["llama3.1-8b", "deepseek-v3"])
def test_other_models_have_verdicts_too(model: str) -> None:
    some = ["h100-sxm", "wse-3", "groq-lpu-v1", "mtia-v1"]
    found = holding.verdicts(model, chips=some, optimizer="sgd", seq_len=2048, precision="fp8")
    assert len(found) == len(some)


def test_four_bit_integer_weights_halve_nothing_but_weights() -> None:
    wide, narrow = (holding.bytes_by_kind(MODEL, precision=name) for name in ("bf16", "int4"))
    wide, narrow = (frame.set_index(["job", "kind"])["gb"] for frame in (wide, narrow))
    assert narrow["serving", "weights"] < 0.3 * wide["serving", "weights"]
    assert narrow["serving", "KV cache"] == wide["serving", "KV cache"]
