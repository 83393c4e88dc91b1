"""The memory chapter's verdicts are the predictions' own, for every chip of the table."""

from __future__ import annotations

import math
import os
import re

import cells
import pytest

from training_moat import figures
from training_moat.catalog import chips, models, parameters
from training_moat.core import tiers
from training_moat.core.workload import params
from training_moat.figures import offline, publishing
from training_moat.inquiry import held_speeds, holding
from training_moat.predict import requests, serving, training

MODEL = "llama3.1-70b"


@pytest.fixture(scope="module")
def verdicts():
    return holding.verdicts(MODEL).set_index("chip")


def test_every_chip_has_both_verdicts_and_a_reason(verdicts) -> None:
    assert set(verdicts.index) == set(chips.all_chips())
    for job in ("training", "serving"):
        assert set(verdicts[job]) <= {"holds", "no", "unknown"}
        unknown = verdicts[verdicts[job] == "unknown"]
        assert unknown[f"{job}_why"].str.contains("Missing datum|Not asked").all()
        failed = verdicts[verdicts[job] == "no"]
        assert failed[f"{job}_why"].str.contains("fails").all()


def test_training_is_what_predict_says_on_that_many_chips_and_on_half_of_them(verdicts) -> None:
    common = {"model": MODEL, "seq_len": 8192, "global_batch": 1024, "optimizer": "adamw"}
    held = verdicts[verdicts["training"] == "holds"]
    told = [any(map(chips.chip(name).peak_flops.get, holding.WIDE)) for name in held.index]
    needed = held.loc[told, "training_chips"].astype(int)
    asked = [common | {"chip": name, "chips": count} for name, count in needed.items()]
    for one, answer in zip(asked, training.predict(asked), strict=True):
        if not answer["fits"]:  # the open search shares out less than it could: the plan is pinned
            shared = {"pp": 1, "micro_batch": 1, "zero_stage": 3, "recompute": "full"}
            pinned = training.predict([one | shared | {"tp": group} for group in (8, 64)])
            answer = max(pinned, key=lambda each: each["fits"])
        assert answer["ok"] and answer["fits"], one["chip"]
    fewer = [one | {"chips": one["chips"] // 2} for one in asked if one["chips"] > 1]
    assert fewer
    for one, half in zip(fewer, training.predict(fewer), strict=True):
        assert not (half["ok"] and half["fits"]), one["chip"]


def test_serving_is_what_predict_says_with_the_chips_left_open(verdicts) -> None:
    common = {"model": MODEL, "batch": 32, "input_len": 8191, "output_len": 1}
    answers = serving.predict([common | {"chip": name} for name in verdicts.index])
    pinned = []
    for (name, row), answer in zip(verdicts.iterrows(), answers, strict=True):
        holds = answer["ok"] and answer["fits"]
        assert (row["serving"] == "holds") == holds, name
        if holds:
            assert row["serving_chips"] == answer["plan"]["chips"], name
            pinned.append(common | {"chip": name, "chips": answer["plan"]["chips"]})
    assert pinned
    for one, again in zip(pinned, serving.predict(pinned), strict=True):
        assert again["fits"], one["chip"]


def test_nobody_is_said_to_hold_a_job_on_more_chips_than_any_system_has(verdicts) -> None:
    for job in ("training", "serving"):
        held = verdicts[verdicts[job] == "holds"]
        for name, count in held[f"{job}_chips"].items():
            assert count <= tiers.system_limit(chips.chip(name)), name


def test_the_challengers_hold_as_their_makers_use_them(verdicts) -> None:
    assert verdicts.loc["sn10", "training_why"].startswith("It fits into the DDR of")
    assert verdicts.loc["sn30", "training_chips"] <= 8
    assert verdicts.loc["wse-3", "serving_why"].startswith("It fits into the SRAM of")
    assert "outside store" in verdicts.loc["wse-3", "training_why"]
    assert verdicts.loc["groq-lpu-v1", "training"] == "no"


@pytest.mark.parametrize(
    ("name", "word"),
    [("sn10", "DDR"), ("mtia-v2", "LPDDR"), ("rtx-4090", "GDDR"), ("wormhole", "GDDR")],
)
def test_each_memory_goes_by_its_own_name(verdicts, name, word) -> None:
    """Graphics memory and that of phones had been called DDR."""
    assert f" {word} of " in verdicts.loc[name, "training_why"]
    assert verdicts.loc[name, "tier"] == word
    assert f"{word} of " in holding.on_one_chip(chips.chip(name))


def test_a_failure_is_told_of_the_leanest_plan(verdicts) -> None:
    """Groq's first chip: 0.21 GiB of SRAM. With ZeRO 3, all activations made again and every matrix over 64
    chips, a chip of 8,192 holds a 8,192nd of the states (16 bytes a weight: 0.13 GiB) and a little more of activations,
    not the tens of GiB of a plan made for larger memories."""
    why = verdicts.loc["groq-lpu-v1", "training_why"]
    assert "8,192 chips" in why and "needs 0.30 GB a chip, 1.4 times" in why


def test_a_chip_with_a_slow_but_real_memory_holds_training_when_all_is_shared_out(verdicts) -> None:
    """Grayskull: 8 GB of LPDDR a chip; 512 of them have three times the 1.1 TB of states."""
    assert verdicts.loc["grayskull", "training"] == "holds"
    assert verdicts.loc["grayskull", "training_chips"] == 512


@pytest.mark.parametrize(("name", "chips_needed"), [("gc2", 16_384), ("groq-3-lpu", 8_192)])
def test_memory_of_cores_alone_holds_training_on_thousands_of_chips(
    verdicts, name, chips_needed
) -> None:
    """Some 0.3 and 0.5 GB a chip: what contexts and buffers take on GPUs alone would be ten times that."""
    assert verdicts.loc[name, "training"] == "holds"
    assert verdicts.loc[name, "training_chips"] == chips_needed


def test_a_missing_datum_is_named_in_words_for_readers(verdicts) -> None:
    unknown = verdicts[(verdicts["training"] == "unknown") | (verdicts["serving"] == "unknown")]
    told = " ".join(unknown["training_why"] + unknown["serving_why"])
    assert "_tflops" not in told and "'base'" not in told
    assert (
        verdicts.loc["corsair", "training_why"]
        == "Not asked: it multiplies integers alone (MXINT4 and INT8)."
    )


def test_a_chip_of_integers_lacks_no_number_and_is_counted_by_itself(verdicts) -> None:
    """Corsair multiplies no floating-point numbers: the page had called its rate of sixteen bits unpublished."""
    told = holding.gaps_words(verdicts)
    unknown = int((verdicts["training"] == "unknown").sum())
    assert told.startswith(f"for {unknown - 1} a number") and "1 multiplies integers alone" in told
    assert "integers" not in holding.gaps_words(verdicts.drop("corsair"))


def test_how_far_bandwidth_orders_the_speeds_is_told_and_not_claimed(verdicts) -> None:
    """The page had said that bandwidth decides the order: among chips that serve from HBM it explains part of it."""
    found = verdicts.reset_index()
    told = held_speeds.order_words(held_speeds.speeds(found, MODEL), found)
    over, within = (float(one) for one in re.findall(r"\d\.\d\d", told))
    assert 0 < within < over < 1 and "serve from HBM" in told
    few = found.head(3)
    assert held_speeds.order_words(held_speeds.speeds(few, MODEL), few) == ""


@pytest.mark.parametrize("name", ["tpu-8t", "mtt-s5000", "blackhole"])
def test_what_a_chip_holds_is_no_matter_of_its_rate_in_sixteen_bits(verdicts, name) -> None:
    """Their makers publish no such rate; the bytes of training are the same without it."""
    assert verdicts.loc[name, "training"] == "holds"
    assert "rate" not in verdicts.loc[name, "training_why"]


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
    assert len(held_speeds.speeds(found, MODEL)) <= 1
    assert holding.on_one_chip(chips.chip(name))
    assert "SRAM of 520 MB" in holding.on_one_chip(chips.chip("sn40l"))
    assert "SRAM of 44 GB" in holding.on_one_chip(chips.chip("wse-3"))
    assert holding.size_gb(chips.chip("wse-3").tiers[0]) == 44


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


SOME = ("groq-lpu-v1", "corsair", "sn10", "wse-1", "mlu590", "h100-sxm")
"""In the short form; `MOAT_ALL_CHIPS` runs the chapter on every chip of the table."""


def run_chapter(monkeypatch, **values) -> list[str]:
    """Run the cells that other parameters reach in this process; the sentences they show."""
    monkeypatch.delenv("MOAT_STRICT", raising=False)
    shown: list[str] = []
    monkeypatch.setattr(figures, "sentence", lambda text, **_: shown.append(text))
    monkeypatch.setattr(figures, "expect", lambda *_: None)
    monkeypatch.setattr(offline, "ordered_png", lambda spec: b"")  # charts are made and not drawn
    monkeypatch.setattr(publishing, "display", lambda *_, **__: None)
    reached = cells.touched("memory", parameters.convert_all("memory", values))
    for number, (cell, space) in enumerate(reached):
        if number == 0:
            shown.clear()  # the defaults have been run by now
        cell.run(space)
    return shown


BROKEN = re.compile(r"\bnan\b|\binf\b|of 1 chips|\b1 chips\b|without limit the|  ")


@pytest.mark.parametrize(
    "name", sorted(chips.all_chips()) if os.environ.get("MOAT_ALL_CHIPS") else SOME
)
def test_the_chapter_runs_to_a_page_for_one_chip_alone(name: str, monkeypatch) -> None:
    shown = run_chapter(monkeypatch, chips=[name], chip=name)
    assert len(shown) >= 5  # and the one that no chip changes
    assert not [words for words in shown if BROKEN.search(words)]


def test_the_chapter_runs_with_odd_values(monkeypatch) -> None:
    odd = {"chips": ["sn40l", "h200"], "batch": 2048, "seq_len": 1_048_576, "optimizer": "sgd"}
    odd |= {"precision": "int4", "recompute": "none", "zero_stage": 3}
    assert not [words for words in run_chapter(monkeypatch, **odd) if BROKEN.search(words)]


def test_a_store_that_is_short_is_what_fails() -> None:
    """70.6 billion weights, their gradients and AdamW's states at 2 + 2 + 12 bytes each: 1,051 GiB."""
    asked = {"base": "wse-3", "ddr_gb": 300}
    told = training.predict([{"model": MODEL, "chip": asked, "chips": 16}])[0]
    wafer = requests.chip_of({"chip": asked})
    why = holding._short_words(wafer, "training", (told, 16), 1.0)
    assert why.startswith("The outside store fails: the job needs 1,100 GB of it, of the 2")
    long = training.predict([{"model": MODEL, "chip": "wse-3", "chips": 16, "seq_len": 10**6}])[0]
    assert holding._short_words(chips.chip("wse-3"), "training", (long, 16), 1.0).startswith("SRAM")


def test_who_holds_it_only_on_more_chips_than_are_known_to_be_joined_is_told() -> None:
    """GC2 on 16,384 of itself had stood among those that hold training without a word."""
    found = holding.verdicts(MODEL, chips=["gc2", "h100-sxm"])
    assert (found["training"] == "holds").all()
    assert "(1 of them" in holding.unjoined_words(found)
    assert holding.unjoined_words(found[found["chip"] == "h100-sxm"]) == ""


def test_a_model_published_in_fewer_bits_alone_is_counted_in_these_on_the_whole_page() -> None:
    """Bars and tokens had sixteen bits beside verdicts in FP8, and the parameter said sixteen bits."""
    kinds = holding.bytes_by_kind("deepseek-v3").set_index(["job", "kind"])["gb"]
    wide = holding.bytes_by_kind("deepseek-v3", precision="bf16").set_index(["job", "kind"])["gb"]
    assert kinds["serving", "weights"] < 0.6 * wide["serving", "weights"]
    assert kinds["training", "weights"] == wide["training", "weights"]
    h100 = chips.chip("h100-sxm")
    assert holding.tokens_to_feed(h100, model="deepseek-v3") == holding.tokens_to_feed(h100, "fp8")
    assert holding.tokens_to_feed(h100, model="llama3.1-70b") == holding.tokens_to_feed(h100)
    assert "published alone" in parameters.schema("memory")["precision"].meaning
