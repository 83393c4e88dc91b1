"""How a serving engine is named, and which one is meant where none is."""

from __future__ import annotations

import pytest

from training_moat.catalog import chips
from training_moat.contest import serving_costs
from training_moat.predict import serving, serving_constants
from training_moat.predict.engines import compared

LLAMA = {"model": "llama3.1-8b", "batch": 1, "input_len": 512, "output_len": 512}


def _one(**asked):
    (answer,) = serving.predict([LLAMA | asked])
    assert answer["ok"], answer
    return answer


@pytest.mark.parametrize("chip", ["wse-2", "wse-3"])
def test_where_none_is_named_a_makers_service_of_today_is_meant(chip: str) -> None:
    """Cerebras' first release has more measured rows than those since October 2024, which are several times as fast."""
    asked = {"model": "llama3.1-405b", "chip": chip, "chips": 64}
    usual, today, early = (_one(**asked, software=name) for name in (None, "cerebras", "cerebras-2024"))  # fmt: skip
    assert usual["tpot_s"] == today["tpot_s"] < early["tpot_s"] / 2


def test_chips_are_compared_without_drafting_where_a_service_was_measured_without() -> None:
    """A pass of today's Cerebras yields several tokens of one user; of the chips beside it in a table nothing drafts."""
    named = {name: compared(chips.chip(name)) for name in ("wse-3", "sn40l", "h100-sxm", "tpu-v5e")}
    assert named == {"wse-3": "cerebras-2024", "sn40l": None, "h100-sxm": None, "tpu-v5e": None}
    served = serving_costs.costs("llama3.1-8b", ["wse-3"])
    assert list(served["engine"]) == ["cerebras-2024"]


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("TensorRT LLM", "tensorrt-llm"),
        ("TensorRT_LLM 0.12", "tensorrt-llm 0.12"),
        ("llama-cpp", "llama.cpp"),
        ("vLLM (v0.5.3)", "vllm 0.5.3"),
    ],
)
def test_whatever_stands_between_the_parts_of_an_engines_name(written: str, means: str) -> None:
    found, meant = (_one(chip="rtx-4090", software=name) for name in (written, means))
    assert (found["tpot_s"], found["plan"]) == (meant["tpot_s"], meant["plan"])


@pytest.mark.parametrize("written", ["MLC LLM", "TGI 2.0.4"])
def test_an_engine_that_was_not_measured_is_known_with_its_release(written: str) -> None:
    notes = _one(chip="a100-80", software=written)["notes"]
    assert any("no measurements of the engine" in note for note in notes)


def test_neurons_distributed_inference_is_neurons_engine() -> None:
    """NxD Inference, as AWS writes it short (NxDI)."""
    named, meant = (_one(chip="trn2", chips=16, software=name) for name in ("NxDI", "neuronx"))
    assert named["tpot_s"] == meant["tpot_s"]


@pytest.mark.parametrize(
    ("chip", "written", "means"),
    [
        ("inferentia2", "vLLM 0.16", "neuronx"),
        ("trn2", "TGI", "neuronx"),
        ("wormhole", "tt-metal v0.62", "vllm"),
        ("p150", "TT-Transformers", "vllm"),
    ],
)
def test_software_that_runs_an_engines_kernels_on_a_makers_chips(chip: str, written: str, means: str) -> None:  # fmt: skip
    """The rows of vLLM on Trainium2 were timed under NeuronX, which does its passes; who asked for vLLM there had been given
    the overheads of a port that nobody runs."""
    named, meant = (_one(chip=chip, software=name) for name in (written, means))
    assert (named["tpot_s"], named["plan"]) == (meant["tpot_s"], meant["plan"])
    (note,) = set(named["notes"]) - set(meant["notes"])
    assert note.startswith(f"{written} on ") and "the same kernels" in note


def test_only_on_these_chips() -> None:
    notes = _one(chip="h100", software="TGI")["notes"]
    assert notes == ["no measurements of the engine TGI; typical overheads stand in"]
    assert _one(chip="trn2", software="Optimum Neuron vLLM")["notes"] == []


def test_an_engine_that_cuts_by_layers_does_so_under_its_longer_name() -> None:
    plan = _one(chip="a100-80", chips=4, software="HF Transformers 4.57")["plan"]
    assert (plan["tp"], plan["pp"]) == (1, 4)


@pytest.mark.parametrize("name", ["Optimum-Habana", "optimum habana 1.12", "habana"])
def test_gaudis_own_software_is_optimum_habana(name: str) -> None:
    """The figures that Intel publishes are Optimum Habana's (its pull request 1078)."""
    named, meant = (
        _one(chip="gaudi2", chips=1, software=asked) for asked in (name, "gaudi-software")
    )
    assert named["tpot_s"] == meant["tpot_s"]
    assert not any("no measurements of the engine" in note for note in named["notes"])


@pytest.mark.parametrize("name", ["HF Transformers 4.46", "transformers"])
def test_a_framework_takes_the_hosts_time_for_a_small_model(name: str) -> None:
    """Qwen2.5 0.5B and 7B have about as many layers: transformers writes either at some 40 to 50 tokens a second on an A100
    (qwen2_5_speed_a100), vLLM of the same month at 312 and 84."""
    load = {"batch": 1, "input_len": 1, "output_len": 2048, "precision": "bf16"}
    asked = {"chip": "a100-80", "chips": 1, **load}
    small, large = ("qwen2.5-0.5b", "qwen2.5-7b")
    eager = [_one(model=model, software=name, **asked) for model in (small, large)]
    graph = [_one(model=model, software="vllm 0.6.3", **asked) for model in (small, large)]
    assert [1 / one["tpot_s"] for one in eager] == pytest.approx([47.4, 40.4], rel=0.25)
    assert graph[0]["tpot_s"] < 0.25 * eager[0]["tpot_s"]
    assert graph[1]["tpot_s"] < 0.75 * eager[1]["tpot_s"]


def test_a_framework_is_told_by_how_far_frameworks_were_off_and_is_nobodys_usual_engine() -> None:
    stored = serving_constants.stored()
    told = _one(chip="a100-80", chips=1, software="transformers")
    ends = [told[f"tpot_s_{end}"] / told["tpot_s"] for end in ("p05", "p95")]
    assert ends == pytest.approx(stored.interval(told["calibration"], "framework_"))
    assert ends[0] < stored.interval("generic")[0] and ends[1] > stored.interval("generic")[1]
    assert told["plan"]["software"] == "transformers" and not told["notes"]
    usual = _one(chip="a100-80", chips=1)
    assert usual["plan"]["software"] != "transformers"
