"""Wide groups of experts: which engines' exchanges are known, where they are taken, and that an answer can be asked again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from training_moat.catalog import chips, models, tables
from training_moat.core.serving_memory import ServingPlan
from training_moat.predict import engines, expert_exchange, interconnect, serving, serving_batch

GROUP = {"model": "deepseek-v3", "chip": "h800", "precision": "fp8", "batch": 16384,
         "input_len": 64, "output_len": 4000}  # fmt: skip
WIDE = GROUP | {"chips": 128, "tp": 1, "dp": 128, "ep": 128}


def test_an_engine_that_hides_its_exchange_decodes_faster() -> None:
    """The table's only property is the exchange: what is read, multiplied and started at once stays."""
    known, unknown = serving.predict([WIDE | {"software": name} for name in ("deepseek", "tgi")])
    assert known["seconds"]["communication"] < 0.2 * unknown["seconds"]["communication"]
    assert known["tpot_s"] < 0.8 * unknown["tpot_s"]
    assert known["seconds"]["weights"] >= unknown["seconds"]["weights"]
    assert any("1.03 bytes to the experts" in note for note in known["notes"])
    assert not any("to the experts" in note for note in unknown["notes"])


def test_tokens_travel_in_eight_bits_only_where_experts_multiply_in_eight() -> None:
    hopper, model = chips.chip("h100-sxm"), models.model("gpt-oss-120b")
    exchange = expert_exchange.of_engine("sglang", "sglang", hopper)
    plan, far = ServingPlan(dp=16, ep=16), ServingPlan(dp=8, ep=8)

    def sent(precision: str, laid_out: ServingPlan) -> float | None:
        load = (64.0, 1024.0, 128.0, laid_out)
        asked = serving_batch.Question(model, hopper, "sglang", precision, "bf16", *load)
        found = serving_batch.exchange_of(replace(asked, exchange=exchange))
        return found and found.sent_bytes

    assert sent("fp8", plan) == pytest.approx(1.03)
    assert sent("mxfp4", plan) == 2.0  # H100 multiplies such weights in 16 bits.
    assert sent("fp8", far) is None


def test_the_plan_names_the_engine_so_that_it_can_be_asked_again() -> None:
    (first,) = serving.predict([WIDE | {"software": "DeepSeek"}])
    assert first["plan"]["software"] == "deepseek"
    (again,) = serving.predict([WIDE | {"software": first["plan"]["software"]}])
    assert again["tpot_s"] == first["tpot_s"]


@pytest.mark.parametrize("name", ["sglang 0.5", "vllm 0.11"])
def test_groups_inside_a_server_are_served_as_they_were_timed(name, monkeypatch) -> None:
    case = GROUP | {"chips": 8, "tp": 1, "dp": 8, "ep": 8, "batch": 256, "software": name}
    (told,) = serving.predict([case])
    monkeypatch.setattr(expert_exchange, "of_engine", lambda *asked: None)
    assert serving.predict([case])[0]["tpot_s"] == told["tpot_s"]


def test_every_engine_of_the_table_is_found_by_its_name_and_its_kernels_are_measured() -> None:
    kernels = interconnect.measured().query("kernels == 1").index
    hopper = chips.chip("h100-sxm")
    of_maker = {"nvidia": hopper, "huawei": chips.chip("ascend-910c")}
    for row in tables.load("serving_engines").itertuples():
        chip = of_maker[row.chip_maker]
        calibrated, _ = engines.engine(row.engine, chip, serving.known.stored())
        found = expert_exchange.of_engine(row.engine, calibrated, chip)
        assert found is not None and found.engine == row.engine
        assert found.kernels in ("", *kernels)
        assert expert_exchange.of_engine(row.engine, calibrated, chips.chip("mi300x")) is None
    assert expert_exchange.of_engine("tgi", engines.NO_ENGINE, hopper) is None
    assert expert_exchange.of_engine(None, "vllm-2024", hopper) is None


def test_kernels_speak_for_no_other_network() -> None:
    """Their latency is a tenth of what collectives between servers take; training keeps those."""
    own = serving_batch.networks(chips.chip("h100-sxm")).scaleout
    ours = interconnect.by_kernels(own, "deepep-ib")
    assert ours.bytes_per_s == own.bytes_per_s and ours.launch_s < own.launch_s / 5
    without = {name: one for name, one in interconnect.stored().items() if name != "deepep-ib"}
    assert interconnect.generic(without) == interconnect.generic(interconnect.stored())


def test_halves_in_turns_pay_where_sglang_says() -> None:
    """SGLang on 72 H100, prompts of 2,000 tokens: a loss at 32 tokens a chip, nothing to speak of up to somewhere between 64
    and 128, a quarter at 256."""
    chip, model = chips.chip("h100-sxm"), models.model("deepseek-v3")
    whole = expert_exchange.of_engine("sglang", "sglang", chip)
    assert whole is not None

    def step_s(per_chip: int, exchange: expert_exchange.ExpertExchange) -> float:
        load = (72.0 * per_chip, 1999.0, 2.0, ServingPlan(dp=72, ep=72))
        asked = serving_batch.Question(model, chip, "sglang", "fp8", "bf16", *load)
        (batch,) = serving_batch.batches([replace(asked, exchange=exchange)])
        constants = serving.known.stored().resolve(batch.families, batch.engines)
        return float(serving_batch.evaluate(batch, constants).step.total[0])

    once = replace(whole, micro_batches=1.0)
    gain = {n: step_s(n, once) / step_s(n, whole) - 1 for n in (32, 64, 256)}
    assert gain[32] == pytest.approx(0, abs=1e-9)
    assert gain[64] < 0.05
    assert 0.1 < gain[256] < 0.4
