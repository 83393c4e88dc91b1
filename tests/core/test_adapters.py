"""Low-rank adapters: what they train, keep and move."""

from dataclasses import replace

import pytest
from published_shapes import LLAMA, MIXTRAL

from training_moat.core.adapter_steps import adapter_seconds
from training_moat.core.adapters import (
    ADAPTED,
    ALL_ADAPTED,
    adapted_widths,
    adapter_pass_bytes,
    kept_inputs,
    lora_params,
)
from training_moat.core.node import Efficiency
from training_moat.core.plan import Plan
from training_moat.predict import training, training_constants, training_nodes

LLAMA_70B = LLAMA[70.6e9]
PLAN = Plan(4096, 8, lora_rank=16)
ONLY = {name: 1 << bit for bit, name in enumerate(ADAPTED)}


def test_widths_are_those_of_the_products():
    """Llama 3.1 70B: 80 layers of 8,192, 64 heads and 8 pairs of keys and values of 128, blocks of 28,672."""
    told = {
        "q": (8192, 8192), "k": (8192, 1024), "v": (8192, 1024), "o": (8192, 8192),
        "gate": (8192, 28672), "up": (8192, 28672), "down": (28672, 8192),
    }  # fmt: skip
    for name, (into, out) in told.items():
        assert adapted_widths(LLAMA_70B, ONLY[name]) == (80 * into, 80 * out)
        assert lora_params(LLAMA_70B, 16, ONLY[name]) == 16 * 80 * (into + out)
    every = [sum(column) for column in zip(*told.values(), strict=True)]
    assert list(adapted_widths(LLAMA_70B)) == [80 * width for width in every]
    assert lora_params(MIXTRAL, 16, ONLY["gate"] | ONLY["down"]) == 0


def test_inputs_are_kept_of_the_products_with_adapters():
    assert kept_inputs(ALL_ADAPTED) == (1, 1, 1)
    assert kept_inputs(ONLY["q"] | ONLY["v"]) == (1, 0, 0)
    assert kept_inputs(ONLY["o"] | ONLY["down"]) == (0, 0, 1)


def test_traffic_is_that_of_the_operations():
    """peft, tuners/lora/layer.py: a cast of the input, two thin products, a factor, a sum."""
    target = ONLY["k"]
    into, out = 80 * 8192, 80 * 1024
    assert adapter_pass_bytes(LLAMA_70B, target, 4) == (14 * into + 12 * out, 22 * into + 8 * out)
    assert adapter_pass_bytes(LLAMA_70B, target, 2) == (2 * into + 12 * out, 10 * into + 8 * out)
    fused = adapter_pass_bytes(LLAMA_70B, target, 0)
    assert fused == (4 * (into + out), 8 * (into + out))


def test_layers_that_are_done_again_do_their_adapters_again():
    constants = training_constants.load()
    case = training.parse(
        {"model": "llama3.1-70b", "chip": "h100-sxm", "chips": 8, "lora_rank": 16}
    )
    node = training_nodes.node(constants, case.chip, case.precision)
    eff = Efficiency(**vars(training_constants.efficiency(constants, kind(case))))
    once, again = (
        adapter_seconds(LLAMA_70B, replace(PLAN, recompute=level, adapter_bytes=4), node, eff)
        for level in (0, 2)
    )
    assert again[0] == pytest.approx(once[0] * 8 / 6)
    forward, backward = adapter_pass_bytes(LLAMA_70B, ALL_ADAPTED, 4)
    assert again[1] / once[1] == pytest.approx(1 + forward / (forward + backward))
    assert adapter_seconds(LLAMA_70B, replace(PLAN, lora_rank=0), node, eff) == (0.0, 0.0)


def kind(case):
    return training_constants.kind(case.chip, case.precision, case.software)


@pytest.mark.parametrize(
    ("model", "chip", "micro_batch", "seq_len", "recompute", "software", "rank", "seconds"),
    [
        ("llama3.1-8b", "h100-sxm", 2, 2048, "full", "pytorch-eager", 16, 0.71778),
        ("llama3.1-8b", "h100-sxm", 2, 1024, "none", "pytorch-eager", 16, 0.222403),
        ("mistral-7b", "h200", 1, 4096, "full", "transformers-autocast", 64, 0.542313),
        ("llama3.2-3b", "h200", 1, 4096, "none", "transformers-autocast", 16, 0.220801),
        ("llama3.1-8b", "h200", 1, 8192, "full", "transformers-autocast", 32, 1.16683),
    ],
)
def test_the_books_own_runs_of_adapters(
    model, chip, micro_batch, seq_len, recompute, software, rank, seconds
):
    """experiments/training_steps: PEFT's adapters on all linear products. No fit takes them."""
    case = {
        "model": model, "chip": chip, "chips": 1, "micro_batch": micro_batch, "global_batch": micro_batch,
        "seq_len": seq_len, "recompute": recompute, "software": software, "lora_rank": rank,
    }  # fmt: skip
    assert training.predict([case])[0]["step_time_s"] == pytest.approx(seconds, rel=0.16)
