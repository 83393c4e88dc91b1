"""The answers of `moat predict training`: what they hold, that they add up, and what must never happen."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training_moat.catalog import chips
from training_moat.contest.chip_assumptions import completed
from training_moat.core import training_step as model_of_step
from training_moat.core.errors import InputError
from training_moat.core.plan import Plan
from training_moat.core.serving_memory import ServingPlan
from training_moat.predict import (
    serving_batch,
    software,
    training,
    training_constants,
    training_nodes,
)
from training_moat.predict.training_plans import SIZES

CASE = {
    "id": 7,
    "model": "llama3.1-8b",
    "chip": "h100-sxm",
    "chips": 8,
    "seq_len": 8192,
    "global_batch": 128,
}
FULL = CASE | {
    "precision": "bf16", "software": "megatron", "tp": 2, "pp": 1, "dp": 4, "cp": 1, "ep": 1, "micro_batch": 1,
    "virtual_stages": 1, "zero_stage": 1, "sequence_parallel": True, "recompute": "none",
}  # fmt: skip
FIELDS = {
    "id": int, "ok": bool, "step_time_s": float, "step_time_s_p05": float, "step_time_s_p95": float, "tokens_per_s": float,
    "tokens_per_s_per_chip": float, "model_tflops_per_chip": float, "hardware_tflops_per_chip": float, "mfu": float, "hfu": float,
    "memory_gib": dict, "fits": bool, "seconds": dict, "plan": dict, "calibration": str, "notes": list,
}  # fmt: skip
KINDS = {"weights", "gradients", "optimizer", "activations", "workspace"}
MEMORY = KINDS | {"total", "allocated", "reserved"}
SECONDS = {
    "compute",
    "memory_bound",
    "tensor_parallel",
    "pipeline",
    "bubble",
    "data_parallel",
    "expert_parallel",
    "other",
}
MEASURED = [name for name in chips.all_chips() if name in training_constants.load().keys("chip")]


def one(**changes):
    return training.predict([CASE | changes])[0]


def assert_complete(answer):
    # What one store outside all chips holds is said where there is one.
    assert {n: type(value) for n, value in answer.items() if n not in ("id", "store_gib")} == {
        k: v for k, v in FIELDS.items() if k != "id"
    }
    assert set(answer["memory_gib"]) == MEMORY and set(answer["seconds"]) == SECONDS
    assert sum(answer["seconds"].values()) == pytest.approx(answer["step_time_s"])
    held = answer["memory_gib"]
    parts = {name: held[name] for name in KINDS}
    assert held["total"] == held["reserved"] == pytest.approx(sum(parts.values()))
    assert 0 < held["allocated"] <= held["reserved"]
    assert min(parts.values()) >= 0 and min(answer["seconds"].values()) >= 0
    assert answer["step_time_s_p05"] < answer["step_time_s"] < answer["step_time_s_p95"]
    assert 0 < answer["mfu"] <= answer["hfu"] < 1
    sizes = answer["plan"]
    assert answer["tokens_per_s"] == pytest.approx(
        sizes["global_batch"] * sizes["seq_len"] / answer["step_time_s"]
    )
    assert all(isinstance(note, str) for note in answer["notes"])
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def test_an_answer_has_every_field_of_the_contract():
    answer = one()
    assert_complete(answer)
    assert answer["id"] == 7 and answer["ok"] is True and answer["fits"] is True
    assert answer["calibration"] == "measured" and answer["notes"] == []
    assert answer["tokens_per_s_per_chip"] == pytest.approx(answer["tokens_per_s"] / 8)
    assert answer["mfu"] == pytest.approx(answer["model_tflops_per_chip"] / 989, rel=0.001)


def test_absent_settings_are_chosen_and_reported():
    """Null and absent are the same; the choice, given back as a request, gets the same answer."""
    nulls = dict.fromkeys((*SIZES, "precision", "software", "recompute"))
    answer = one()
    assert one(**nulls) == answer
    chosen = {
        key: value
        for key, value in answer["plan"].items()
        if key not in ("seq_len", "global_batch")
    }
    assert one(**chosen) == answer
    assert chosen["tp"] * chosen["pp"] * chosen["dp"] * chosen["cp"] == 8


def test_given_settings_are_kept():
    asked = FULL | {"recompute": "full", "zero_stage": 3, "micro_batch": 2}
    answer = training.predict([asked])[0]
    settings = (*SIZES, "recompute", "sequence_parallel")
    assert [answer["plan"][key] for key in settings] == [asked[key] for key in settings]
    assert answer["hfu"] > answer["mfu"]


def test_the_choice_is_the_fastest_that_fits():
    best = one()["step_time_s"]
    for tp in (1, 2, 4, 8):
        for recompute in ("none", "full"):
            other = one(tp=tp, recompute=recompute)
            assert not other["fits"] or best <= other["step_time_s"]


def test_order_and_identity_are_kept_and_bad_lines_do_not_disturb():
    requests = [
        CASE,
        CASE | {"id": "x", "chips": 0},
        {"id": [1], "model": "llama3.1-8b"},
        None,
        CASE | {"id": None, "chips": 16},
    ]
    answers = training.predict(requests)
    assert [answer["ok"] for answer in answers] == [True, False, False, False, True]
    assert [answer["id"] for answer in answers] == [7, "x", [1], None, None]
    assert all(set(answer) == {"id", "ok", "error"} for answer in answers if not answer["ok"])
    assert answers[0] == training.predict([CASE])[0]


def test_flops_follow_the_contracts_definition():
    """Forward and backward matmuls, vocabulary included, causal attention at full cost, recomputation apart."""
    answer = training.predict([FULL])[0]
    layers, hidden, ffn, vocab, s = 32, 4096, 14336, 128256, 8192
    weights = layers * (2 * hidden * hidden + 2 * hidden * 1024 + 3 * hidden * ffn) + hidden * vocab
    per_token = 6 * weights + 12 * layers * hidden * s
    assert answer["model_tflops_per_chip"] * 1e12 == pytest.approx(
        per_token * answer["tokens_per_s_per_chip"]
    )
    assert answer["hardware_tflops_per_chip"] == answer["model_tflops_per_chip"]


def test_a_plan_that_does_not_fit_is_marked():
    answer = one(chips=8, model="llama3.1-405b")
    assert answer["ok"] and not answer["fits"]
    assert any(
        "no plan fits; one of the smallest needs" in note and "hypothetical" in note
        for note in answer["notes"]
    )
    assert answer["memory_gib"]["total"] > 80


@pytest.mark.parametrize("chip", sorted(chips.all_chips()))
def test_every_chip_answers_or_names_what_its_vendor_keeps_back(chip):
    answer = training.predict(
        [{"model": "llama3.1-8b", "chip": chip, "chips": 8, "seq_len": 4096, "global_batch": 128}]
    )[0]
    if answer["ok"]:
        assert_complete(answer | {"id": 0})
    else:
        error = answer["error"]
        no_memory = error.startswith(f"chip {chip}: ") and "not published" in error
        no_peak = error.startswith(f"chip {chip} has a published peak")
        assert (no_peak or no_memory) and "\n" not in error


@pytest.mark.parametrize("chip", MEASURED)
@pytest.mark.parametrize("model", ["gpt-j-6b", "llama3.1-405b", "mixtral-8x22b"])
def test_no_measured_chip_exceeds_its_peak(chip, model):
    grid = [
        {"model": model, "chip": chip, "chips": 64, "seq_len": s, "global_batch": 512, "precision": precision, "recompute": recompute}
        for s in (512, 65536) for precision in ("bf16", "fp8") for recompute in ("none", "full")
    ]  # fmt: skip
    for request, answer in zip(grid, training.predict(grid), strict=True):
        # Of long sequences nearly all is attention, whose masked half counts and is not computed.
        assert 0 < answer["mfu"] <= answer["hfu"] < (1 if request["seq_len"] == 512 else 1.5)


def test_calibration_levels_widen_the_interval():
    """A measured chip, one of a measured family, one of an unmeasured family."""
    nobodys = {"bf16_tflops": 900, "hbm_gb": 80, "hbm_tb_per_s": 3}
    answers = [one(chip=chip) for chip in ("h100-sxm", "h20", nobodys)]
    assert [answer["calibration"] for answer in answers] == ["measured", "family", "generic"]
    widths = [math.log(answer["step_time_s_p95"] / answer["step_time_s_p05"]) for answer in answers]
    assert widths == sorted(widths)


def test_mixtures_have_wider_intervals_where_one_source_at_most_has_timed_the_kind():
    """Where several have they were half again as wide as dense ones', until their own errors fell below those."""

    def width(level, experts):
        low, high = training_constants.usual_interval(constants, level, "nvidia-hopper", experts)
        return high / low

    constants = training_constants.load()
    assert width("family", True) > width("family", False)
    assert width("measured", True) == pytest.approx(width("measured", False), rel=0.1)
    assert width("measured", True) < width("family", True)


def test_missing_links_are_said():
    notes = one(chip="sn40l", chips=64)["notes"]
    assert any("sn40l publishes no scale-out link" in note for note in notes)
    assert any("no rate of the link that joins its 16 chips" in note for note in notes)
    for joined in (one(chip="h100-sxm", chips=64), one(chip="sn40l", chips=1)):
        assert not any("scale-up" in note or "joins its" in note for note in joined["notes"])
    between_servers = {"id": "mine", "base": "sn40l", "scaleout_gbit_per_s_per_chip": 400}
    notes = one(chip=between_servers, chips=64)["notes"]
    assert ["joins its 16 chips" in note for note in notes if "link" in note] == [True]
    notes = one(chip="mtia-v2", chips=64)["notes"]
    assert any("mtia-v2 publishes no scale-up link" in note for note in notes)


@pytest.mark.parametrize("name", ["sn10", "sn30", "sn40l", "gc200"])
def test_a_link_of_unpublished_rate_is_the_one_that_the_counterfactual_assumes(name):
    """Where a maker says how many chips a link joins, `moat predict` gave them their scale-out rate inside a box, and the
    counterfactual a ninth of the time."""
    chip = chips.chip(name)
    told = {"id": "told", "base": name}
    link = completed(chip)[0].scaleup
    told["scaleup_gb_per_s_per_direction"] = link.bytes_per_s / 1e9
    told["scaleup_topology"] = link.topology
    found, expected = one(chip=name, chips=8), one(chip=told, chips=8)
    assert found["step_time_s"] == expected["step_time_s"]
    assert found["plan"] == expected["plan"]


def test_small_memories_share_a_model_over_their_links():
    """A plan of GroqChips that split no matrix over them needed 23 GiB a chip where the memory chapter's needs 0.4."""
    case = {"model": "llama3.1-70b", "chip": "groq-lpu-v1", "chips": 4096, "global_batch": 256}
    answer = one(**case, seq_len=8192)
    assert not answer["fits"]
    assert 0.2 < answer["memory_gib"]["total"] < 1


def test_search_lists_the_fastest_first_and_agrees_with_predict():
    found = training.search(CASE, top=5)
    times = [answer["step_time_s"] for answer in found]
    assert len(found) == 5 and times == sorted(times) and all(answer["fits"] for answer in found)
    assert found[0] == one()
    assert len({json.dumps(answer["plan"]) for answer in found}) == 5


def test_search_raises_for_a_bad_request_and_marks_what_does_not_fit():
    with pytest.raises(InputError, match="unknown chip 'h10O-sxm'"):
        training.search(CASE | {"chip": "h10O-sxm"})
    found = training.search(CASE | {"model": "gpt3-175b"}, top=3)
    assert [answer["fits"] for answer in found] == [False]
    smallest = min(
        one(model="gpt3-175b", tp=tp, zero_stage=zero)["memory_gib"]["total"]
        for tp in (1, 2, 4, 8)
        for zero in (1, 3)
    )
    assert found[0]["memory_gib"]["total"] <= smallest, "the least found is the least there is"


def test_gpt3_on_4096_a100s_is_laid_out_as_published_runs_are():
    """Narayanan et al. 2021 and Korthikanti et al. 2022 ran it with tensor 8 inside the node and pipelines of 8 to 16;
    MLPerf's and DGX Cloud's recipes with tensor 4."""
    case = {"model": "gpt3-175b", "chip": "a100-80", "chips": 4096}
    best = training.search(case | {"seq_len": 2048, "global_batch": 4096}, top=10)
    assert any(
        answer["plan"]["tp"] in (4, 8) and 4 <= answer["plan"]["pp"] <= 16 for answer in best[:3]
    )
    assert all(
        answer["plan"]["tp"] in (2, 4, 8) and answer["plan"]["micro_batch"] <= 4 for answer in best
    )
    assert 0.45 < best[0]["mfu"] < 0.65


@pytest.mark.parametrize(
    ("case", "published_step_s", "within"),
    [
        # Dubey et al. 2024, table 4: 400 TFLOP/s on each of 16,384 H100, batch 2,048 of 8,192 tokens.
        ({"model": "llama3.1-405b", "chip": "h100-sxm", "chips": 16384, "seq_len": 8192, "global_batch": 2048}, None, 0.25),
        # DeepSeek-AI 2024, table 1: 180,000 H800 hours per trillion tokens on 2,048 chips.
        ({"model": "deepseek-v3", "chip": "h800", "chips": 2048, "seq_len": 4096, "global_batch": 15360, "precision": "fp8"},
         180e3 * 3600 / 1e12 * 15360 * 4096 / 2048, 0.55),
    ],
)  # fmt: skip
def test_famous_runs_come_near_what_was_published(case, published_step_s, within):
    """Not fitted to; the plan is the model's own choice, the band is the interval's width."""
    answer = training.predict([case])[0]
    if published_step_s is None:
        published_step_s = answer["model_tflops_per_chip"] / 400 * answer["step_time_s"]
    assert answer["step_time_s"] == pytest.approx(published_step_s, rel=within)
    assert answer["step_time_s_p05"] <= published_step_s <= answer["step_time_s_p95"]


@pytest.mark.parametrize(
    ("column", "gain"),
    [
        ("hbm_tb_per_s", 2),
        ("bf16_tflops", 2),
        ("scaleup_gb_per_s_per_direction", 2),
        ("scaleout_gbit_per_s_per_chip", 4),
    ],
)
def test_a_better_chip_is_never_slower(column, gain):
    row = chips.frame().set_index("id").loc["h100-sxm"]
    for model in ("llama3.1-70b", "mixtral-8x7b"):
        case = {"model": model, "chips": 64, "seq_len": 8192, "global_batch": 128}
        # Both as chips of the asker's own: the stored one has a factor of its own besides.
        plain, better = training.predict(
            [
                case | {"chip": {"base": "h100-sxm", column: row[column] * times}}
                for times in (1, gain)
            ]
        )
        assert better["step_time_s"] <= plain["step_time_s"] * (1 + 1e-9)


def test_more_memory_never_slows_a_search():
    times = [
        one(model="llama3.1-70b", chips=64, chip={"base": "h100-sxm", "hbm_gb": size})[
            "step_time_s"
        ]
        for size in (64, 80, 141, 288)
    ]
    assert times == sorted(times, reverse=True)


def test_a_scenario_overrides_and_adds_chips(tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "chips:\n  h100-sxm: {hbm_tb_per_s: 6.7}\n  mine: {base: h100-sxm, bf16_tflops: 2000}\n",
        encoding="utf-8",
    )
    before = one()
    monkeypatch.setenv("MOAT_SCENARIO", str(path))
    faster, mine = one(), one(chip="mine")
    assert (
        faster["step_time_s"] < before["step_time_s"]
        and mine["step_time_s"] < before["step_time_s"]
    )
    monkeypatch.delenv("MOAT_SCENARIO")
    assert one() == before


requests = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["llama3.1-8b", "gpt3-175b", "mixtral-8x7b", "deepseek-v3"]) | st.builds(lambda b: {"params_b": b}, st.floats(0.1, 2000)),
        "chip": st.sampled_from(["h100-sxm", "tpu-v5p", "mi300x", "gaudi2", "sn40l"]),
        "chips": st.integers(1, 300), "seq_len": st.integers(1, 40000), "global_batch": st.integers(1, 600),
    },
    optional={
        "tp": st.integers(1, 16), "pp": st.integers(1, 16), "dp": st.integers(1, 64), "cp": st.integers(1, 4), "ep": st.integers(1, 16),
        "micro_batch": st.integers(1, 8), "virtual_stages": st.integers(1, 4), "zero_stage": st.integers(0, 3),
        "recompute": st.sampled_from(["none", "selective", "full"]), "sequence_parallel": st.booleans(), "flash_attention": st.booleans(),
        "precision": st.sampled_from(["fp16", "bf16", "fp8", "mxfp8", "nvfp4", "int8"]), "optimizer": st.sampled_from(["sgd", "muon"]),
        "software": st.sampled_from(["megatron", "deepspeed", "fsdp", "maxtext", "other"]),
    },
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(requests)
def test_any_request_is_answered_completely_or_with_one_sentence(request):
    answer = training.predict([request])[0]
    if answer["ok"]:
        assert_complete(answer | {"id": 0})
        for name in (*SIZES, "recompute"):
            assert request.get(name) in (None, answer["plan"][name])
    else:
        assert answer["error"] and "\n" not in answer["error"]


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)
KEYS = (*FULL, "id")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), junk, min_size=1, max_size=4))
def test_junk_never_raises(changes):
    answer = training.predict([CASE | changes])[0]
    assert answer["ok"] or (answer["error"] and "\n" not in answer["error"])


def test_the_answer_is_the_models_step_time():
    """The same plan, timed by `core` directly."""
    known = training_constants.load()
    chip = chips.chip("h100-sxm")
    plan = Plan(8192, 128, 1, tp=2, dp=4, zero_stage=1, sequence_parallel=1, gradient_bytes=4.0)
    step = model_of_step.step_time(
        training.parse(FULL).model,
        plan,
        training_nodes.node(known, chip, "bf16"),
        training_constants.efficiency(
            known, training_constants.kind(chip, "bf16", software.find("megatron"))
        ),
    )
    assert training.predict([FULL])[0]["step_time_s"] == pytest.approx(step.total)


def test_an_even_share_of_the_tokens_is_said_where_experts_are_spread():
    case = {"model": "mixtral-8x7b", "chip": "h100-sxm", "chips": 64, "seq_len": 4096}
    asked = [case | {"ep": 8}, case | {"ep": 1}, case | {"model": "llama3.1-8b"}]
    told = [one["notes"] for one in training.predict(asked)]
    said = [any("equal shares of the tokens" in note for note in notes) for notes in told]
    assert said == [True, False, False]


def test_gradients_that_do_not_stand_at_the_peak_are_told():
    """PyTorch lets them go after each step; with several passes they add up beside the activations."""
    small = {"chips": 1, "seq_len": 2048, "model": "llama3.2-3b", "software": "transformers"}
    once, several, megatron = (
        one(**small | {"global_batch": 2, "micro_batch": 2}),
        one(**small | {"global_batch": 2, "micro_batch": 1}),
        one(**small | {"global_batch": 2, "micro_batch": 2, "software": "megatron-core"}),
    )
    told = [
        any("gradients are let go" in note for note in a["notes"])
        for a in (once, several, megatron)
    ]
    assert told == [True, False, False]
    assert once["memory_gib"]["gradients"] == 0 < several["memory_gib"]["gradients"]


def test_a_share_of_the_peak_that_counts_what_is_masked_says_so():
    """Sources count the scores of attention in full; at a million tokens that is nearly all there is."""
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 64, "global_batch": 64}
    short, long = training.predict([case, {**case, "seq_len": 10_000_000}])
    assert long["hfu"] > 0.9 > short["hfu"]
    told = [any("masked half" in note for note in one["notes"]) for one in (short, long)]
    assert told == [False, True]


@pytest.mark.parametrize(
    ("chip", "based"),
    [
        ("mythic-m1076", "a chip object with 'base': 'mythic-m1076'"),
        ({"base": "mythic-m1076", "id": "mine"}, "a chip object with 'base': 'mythic-m1076'"),
        ({"name": "mine"}, "a chip object"),
    ],
)
def test_a_chip_without_a_peak_says_where_one_can_be_given(chip, based):
    """A chip of one's own stands in no table that another could start from."""
    (answer,) = training.predict([{"model": "llama3.1-8b", "chip": chip, "chips": 8}])
    assert answer["error"].endswith(f"expected one, such as bf16_tflops in {based}")


@pytest.mark.parametrize(
    ("asked", "column"),
    [
        ("fp32", "fp32_tflops"),
        ("tf32", "tf32_tflops"),
        ("bf16", "bf16_tflops"),
        ("int8", "int8_tops"),
        ("mxfp8", "fp8_tflops"),
        ("nvfp4", "fp4_tflops"),
    ],
)
def test_the_peak_that_is_wanted_is_one_of_the_format_that_is_asked(asked, column):
    """Who asked a chip for FP32 had been told to give it a peak for BF16, which it had."""
    chip = {"fp16_tflops": 1, "hbm_gb": 96, "hbm_tb_per_s": 3} if asked in ("fp32", "tf32") else {}
    case = {"model": "llama3.1-8b", "chip": chip, "chips": 8, "precision": asked}
    assert f"such as {column} in a chip object" in training.predict([case])[0]["error"]


@pytest.mark.parametrize("level", ["none", "selective", "full"])
def test_a_share_of_recomputation_that_nothing_takes_is_said(level):
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8, "recompute": level}
    plain, shared = training.predict([case, {**case, "recompute_share": 0.5}])
    told = any("recompute_share changes nothing" in note for note in shared["notes"])
    assert told == (level != "full") and told == (plain["step_time_s"] == shared["step_time_s"])


def test_a_share_of_recomputation_alone_is_one_of_full_recomputation():
    case = {"model": "llama3.1-8b", "chip": "h100-sxm", "chips": 8}
    asked = [{**case, "recompute_share": share} for share in (0.5, 0)]
    plans = [answer["plan"] for answer in training.predict(asked)]
    told = [(plan["recompute"], plan["recompute_share"]) for plan in plans]
    assert told == [("full", 0.5), ("none", 0)]


@pytest.mark.parametrize(("active", "fits"), [(46, False), (4, False), (12.9, True)])
def test_active_weights_are_held_against_the_experts_that_a_token_visits(active, fits):
    model = {"base": "mixtral-8x7b", "active_params_b": active}
    case = {"chip": "h100-sxm", "chips": 64}
    whole, alone = training.predict(
        [{**case, "model": {**model, "params_b": 46.7}}, {**case, "model": model}]
    )
    assert whole["ok"] == fits and (fits or "what a token visits" in whole["error"])
    assert any("active_params_b is left out" in note for note in alone["notes"])


def test_a_large_models_range_is_narrower_alone_in_a_batch_and_after_own_runs():
    """Both on the same measured chips, with a run of their own that took as much longer than the model expects."""
    asked = [
        {"model": name, "chip": "h100-sxm", "chips": 512, "tp": 8, "pp": 8, "micro_batch": 1}
        for name in ("llama3.1-405b", "llama3.1-8b")
    ]
    plain = training.predict(asked)
    assert plain == [training.predict([request])[0] for request in asked]
    off = [{"measured_step_s": 1.2 * answer["step_time_s"]} for answer in plain]
    told = [request | {"anchors": [run]} for request, run in zip(asked, off, strict=True)]
    for answers in (plain, training.predict(told)):
        large, small = (one["step_time_s_p95"] / one["step_time_s_p05"] for one in answers)
        assert large < small


@pytest.mark.parametrize(
    ("chip", "sliced"), [("tpu-v5p", 1), ("tpu-v7", 1), ("tpu-v5e", 0), ("trainium2", 0)]
)
def test_googles_cubes_are_joined_by_optical_switches(chip, sliced):
    assert training_nodes.scaleup(chips.chip(chip)).sliced == sliced
    networks = serving_batch.networks(chips.chip(chip))
    own = networks.of(ServingPlan(tp=8, dp=8))[0].domain_chips
    assert own == (64 if sliced else networks.scaleup.domain_chips)
